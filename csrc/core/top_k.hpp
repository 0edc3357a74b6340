// The k nearest codes of each query, ties by ascending position: exact, the same for any thread count and CPU level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/code_view.hpp"

namespace pyhash {

// positions, distances (queries.n, min(k, codes.n)), each row by ascending distance, then position.
void hamming_top_k(CodeView queries, CodeView codes, std::size_t k, std::size_t n_threads, std::int64_t* positions,
                   std::uint32_t* distances);

// The same by the weighted distance of distances.hpp. projections is (n_queries, n_bits).
void weighted_top_k(const double* projections, std::size_t n_queries, std::size_t n_bits, CodeView codes, std::size_t k,
                    std::size_t n_threads, std::int64_t* positions, double* distances);

}  // namespace pyhash
