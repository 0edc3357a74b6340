#include "core/ranking.hpp"

#include <algorithm>
#include <vector>

#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

void rank_relevance(CodeView queries, CodeView codes, std::span<const std::uint8_t> relevance, std::size_t n_threads,
                    std::span<std::uint8_t> ranked) {
    const KernelTable& kernels = selected_kernels();
    const std::size_t n_distances = 8 * codes.n_bytes + 1;
    parallel_for(
        queries.n, n_threads, rows_worth(worth_a_thread::distances, codes.n), [&](std::size_t begin, std::size_t end) {
            std::vector<std::uint32_t> distances(codes.n);
            // Four neighbouring codes count apart, so that runs of equal distances do not wait for each other.
            std::vector<std::size_t> counts(4 * n_distances);
            std::size_t* const next = counts.data();
            for (std::size_t i = begin; i < end; ++i) {
                kernels.hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, distances.data());
                std::fill(counts.begin(), counts.end(), 0);
                std::size_t j = 0;
                for (; j + 4 <= codes.n; j += 4) {
                    ++next[distances[j]];
                    ++next[n_distances + distances[j + 1]];
                    ++next[2 * n_distances + distances[j + 2]];
                    ++next[3 * n_distances + distances[j + 3]];
                }
                for (; j < codes.n; ++j) ++next[distances[j]];
                std::size_t rank = 0;  // of the first code at each distance
                for (std::size_t d = 0; d < n_distances; ++d) {
                    const std::size_t n =
                        next[d] + next[n_distances + d] + next[2 * n_distances + d] + next[3 * n_distances + d];
                    next[d] = rank;
                    rank += n;
                }
                const std::uint8_t* of_query = relevance.data() + i * codes.n;
                std::uint8_t* out = ranked.data() + i * codes.n;
                for (j = 0; j < codes.n; ++j) out[next[distances[j]]++] = of_query[j];
            }
        });
}

void count_by_distance(CodeView queries, CodeView codes, std::span<const std::uint8_t> relevance, std::size_t n_threads,
                       std::span<std::int64_t> n_all, std::span<std::int64_t> n_relevant) {
    const KernelTable& kernels = selected_kernels();
    const std::size_t n_distances = 8 * codes.n_bytes + 1;
    parallel_for(queries.n, n_threads, rows_worth(worth_a_thread::distances, codes.n),
                 [&](std::size_t begin, std::size_t end) {
                     std::vector<std::uint32_t> distances(codes.n);
                     for (std::size_t i = begin; i < end; ++i) {
                         kernels.hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, distances.data());
                         const std::uint8_t* of_query = relevance.data() + i * codes.n;
                         std::int64_t* all = n_all.data() + i * n_distances;
                         std::int64_t* relevant = n_relevant.data() + i * n_distances;
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
