#include "core/distances.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

void hamming_distances(CodeView queries, CodeView codes, std::size_t n_threads, std::uint32_t* out) {
    const KernelTable& kernels = selected_kernels();
    parallel_for(queries.n, n_threads, queries_per_thread(codes.n), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            kernels.hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, out + i * codes.n);
        }
    });
}

void nibble_costs(const double* projection, std::size_t n_bits, double* costs) {
    const std::size_t n_nibbles = 2 * ((n_bits + 7) / 8);
    for (std::size_t p = 0; p < n_nibbles; ++p, costs += 16) {
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
        for (unsigned value = 0; value < 16; ++value) costs[value] = by_difference[value ^ query];
    }
}

void byte_costs(const double* nibble_costs, std::size_t n_bytes, double* costs) {
    for (std::size_t j = 0; j < n_bytes; ++j, nibble_costs += 32) {
        for (std::size_t high = 0; high < 16; ++high, costs += 16) {
            for (std::size_t low = 0; low < 16; ++low) costs[low] = nibble_costs[low] + nibble_costs[16 + high];
        }
    }
}

void weighted_distances(const double* projections, std::size_t n_queries, std::size_t n_bits, CodeView codes,
                        std::size_t n_threads, double* out) {
    const KernelTable& kernels = selected_kernels();
    parallel_for(n_queries, n_threads, queries_per_thread(codes.n), [&](std::size_t begin, std::size_t end) {
        std::vector<double> by_nibble(32 * codes.n_bytes), costs(256 * codes.n_bytes);
        for (std::size_t i = begin; i < end; ++i) {
            nibble_costs(projections + i * n_bits, n_bits, by_nibble.data());
            byte_costs(by_nibble.data(), codes.n_bytes, costs.data());
            kernels.weighted_hamming(costs.data(), codes.data, codes.n, codes.n_bytes, out + i * codes.n);
        }
    });
}

}  // namespace pyhash
