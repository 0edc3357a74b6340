// The limits of a search, and its hits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace pyhash {

template <class Distance>
struct Hit {
    Distance distance;
    std::uint32_t position;

    friend bool operator<(const Hit& a, const Hit& b) {
        return a.distance != b.distance ? a.distance < b.distance : a.position < b.position;
    }
};

// Hits of one query by ascending distance, then position.
template <class Distance>
using HitList = std::vector<Hit<Distance>>;

// The k nearest within the radius (inclusive); with all_ties, also every other code at the k-th distance.
template <class Distance>
struct Wanted {
    std::size_t k = std::numeric_limits<std::size_t>::max();
    Distance radius = std::numeric_limits<Distance>::max();
    bool all_ties = false;
};

// Cuts a sorted list to what is wanted of it.
template <class Distance>
void cut(HitList<Distance>& hits, const Wanted<Distance>& wanted) {
    if (hits.size() <= wanted.k) return;
    std::size_t n = wanted.k;
    if (wanted.all_ties) {
        while (n < hits.size() && n > 0 && hits[n].distance == hits[wanted.k - 1].distance) ++n;
    }
    hits.resize(n);
}

// Which rows a search may find: bit i % 8 of byte i / 8 for row i, whole blocks of rows; nullptr: all.
using RowMask = const std::uint8_t*;

// As many as a block of bit planes has codes.
constexpr std::size_t mask_block_rows = 512;

constexpr std::size_t mask_bytes(std::size_t n_rows) {
    return (n_rows + mask_block_rows - 1) / mask_block_rows * (mask_block_rows / 8);
}

inline bool lets_through(RowMask mask, std::size_t row) {
    return mask == nullptr || ((mask[row / 8] >> (row % 8)) & 1);
}

}  // namespace pyhash
