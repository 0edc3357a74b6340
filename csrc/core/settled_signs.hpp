// Codes from products in float32 whose bits are those of float64.
//
// A bit is 1 where p = (x - mean)'w > 0. A product in float32 decides it where it is farther from zero than rounding
// can have moved it; the few others are settled in float64.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyhash {

struct Directions {
    std::size_t n_features, n_bits;
    const double* weights;    // (n_bits, n_features): w
    const double* mean;       // (n_features)
    const float* intercepts;  // (n_bits): -mean'w / |w|
};

// Rows (n, n_features) and products (n, n_bits) = rows w / |w|, in float32 and in any order of summation. `errors` (n):
// the relative error of the values of each row, independent of each other; nullptr where they are exact.
struct SignedRows {
    std::size_t n;
    const float* rows;
    const float* products;
    const float* errors;
};

// codes (n, ceil(n_bits / 8)); doubtful (n): 1 where a code is not to be used.
// Doubtful are rows with a p that float64 itself, in another order of summation, or the errors of the row might put on
// the other side of zero, rows that are not finite or too long for float32, and rows of which more bits are open than
// it pays to settle. |w| must be from 1e-15 to 1e15, |mean'w| below 1e30.
void pack_settled_signs(const Directions& directions, const SignedRows& rows, std::size_t n_threads,
                        std::uint8_t* codes, std::uint8_t* doubtful);

}  // namespace pyhash
