// Counting over bit planes, by vectors of a bit for each of 256 or 512 codes, for the operations (`Ops`) that a kernel
// file gives: Vector, load, store, zero, fill, both, either, differ, first_not_second, any; of words count_bits and
// trailing_zeros (64 for 0). A level with operations of three vectors also gives odd (where one bit or all three are
// 1), majority (where two are) and less_by (as below), and one that writes positions by vectors, write_positions.
//
// A full adder takes three vectors of one weight and gives their sum and, of twice the weight, their carry. Sixteen
// planes at a time go through fifteen of them (Harley and Seal). Where an adder takes five operations, two adders share
// some of them (Demenkov, Kojevnikov, Kulikov and Yaroslavtsev), so that counting costs about 4.6 operations a plane.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_SCAN_BIT_PLANES_HPP
#define PYHASH_KERNELS_SCAN_BIT_PLANES_HPP

#if !defined(PYHASH_LEVEL)
#error "define PYHASH_LEVEL, the namespace of the level, before this header"
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/kernel_table.hpp"

// Inlined, they take minutes to compile under a sanitizer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PYHASH_ALWAYS_INLINE
#else
#define PYHASH_ALWAYS_INLINE [[gnu::always_inline]]
#endif

namespace pyhash::PYHASH_LEVEL {

template <class Ops>
struct BitCounter {
    using Vector = typename Ops::Vector;
    static constexpr std::size_t vector_bytes = sizeof(Vector), n_parts = bit_plane_bytes / vector_bytes;

    static constexpr bool has_majority = requires(Vector v) { Ops::majority(v, v, v); };

    // Two vectors of one weight: the first, and the second, or where a level has no majority, where they differ.
    struct Pair {
        Vector first, other;
    };

    PYHASH_ALWAYS_INLINE static Pair pair_of(Vector a, Vector b) {
        if constexpr (has_majority) return {a, b};
        return {a, Ops::differ(a, b)};
    }

    // Adds a vector to `sum`; the carry.
    PYHASH_ALWAYS_INLINE static Vector add(Vector& sum, Vector a) {
        const Vector carry = Ops::both(sum, a);
        sum = Ops::differ(sum, a);
        return carry;
    }

    // Adds two vectors to `sum`; the carry.
    PYHASH_ALWAYS_INLINE static Vector add(Vector& sum, Pair a) {
        Vector carry;
        if constexpr (has_majority) {
            carry = Ops::majority(sum, a.first, a.other);
            sum = Ops::odd(sum, a.first, a.other);
        } else {
            carry = Ops::either(Ops::first_not_second(a.first, a.other), Ops::both(a.other, sum));
            sum = Ops::differ(sum, a.other);
        }
        return carry;
    }

    // Adds four vectors to `sum`; the carries. Two adders without majority take ten operations; this takes eight.
    PYHASH_ALWAYS_INLINE static Pair add(Vector& sum, Pair a, Pair b) {
        if constexpr (has_majority) {
            const Vector carry = add(sum, a);
            return {carry, add(sum, b)};
        } else {
            const Vector half = Ops::differ(sum, a.other);
            const Vector moved = Ops::either(Ops::differ(a.first, sum), a.other);
            const Vector rest = Ops::first_not_second(Ops::differ(b.first, half), b.other);
            sum = Ops::differ(half, b.other);
            return {Ops::differ(half, moved), Ops::differ(moved, rest)};
        }
    }

    PYHASH_ALWAYS_INLINE static Pair two(const std::uint8_t* part, const std::uint32_t* planes) {
        return pair_of(Ops::load(part + planes[0]), Ops::load(part + planes[1]));
    }

    // Adds four planes; the carries, of weight two.
    PYHASH_ALWAYS_INLINE static Pair add_four(Vector* digits, const std::uint8_t* part, const std::uint32_t* planes) {
        const Pair low = two(part, planes);
        return add(digits[0], low, two(part, planes + 2));
    }

    // Adds eight planes; the carries, of weight four.
    PYHASH_ALWAYS_INLINE static Pair add_eight(Vector* digits, const std::uint8_t* part, const std::uint32_t* planes) {
        const Pair twos = add_four(digits, part, planes);
        return add(digits[1], twos, add_four(digits, part, planes + 4));
    }

    template <std::size_t Digits>
    PYHASH_ALWAYS_INLINE static void carry_on(Vector* digits, std::size_t from, Vector carry) {
#pragma GCC unroll 16
        for (std::size_t d = from; d < Digits; ++d) {
            const Vector next = Ops::both(digits[d], carry);
            digits[d] = Ops::differ(digits[d], carry);
            carry = next;
        }
    }

    // digits of Z = N / 2 + set bits of the planes, for the codes whose planes begin at `part`.
    template <std::size_t Digits>
    PYHASH_ALWAYS_INLINE static void count(const BitScan& scan, const std::uint8_t* part, Vector* digits) {
#pragma GCC unroll 16
        for (std::size_t d = 0; d + 1 < Digits; ++d)
            digits[d] = Ops::load(part + scan.counts + bit_plane_bytes * (d + 1));
        digits[Digits - 1] = Ops::zero();
        const std::uint32_t* plane = scan.planes;
        for (const std::uint32_t* const end = plane + scan.n_planes / 16 * 16; plane != end; plane += 16) {
            const Pair fours = add_eight(digits, part, plane);
            const Pair eights = add(digits[2], fours, add_eight(digits, part, plane + 8));
            carry_on<Digits>(digits, 4, add(digits[3], eights));
        }
        // The rest, by the digits of their number: each carry is added with that of the fewer planes before it.
        const std::size_t left = scan.n_planes % 16;
        if (left == 0) return;
        Vector carry = Ops::zero();
        if (left & 1) carry = add(digits[0], Ops::load(part + *plane++));
        if (left & 2) {
            carry = add(digits[1], pair_of(add(digits[0], two(part, plane)), carry));
            plane += 2;
        } else {
            carry = add(digits[1], carry);
        }
        if (left & 4) {
            const Vector fours = add(digits[1], add_four(digits, part, plane));
            carry = add(digits[2], pair_of(fours, carry));
            plane += 4;
        } else {
            carry = add(digits[2], carry);
        }
        if (left & 8) {
            const Vector eights = add(digits[2], add_eight(digits, part, plane));
            carry = add(digits[3], pair_of(eights, carry));
        } else {
            carry = add(digits[3], carry);
        }
        carry_on<Digits>(digits, 4, carry);
    }

    // `less` from the lower digits on, where the number is below the bound.
    static Vector less_by(Vector bound, Vector digit, Vector less) {
        if constexpr (requires { Ops::less_by(bound, digit, less); }) return Ops::less_by(bound, digit, less);
        return Ops::either(Ops::first_not_second(bound, digit), Ops::first_not_second(less, Ops::differ(bound, digit)));
    }

    // Positions of the set bits of a word. Most words have few: three are written without asking, up to three too many.
    static std::size_t write_positions_of_word(std::uint64_t word, std::uint32_t first, std::uint32_t* out) {
        const std::size_t n = Ops::count_bits(word);
#pragma GCC unroll 3
        for (std::size_t i = 0; i < 3; ++i, word &= word - 1) out[i] = first + Ops::trailing_zeros(word);
        for (std::size_t i = 3; word != 0; ++i, word &= word - 1) out[i] = first + Ops::trailing_zeros(word);
        return n;
    }

    static std::size_t write_positions(Vector found, std::uint32_t first, std::uint32_t* out) {
        if constexpr (requires { Ops::write_positions(found, first, out); }) {
            return Ops::write_positions(found, first, out);
        }
        std::uint64_t words[vector_bytes / 8];
        Ops::store(words, found);
        std::size_t n = 0;
        for (const std::uint64_t word : words) {
            n += write_positions_of_word(word, first, out + n);
            first += 64;
        }
        return n;
    }

    template <std::size_t Digits>
    static std::size_t scan(const BitScan& scan, std::uint32_t bound, bool below, const std::uint8_t* mask,
                            std::uint32_t* positions) {
        Vector of_bound[Digits];
        for (std::size_t d = 0; d < Digits; ++d) of_bound[d] = Ops::fill((bound >> d) & 1);
        const Vector flip = Ops::fill(!below);
        std::size_t n = 0;
        for (std::size_t b = 0; b < scan.n_blocks; ++b) {
            const std::uint8_t* block = scan.blocks + b * scan.block_bytes;
            for (std::size_t part = 0; part < n_parts; ++part) {
                Vector digits[Digits];
                count<Digits>(scan, block + vector_bytes * part, digits);
                Vector less = Ops::zero();  // Z < bound, from the lowest digit on
#pragma GCC unroll 16
                for (std::size_t d = 0; d < Digits; ++d) {
                    less = less_by(of_bound[d], digits[d], less);
                }
                Vector found = Ops::differ(less, flip);
                if (mask != nullptr)
                    found = Ops::both(found, Ops::load(mask + bit_plane_bytes * b + vector_bytes * part));
                if (__builtin_expect(!Ops::any(found), 1)) continue;
                const std::size_t first = bit_block_codes * b + 8 * vector_bytes * part;
                n += write_positions(found, static_cast<std::uint32_t>(first), positions + n);
            }
        }
        return n;
    }

    // Digit by digit from the highest: k tells whether the one looked for has a 0 or a 1 there.
    template <std::size_t Digits>
    static std::uint32_t kth(const BitScan& scan, std::size_t n_codes, std::size_t k, bool largest,
                             const std::uint8_t* mask, std::uint64_t* scratch) {
        const std::size_t n_words = bit_block_codes / 64 * scan.n_blocks;
        std::uint64_t* const left = scratch;              // codes that are still in question
        std::uint64_t* const digits = scratch + n_words;  // of Y: the lowest is N's own
        for (std::size_t w = 0; w < n_words; ++w) {
            std::uint64_t bits = ~std::uint64_t{0};
            if (mask != nullptr) std::memcpy(&bits, mask + 8 * w, 8);
            if (n_codes < 64 * (w + 1))
                bits = n_codes <= 64 * w ? 0 : bits & ((std::uint64_t{1} << (n_codes - 64 * w)) - 1);
            left[w] = bits;
        }
        const Vector flip = Ops::fill(largest);
        for (std::size_t b = 0; b < scan.n_blocks; ++b) {
            for (std::size_t part = 0; part < n_parts; ++part) {
                const std::uint8_t* planes = scan.blocks + b * scan.block_bytes + vector_bytes * part;
                Vector counted[Digits];
                count<Digits>(scan, planes, counted);
                std::uint64_t* out = digits + bit_block_codes / 64 * b + vector_bytes / 8 * part;
                Ops::store(out, Ops::differ(Ops::load(planes + scan.counts), flip));
                for (std::size_t d = 0; d < Digits; ++d)
                    Ops::store(out + (d + 1) * n_words, Ops::differ(counted[d], flip));
            }
        }
        std::uint32_t y = 0;
        for (std::size_t d = Digits + 1; d-- > 0;) {
            const std::uint64_t* digit = digits + d * n_words;
            std::size_t n_zero = 0;
            for (std::size_t w = 0; w < n_words; ++w) n_zero += Ops::count_bits(left[w] & ~digit[w]);
            const bool is_one = n_zero < k;
            if (is_one) k -= n_zero;
            for (std::size_t w = 0; w < n_words; ++w) left[w] &= is_one ? digit[w] : ~digit[w];
            y |= static_cast<std::uint32_t>(is_one != largest) << d;
        }
        return y;
    }

    // The digits as a constant, so that they stay in registers. Codes of 1 to 512 bytes have 4 to 13.
    static std::size_t scan_of(const BitScan& s, std::uint32_t bound, bool below, const std::uint8_t* mask,
                               std::uint32_t* positions) {
        static constexpr decltype(&scan<4>) scans[] = {scan<4>, scan<5>,  scan<6>,  scan<7>,  scan<8>,
                                                       scan<9>, scan<10>, scan<11>, scan<12>, scan<13>};
        return scans[s.n_digits - 4](s, bound, below, mask, positions);
    }

    static std::uint32_t kth_of(const BitScan& s, std::size_t n_codes, std::size_t k, bool largest,
                                const std::uint8_t* mask, std::uint64_t* scratch) {
        static constexpr decltype(&kth<4>) kths[] = {kth<4>, kth<5>,  kth<6>,  kth<7>,  kth<8>,
                                                     kth<9>, kth<10>, kth<11>, kth<12>, kth<13>};
        return kths[s.n_digits - 4](s, n_codes, k, largest, mask, scratch);
    }
};

}  // namespace pyhash::PYHASH_LEVEL

#undef PYHASH_ALWAYS_INLINE

#endif
