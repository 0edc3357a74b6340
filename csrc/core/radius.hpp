// All codes within a Hamming radius of each query.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/code_view.hpp"

namespace pyhash {

// Hits of all queries one after another: query i's are [offsets[i], offsets[i + 1]), by ascending distance, then
// position.
struct RadiusHits {
    std::vector<std::int64_t> offsets;
    std::vector<std::int64_t> positions;
    std::vector<std::uint32_t> distances;
};

// Hits with d <= radius (inclusive).
RadiusHits hamming_radius(CodeView queries, CodeView codes, std::uint32_t radius, std::size_t n_threads);

}  // namespace pyhash
