// Relevance along a ranking by Hamming distance, from which evaluation computes its scores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/code_view.hpp"

namespace pyhash {

// relevance (queries.n, codes.n): 1 where a code is relevant to a query, else 0.

// ranked (queries.n, codes.n): relevance in rank order, by ascending distance, then position.
void rank_relevance(CodeView queries, CodeView codes, std::span<const std::uint8_t> relevance, std::size_t n_threads,
                    std::span<std::uint8_t> ranked);

// n_all, n_relevant (queries.n, 8 * n_bytes + 1): codes, and relevant codes, at each distance.
void count_by_distance(CodeView queries, CodeView codes, std::span<const std::uint8_t> relevance, std::size_t n_threads,
                       std::span<std::int64_t> n_all, std::span<std::int64_t> n_relevant);

}  // namespace pyhash
