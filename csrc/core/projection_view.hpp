// Projections of queries, for weighted Hamming distance: the signs are the bits of the code, the magnitudes their
// weights.
#pragma once

#include <cstddef>
#include <span>

namespace pyhash {

struct ProjectionView {
    const double* data = nullptr;
    std::size_t n = 0;
    std::size_t n_bits = 0;

    std::span<const double> row(std::size_t i) const { return {data + i * n_bits, n_bits}; }
};

}  // namespace pyhash
