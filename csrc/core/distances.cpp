#include "core/distances.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

void hamming_distances(CodeView queries, CodeView codes, std::size_t n_threads, std::uint32_t* out) {
    const KernelTable& table = kernels();
    parallel_for(queries.n, n_threads, queries_per_thread(codes.n), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            table.hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, out + i * codes.n);
        }
    });
}

void weighted_costs(const double* projection, std::size_t n_bits, double* costs) {
    for (std::size_t first = 0; first < n_bits; first += 8, costs += 256) {
        const std::size_t width = std::min<std::size_t>(8, n_bits - first);
        double weight[8] = {};
        unsigned query = 0;
        for (std::size_t bit = 0; bit < width; ++bit) {
            weight[bit] = std::min(std::abs(projection[first + bit]), 1.0);
            query |= static_cast<unsigned>(projection[first + bit] > 0) << bit;
        }
        // A set of differing bits costs what it costs without its highest bit, plus that bit: ascending order.
        double by_difference[256];
        by_difference[0] = 0.0;
        for (unsigned bit = 0; bit < 8; ++bit) {
            for (unsigned rest = 0; rest < (1u << bit); ++rest) {
                by_difference[(1u << bit) + rest] = by_difference[rest] + weight[bit];
            }
        }
        for (unsigned value = 0; value < 256; ++value) costs[value] = by_difference[value ^ query];
    }
}

void weighted_distances(const double* projections, std::size_t n_queries, std::size_t n_bits, CodeView codes,
                        std::size_t n_threads, double* out) {
    const KernelTable& table = kernels();
    parallel_for(n_queries, n_threads, queries_per_thread(codes.n), [&](std::size_t begin, std::size_t end) {
        std::vector<double> costs(256 * codes.n_bytes);
        for (std::size_t i = begin; i < end; ++i) {
            weighted_costs(projections + i * n_bits, n_bits, costs.data());
            table.weighted_hamming(costs.data(), codes.data, codes.n, codes.n_bytes, out + i * codes.n);
        }
    });
}

}  // namespace pyhash
