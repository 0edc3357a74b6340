#include "core/ranking.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

void rank_relevance(CodeView queries, CodeView codes, const std::uint8_t* relevance, std::size_t n_threads,
                    std::uint8_t* ranked) {
    const std::size_t n_distances = 8 * codes.n_bytes + 1;
    parallel_for(queries.n, n_threads, queries_per_thread(codes.n), [&](std::size_t begin, std::size_t end) {
        std::vector<std::uint32_t> distances(codes.n);
        // Neighbouring codes count apart, so that runs of equal distances do not wait for each other.
        std::vector<std::size_t> even(n_distances), odd(n_distances);
        for (std::size_t i = begin; i < end; ++i) {
            kernels().hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, distances.data());
            std::fill(even.begin(), even.end(), 0);
            std::fill(odd.begin(), odd.end(), 0);
            std::size_t j = 0;
            for (; j + 2 <= codes.n; j += 2) {
                ++even[distances[j]];
                ++odd[distances[j + 1]];
            }
            if (j < codes.n) ++even[distances[j]];
            std::transform(even.begin(), even.end(), odd.begin(), even.begin(), std::plus<>());
            std::exclusive_scan(even.begin(), even.end(), even.begin(), std::size_t{0});
            const std::uint8_t* of_query = relevance + i * codes.n;
            std::uint8_t* out = ranked + i * codes.n;
            for (j = 0; j < codes.n; ++j) out[even[distances[j]]++] = of_query[j];
        }
    });
}

void count_by_distance(CodeView queries, CodeView codes, const std::uint8_t* relevance, std::size_t n_threads,
                       std::int64_t* n_all, std::int64_t* n_relevant) {
    const std::size_t n_distances = 8 * codes.n_bytes + 1;
    parallel_for(queries.n, n_threads, queries_per_thread(codes.n), [&](std::size_t begin, std::size_t end) {
        std::vector<std::uint32_t> distances(codes.n);
        for (std::size_t i = begin; i < end; ++i) {
            kernels().hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, distances.data());
            const std::uint8_t* of_query = relevance + i * codes.n;
            std::int64_t* all = n_all + i * n_distances;
            std::int64_t* relevant = n_relevant + i * n_distances;
            std::fill_n(all, n_distances, 0);
            std::fill_n(relevant, n_distances, 0);
            for (std::size_t j = 0; j < codes.n; ++j) {
                ++all[distances[j]];
                relevant[distances[j]] += of_query[j];
            }
        }
    });
}

}  // namespace pyhash
