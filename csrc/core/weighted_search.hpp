// The nearest codes by weighted Hamming distance (see distances.hpp), exact in float64; ties by ascending position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/code_view.hpp"
#include "core/hits.hpp"
#include "core/kernel_table.hpp"
#include "core/nibble_planes.hpp"
#include "core/projection_view.hpp"

namespace pyhash {

// The longest codes, in bytes, that planes of nibbles help with: sums of more planes are rounded too far down.
constexpr std::size_t max_bytes_of_nibble_search = 64;

// One list of hits for each query; with nibble planes of these codes (or nullptr) a
// lower bound of each distance, a sum of small table entries, tells which codes are looked at exactly.
std::vector<HitList<double>> weighted_search(const KernelTable& kernels, ProjectionView projections, CodeView codes,
                                             const NibblePlanes* planes, const Wanted<double>& wanted, RowMask mask,
                                             std::size_t n_threads);

// What a query costs one thread, in ns, with planes or without, where so many search together.
double weighted_scan_cost(CodeView codes, bool planes, std::size_t n_queries);

}  // namespace pyhash
