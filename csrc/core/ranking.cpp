#include "core/ranking.hpp"

#include <algorithm>
#include <bit>
#include <vector>

#include "core/aligned_buffer.hpp"
#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

void count_relevant(std::span<const std::uint64_t> relevance, std::size_t n_codes, std::span<std::int64_t> offsets) {
    const std::size_t n_words = relevance_words(n_codes);
    offsets[0] = 0;
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
        offsets[i + 1] = offsets[i];
        for (const std::uint64_t word : relevance.subspan(i * n_words, n_words)) offsets[i + 1] += std::popcount(word);
    }
}

void rank_relevant(CodeView queries, CodeView codes, std::span<const std::uint64_t> relevance,
                   std::span<const std::int64_t> offsets, std::size_t n_threads, std::span<std::uint32_t> ranks) {
    const KernelTable& kernels = selected_kernels();
    const std::size_t n_words = relevance_words(codes.n);
    parallel_for(
        queries.n, n_threads, rows_worth(worth_a_thread::distances, codes.n), [&](std::size_t begin, std::size_t end) {
            std::vector<std::uint32_t> distances(codes.n), of_query(codes.n + rank_slack);
            RankedCodes ranked{
                .n = codes.n, .distances = distances.data(), .n_distances = 8 * codes.n_bytes + 1, .relevant = nullptr};
            AlignedBuffer<std::uint8_t> scratch(ranked.scratch());
            for (std::size_t i = begin; i < end; ++i) {
                kernels.hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, distances.data());
                ranked.relevant = relevance.data() + i * n_words;
                const std::size_t n = kernels.rank_relevant(ranked, scratch.data(), of_query.data());
                std::copy_n(of_query.begin(), n, ranks.begin() + offsets[i]);
            }
        });
}

void count_by_distance(CodeView queries, CodeView codes, std::span<const std::uint64_t> relevance,
                       std::size_t n_threads, std::span<std::int64_t> n_all, std::span<std::int64_t> n_relevant) {
    const KernelTable& kernels = selected_kernels();
    const std::size_t n_distances = 8 * codes.n_bytes + 1, n_words = relevance_words(codes.n);
    parallel_for(queries.n, n_threads, rows_worth(worth_a_thread::distances, codes.n),
                 [&](std::size_t begin, std::size_t end) {
                     std::vector<std::uint32_t> distances(codes.n);
                     for (std::size_t i = begin; i < end; ++i) {
                         kernels.hamming(queries.row(i), codes.data, codes.n, codes.n_bytes, distances.data());
                         const std::uint64_t* of_query = relevance.data() + i * n_words;
                         std::int64_t* all = n_all.data() + i * n_distances;
                         std::int64_t* relevant = n_relevant.data() + i * n_distances;
                         std::fill_n(all, n_distances, 0);
                         std::fill_n(relevant, n_distances, 0);
                         for (std::size_t j = 0; j < codes.n; ++j) {
                             ++all[distances[j]];
                             relevant[distances[j]] += static_cast<std::int64_t>((of_query[j / 64] >> (j % 64)) & 1);
                         }
                     }
                 });
}

}  // namespace pyhash
