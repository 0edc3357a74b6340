// The vector steps of descend_by_flips.hpp, by vectors of one type of real (`Type`) that a kernel file gives: Value,
// Vector, width, eps, set, load, store, minus_product (g - a b); Mask, above (where the first is greater), bits_of (a
// bit for each lane of N masks); positive (a bit for each sign that is +1, of 64 at most).
//
// Rows are 64-byte aligned, their lengths multiples of descent_lanes.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_DESCENT_LANES_HPP
#define PYHASH_KERNELS_DESCENT_LANES_HPP

#if !defined(PYHASH_LEVEL)
#error "define PYHASH_LEVEL, the namespace of the level, before this header"
#endif

#include <cstddef>
#include <cstdint>

#include "core/kernel_table.hpp"

namespace pyhash::PYHASH_LEVEL {

template <class Type>
struct DescentLanes {
    using Real = typename Type::Value;
    using Vector = typename Type::Vector;
    using Mask = typename Type::Mask;
    static constexpr std::size_t width = Type::width;
    static constexpr std::size_t group = descent_lanes / width;  // vectors in descent_lanes values

    static std::uint64_t positive(const std::int8_t* signs, std::size_t n) { return Type::positive(signs, n); }

    static void zero_width(const Real* q, const Real* h_abs_sum, std::size_t n_bits, Real* zero, std::size_t stride) {
        for (std::size_t l = 0; l < n_bits; ++l) {
            const Real magnitude = q[l] < 0 ? -q[l] : q[l];
            zero[l] = 8 * Type::eps * (magnitude + h_abs_sum[l]);
        }
        for (std::size_t l = n_bits; l < stride; ++l) zero[l] = 0;
    }

    static void subtract_column(Real step, const Real* column, Real* g, std::size_t stride) {
        const Vector s = Type::set(step);
#pragma GCC unroll 16
        for (std::size_t l = 0; l < stride; l += width) {
            Type::store(g + l, Type::minus_product(Type::load(g + l), s, Type::load(column + l)));
        }
    }

    template <std::size_t Stride>
    static std::uint64_t subtract_column_above(Real step, const Real* column, Real* g, const Real* zero) {
        const Vector s = Type::set(step);
        Mask masks[Stride / width];
#pragma GCC unroll 32
        for (std::size_t k = 0; k < Stride / width; ++k) {
            const std::size_t l = k * width;
            const Vector updated = Type::minus_product(Type::load(g + l), s, Type::load(column + l));
            Type::store(g + l, updated);
            masks[k] = Type::above(updated, Type::load(zero + l));
        }
        return Type::template bits_of<Stride / width>(masks);
    }

    // Vectors vectors of g, from value l on, stay in registers while all columns pass.
    template <std::size_t Vectors>
    static void subtract_columns_at(std::size_t l, const Real* h, const std::uint64_t* words, std::size_t n_bits,
                                    Real* g, std::size_t stride) {
        Vector sums[Vectors];
        for (std::size_t k = 0; k < Vectors; ++k) sums[k] = Type::load(g + l + k * width);
        const Real* column = h + l;
        for (std::size_t other = 0; other < n_bits; ++other, column += stride) {
            const Vector sign =
                Type::set(static_cast<Real>(2 * static_cast<int>((words[other / 64] >> (other % 64)) & 1) - 1));
#pragma GCC unroll 8
            for (std::size_t k = 0; k < Vectors; ++k) {
                sums[k] = Type::minus_product(sums[k], sign, Type::load(column + k * width));
            }
        }
        for (std::size_t k = 0; k < Vectors; ++k) Type::store(g + l + k * width, sums[k]);
    }

    static void subtract_columns(const Real* h, const std::uint64_t* words, std::size_t n_bits, Real* g,
                                 std::size_t stride) {
        std::size_t l = 0;
        for (; l + 8 * width <= stride; l += 8 * width) subtract_columns_at<8>(l, h, words, n_bits, g, stride);
        if (l + 4 * width <= stride) {
            subtract_columns_at<4>(l, h, words, n_bits, g, stride);
            l += 4 * width;
        }
        for (; l < stride; l += descent_lanes) subtract_columns_at<group>(l, h, words, n_bits, g, stride);
    }

    static std::uint64_t above(const Real* g, const Real* zero, std::size_t n) {
        std::uint64_t word = 0;
        for (std::size_t l = 0; l < n; l += descent_lanes) {
            Mask masks[group];
            for (std::size_t k = 0; k < group; ++k) {
                masks[k] = Type::above(Type::load(g + l + k * width), Type::load(zero + l + k * width));
            }
            word |= Type::template bits_of<group>(masks) << l;
        }
        return word;
    }
};

}  // namespace pyhash::PYHASH_LEVEL

#endif
