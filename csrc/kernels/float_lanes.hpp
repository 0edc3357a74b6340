// Vectors of float32, and the functions of them that Bayes codes need.
//
// Written in the vector extensions of GCC and Clang, so that a level only chooses a width; of one value, a float. Every
// operation is one that IEEE 754 defines to the last bit, in a fixed order and never contracted: a lane's result
// depends on its argument alone, not on level, width or neighbours.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_FLOAT_LANES_HPP
#define PYHASH_KERNELS_FLOAT_LANES_HPP

#if !defined(PYHASH_LEVEL)
#error "define PYHASH_LEVEL, the namespace of the level, before this header"
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numbers>

namespace pyhash::PYHASH_LEVEL {

template <std::size_t Width>
struct FloatLanes {
    static constexpr std::size_t width = Width;
    // NOLINTBEGIN(modernize-use-using): GCC ignores an attribute that depends on Width in an alias declaration.
    typedef float Vector __attribute__((vector_size(4 * Width)));
    typedef std::uint32_t Bits __attribute__((vector_size(4 * Width)));
    typedef std::int32_t Mask __attribute__((vector_size(4 * Width)));
    // NOLINTEND(modernize-use-using)

    static Vector load(const float* from) {
        Vector v;
        std::memcpy(&v, from, sizeof v);
        return v;
    }
    static Bits load(const std::uint32_t* from) {
        Bits v;
        std::memcpy(&v, from, sizeof v);
        return v;
    }
    static void store(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }
    static Vector set(float x) { return x - Vector{}; }
    static Vector choose(Mask mask, Vector a, Vector b) { return mask ? a : b; }
    static Bits bits_of(Vector v) { return __builtin_bit_cast(Bits, v); }
    static Vector of_bits(Bits v) { return __builtin_bit_cast(Vector, v); }
};

template <>
struct FloatLanes<1> {
    static constexpr std::size_t width = 1;
    using Vector = float;
    using Bits = std::uint32_t;
    using Mask = bool;

    static Vector load(const float* from) { return *from; }
    static Bits load(const std::uint32_t* from) { return *from; }
    static void store(float* to, Vector v) { *to = v; }
    static Vector set(float x) { return x; }
    static Vector choose(Mask mask, Vector a, Vector b) { return mask ? a : b; }
    static Bits bits_of(Vector v) { return __builtin_bit_cast(Bits, v); }
    static Vector of_bits(Bits v) { return __builtin_bit_cast(Vector, v); }
};

// e^x for x from -87 to 0; the error is below 3e-7 of it.
// x = k log 2 + y with |y| <= log(2) / 2; Taylor's series of e^y; 2^k goes into the exponent.
template <class Lanes>
inline typename Lanes::Vector exp_of(typename Lanes::Vector x) {
    using Vector = typename Lanes::Vector;
    constexpr float rounder = 0x1.8p23f;  // added to a number, it leaves the nearest whole one in the lowest bits
    const Vector shifted = x * std::numbers::log2e_v<float> + rounder;
    const Vector k = shifted - rounder;
    // log 2 in two parts: k times the first is exact.
    constexpr double coarse = 5678.0 / 8192;
    const Vector y = (x - k * static_cast<float>(coarse)) - k * static_cast<float>(std::numbers::ln2 - coarse);
    Vector e = y * (1.0f / 720) + 1.0f / 120;
    e = y * e + 1.0f / 24;
    e = y * e + 1.0f / 6;
    e = y * e + 0.5f;
    e = y * e + 1.0f;
    e = y * e + 1.0f;
    return Lanes::of_bits(Lanes::bits_of(e) + (Lanes::bits_of(shifted) << 23));
}

// The largest x for which the series of atanh_ratio is short.
constexpr float short_series = 0.3f;

// atanh(x) / x for x from 0 to short_series: Taylor's series, whose error is below 1e-7.
template <class Lanes>
inline typename Lanes::Vector atanh_ratio_of_small(typename Lanes::Vector x) {
    using Vector = typename Lanes::Vector;
    const Vector square = x * x;
    Vector a = square * (1.0f / 11) + 1.0f / 9;
    a = square * a + 1.0f / 7;
    a = square * a + 1.0f / 5;
    a = square * a + 1.0f / 3;
    return square * a + 1.0f;
}

// atanh(x) / x for x from 0 to below 1; beyond short_series by log((1 + x) / (1 - x)) / (2 x).
template <class Lanes>
inline typename Lanes::Vector atanh_ratio(typename Lanes::Vector x) {
    using Vector = typename Lanes::Vector;
    const auto is_long = x > Lanes::set(short_series);
    const Vector below_one = Lanes::set(0x1.fffffep-1f);
    Vector z = Lanes::choose(x < below_one, x, below_one);
    z = Lanes::choose(is_long, z, Lanes::set(0.5f));
    const Vector ratio = (1.0f + z) / (1.0f - z);
    // ratio = 2^k m with m from sqrt(1/2) to sqrt(2), and log m = 2 atanh(s).
    const auto bits = Lanes::bits_of(ratio);
    const auto k = (bits - 0x3f3504f3u) >> 23;
    const Vector m = Lanes::of_bits(bits - (k << 23));
    const Vector s = (m - 1.0f) / (m + 1.0f);
    const Vector whole = Lanes::of_bits(k + 0x4b000000u) - 0x1p23f;  // k as a float
    const Vector half_log = whole * (0.5f * std::numbers::ln2_v<float>)+s * atanh_ratio_of_small<Lanes>(s);
    return Lanes::choose(is_long, half_log / z, atanh_ratio_of_small<Lanes>(x));
}

}  // namespace pyhash::PYHASH_LEVEL

#endif
