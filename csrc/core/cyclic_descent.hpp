// Discrete cyclic coordinate descent (DCC): minimise tr(B H B') - 2 tr(B Q') over B in {-1, +1}^(n x r).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pyhash {

// Sweeps b_l <- sgn(q_l - sum over l' != l of H[l, l'] b_l') for l = 0 .. r - 1, row by row, in place on `signs` (n,
// r). h is (r, r), symmetric, its diagonal unused; q is (n, r). A row stops after a sweep that flips none of its bits.
// Values within 8 eps (|q_l| + sum of |H[l, l']|) of zero count as zero, hence -1.
// Returns the flips of each sweep (max_sweeps values). Throws std::invalid_argument, with nothing changed, when a sign
// is neither -1 nor +1.
template <std::floating_point Real>
std::vector<std::int64_t> cyclic_descent(std::span<std::int8_t> signs, std::span<const Real> h, std::span<const Real> q,
                                         std::size_t n_bits, std::size_t max_sweeps, std::size_t n_threads);

}  // namespace pyhash
