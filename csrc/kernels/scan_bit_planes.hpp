// Counting over bit planes, by vectors of a bit for each of 256 or 512 codes, for the operations (`Ops`) that a kernel
// file gives: Vector, load, store, zero, fill, both, either, differ, first_not_second, any; of words count_bits and
// trailing_zeros (64 for 0). A level with operations of three vectors also gives odd (where one bit or all three are
// 1), majority (where two are) and less_by (as below), and one that writes positions by vectors, write_positions.
//
// A full adder takes three vectors of one weight and gives their sum and, of twice the weight, their carry. Eight
// planes at a time go through seven of them (Harley and Seal), so that counting costs about five operations a plane.
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

namespace pyhash::PYHASH_LEVEL {

template <class Ops>
struct BitCounter {
    using Vector = typename Ops::Vector;
    static constexpr std::size_t vector_bytes = sizeof(Vector), n_parts = bit_plane_bytes / vector_bytes;

    // sum, carry of sum + a + b.
    static void add(Vector& sum, Vector& carry, Vector a, Vector b) {
        if constexpr (requires { Ops::odd(sum, a, b); }) {
            carry = Ops::majority(sum, a, b);
            sum = Ops::odd(sum, a, b);
            return;
        }
        const Vector differ = Ops::differ(a, b);
        carry = Ops::either(Ops::first_not_second(a, differ), Ops::both(differ, sum));
        sum = Ops::differ(differ, sum);
    }

    template <std::size_t Digits>
    static void carry_on(Vector* digits, std::size_t from, Vector carry) {
#pragma GCC unroll 16
        for (std::size_t d = from; d < Digits; ++d) {
            const Vector next = Ops::both(digits[d], carry);
            digits[d] = Ops::differ(digits[d], carry);
            carry = next;
        }
    }

    // digits of Z = N / 2 + set bits of the planes, for the codes whose planes begin at `part`.
    template <std::size_t Digits>
    static void count(const BitScan& scan, const std::uint8_t* part, Vector* digits) {
#pragma GCC unroll 16
        for (std::size_t d = 0; d + 1 < Digits; ++d)
            digits[d] = Ops::load(part + scan.counts + bit_plane_bytes * (d + 1));
        digits[Digits - 1] = Ops::zero();
        const std::uint32_t* plane = scan.planes;
        const std::uint32_t* const end = plane + scan.n_planes;
        const auto at = [part](std::uint32_t offset) { return Ops::load(part + offset); };
        Vector twos[2], fours[2], eights;
        for (; plane + 8 <= end; plane += 8) {
            add(digits[0], twos[0], at(plane[0]), at(plane[1]));
            add(digits[0], twos[1], at(plane[2]), at(plane[3]));
            add(digits[1], fours[0], twos[0], twos[1]);
            add(digits[0], twos[0], at(plane[4]), at(plane[5]));
            add(digits[0], twos[1], at(plane[6]), at(plane[7]));
            add(digits[1], fours[1], twos[0], twos[1]);
            add(digits[2], eights, fours[0], fours[1]);
            carry_on<Digits>(digits, 3, eights);
        }
        if (plane + 4 <= end) {
            add(digits[0], twos[0], at(plane[0]), at(plane[1]));
            add(digits[0], twos[1], at(plane[2]), at(plane[3]));
            add(digits[1], fours[0], twos[0], twos[1]);
            carry_on<Digits>(digits, 2, fours[0]);
            plane += 4;
        }
        if (plane + 2 <= end) {
            add(digits[0], twos[0], at(plane[0]), at(plane[1]));
            carry_on<Digits>(digits, 1, twos[0]);
            plane += 2;
        }
        if (plane < end) carry_on<Digits>(digits, 0, at(plane[0]));
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

#endif
