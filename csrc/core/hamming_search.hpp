// The nearest codes by Hamming distance: exact, ties by ascending position, the same for any thread count and CPU
// level.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/bit_planes.hpp"
#include "core/code_view.hpp"
#include "core/hits.hpp"
#include "core/kernel_table.hpp"

namespace pyhash {

// One list of hits for each query. With bit planes of these codes (or nullptr) many codes are counted at a time.
std::vector<HitList<std::uint32_t>> hamming_search(const KernelTable& kernels, CodeView queries, CodeView codes,
                                                   const BitPlanes* planes, const Wanted<std::uint32_t>& wanted,
                                                   RowMask mask, std::size_t n_threads);

}  // namespace pyhash
