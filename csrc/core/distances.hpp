// Distances of every query to every code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/code_view.hpp"
#include "core/projection_view.hpp"

namespace pyhash {

// out (queries.n, codes.n): d = popcount(q xor c).
void hamming_distances(CodeView queries, CodeView codes, std::size_t n_threads, std::span<std::uint32_t> out);

// Costs of one weighted query by nibble: two tables of 16 for each byte of a code (n_bytes, 32), low nibble first. An
// entry is the sum over the bits where its value differs from the query's sign, ascending, of t_l = min(|p_l|, 1). Bits
// from n_bits on cost nothing. The query's bit is 1 where the projection is above zero.
void nibble_costs(std::span<const double> projection, std::span<double> costs);

// The same by byte, a table of 256 for each byte of a code (n_bytes, 256): low nibble's cost plus high nibble's.
void byte_costs(std::span<const double> nibble_costs, std::span<double> costs);

// out (projections.n, codes.n): d = sum of t_l over the bits where query and code differ (SHOH, Eq. 32 and 33), in
// float64: bits within a nibble in ascending order, then the nibbles of a byte, then bytes in ascending order.
void weighted_distances(ProjectionView projections, CodeView codes, std::size_t n_threads, std::span<double> out);

}  // namespace pyhash
