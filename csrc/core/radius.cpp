#include "core/radius.hpp"

#include <algorithm>
#include <utility>

#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

RadiusHits hamming_radius(CodeView queries, CodeView codes, std::uint32_t radius, std::size_t n_threads) {
    using Hit = std::pair<std::uint32_t, std::int64_t>;
    std::vector<std::vector<Hit>> hits(queries.n);
    parallel_for(queries.n, n_threads, queries_per_thread(codes.n), [&](std::size_t begin, std::size_t end) {
        std::vector<std::uint32_t> block(std::min(codes_per_block, codes.n));
        for (std::size_t i = begin; i < end; ++i) {
            for (std::size_t first = 0; first < codes.n; first += codes_per_block) {
                const std::size_t n = std::min(codes_per_block, codes.n - first);
                kernels().hamming(queries.row(i), codes.row(first), n, codes.n_bytes, block.data());
                for (std::size_t j = 0; j < n; ++j) {
                    if (block[j] <= radius) hits[i].emplace_back(block[j], static_cast<std::int64_t>(first + j));
                }
            }
            std::sort(hits[i].begin(), hits[i].end());
        }
    });

    RadiusHits all;
    all.offsets.reserve(queries.n + 1);
    all.offsets.push_back(0);
    for (const auto& of_query : hits)
        all.offsets.push_back(all.offsets.back() + static_cast<std::int64_t>(of_query.size()));
    all.positions.reserve(static_cast<std::size_t>(all.offsets.back()));
    all.distances.reserve(static_cast<std::size_t>(all.offsets.back()));
    for (const auto& of_query : hits) {
        for (const auto& [distance, position] : of_query) {
            all.positions.push_back(position);
            all.distances.push_back(distance);
        }
    }
    return all;
}

}  // namespace pyhash
