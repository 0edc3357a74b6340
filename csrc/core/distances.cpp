#include "core/distances.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

void hamming_distances(CodeView queries, CodeView codes, std::size_t n_threads, std::span<std::uint32_t> out) {
    const KernelTable& kernels = selected_kernels();
    parallel_for(queries.n, n_threads, rows_worth(worth_a_thread::distances, codes.n),
                 [&](std::size_t begin, std::size_t end) {
                     for (std::size_t i = begin; i < end; ++i) {
                         kernels.hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, out.data() + i * codes.n);
                     }
                 });
}

void nibble_costs(std::span<const double> projection, std::span<double> costs) {
    const std::size_t n_bits = projection.size();
    for (std::size_t p = 0; 16 * p < costs.size(); ++p) {
        double weight[4] = {};
        unsigned query = 0;
        for (std::size_t bit = 0; bit < 4 && 4 * p + bit < n_bits; ++bit) {
            weight[bit] = std::min(std::abs(projection[4 * p + bit]), 1.0);
            query |= static_cast<unsigned>(projection[4 * p + bit] > 0) << bit;
        }
        // A set of differing bits costs what it costs without its highest bit, plus that bit: ascending order.
        double by_difference[16];
        by_difference[0] = 0.0;
        for (unsigned bit = 0; bit < 4; ++bit) {
            for (unsigned rest = 0; rest < (1u << bit); ++rest) {
                by_difference[(1u << bit) + rest] = by_difference[rest] + weight[bit];
            }
        }
        double* out = costs.data() + 16 * p;
        for (unsigned value = 0; value < 16; ++value) out[value] = by_difference[value ^ query];
    }
}

void byte_costs(std::span<const double> nibble_costs, std::span<double> costs) {
    double* out = costs.data();
    for (const double *of_byte = nibble_costs.data(), *end = of_byte + nibble_costs.size(); of_byte != end;
         of_byte += 32) {
        for (std::size_t high = 0; high < 16; ++high, out += 16) {
            const double of_high = of_byte[16 + high];
            for (std::size_t low = 0; low < 16; ++low) out[low] = of_byte[low] + of_high;
        }
    }
}

void weighted_distances(ProjectionView projections, CodeView codes, std::size_t n_threads, std::span<double> out) {
    const KernelTable& kernels = selected_kernels();
    parallel_for(projections.n, n_threads, rows_worth(worth_a_thread::distances, codes.n),
                 [&](std::size_t begin, std::size_t end) {
                     std::vector<double> by_nibble(32 * codes.n_bytes), costs(256 * codes.n_bytes);
                     for (std::size_t i = begin; i < end; ++i) {
                         nibble_costs(projections.row(i), by_nibble);
                         byte_costs(by_nibble, costs);
                         kernels.weighted_hamming(costs.data(), codes.data, codes.n, codes.n_bytes,
                                                  out.data() + i * codes.n);
                     }
                 });
}

}  // namespace pyhash
