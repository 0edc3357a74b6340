// Discrete cyclic descent driven by flips, for the vector steps (`Lanes`) that a kernel file gives.
//
// Keeps g = q - H b of a row up to date, so that a bit costs nothing until it flips:
//   wanted = {l : g_l > zero_l};  the next bit to flip is the lowest of (wanted xor b) not yet visited in this sweep;
//   flipping b_l to s adds -2 s H[:, l] to g.
// Every product is by +-1 or +-2, hence exact: with or without fused multiply-add, and for every vector width, g is the
// same to the last bit. g is taken afresh at the start of a sweep once n_bits flips have gone into it, so that rounding
// stays far below `zero`.
// One flip waits for the one before it, so `descent_rows` rows take turns and fill each other's waiting time.
// Cost: r^2 additions a row to start, then r additions and r comparisons a flip.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_DESCEND_BY_FLIPS_HPP
#define PYHASH_KERNELS_DESCEND_BY_FLIPS_HPP

#if !defined(PYHASH_LEVEL)
#error "define PYHASH_LEVEL, the namespace of the level, before this header"
#endif

#include <cstddef>
#include <cstdint>

#include "core/kernel_table.hpp"

namespace pyhash::PYHASH_LEVEL {

template <class Real>
struct DescentRow {
    Real* g;
    Real* zero;
    std::uint64_t* words;  // the signs, one bit each
    std::size_t row, sweep, word;
    std::uint64_t wanted;     // of the current word: the bits where g is above zero
    std::uint64_t unvisited;  // of the current word: the bits that this sweep has yet to visit
    std::size_t flipped;      // in this sweep
    std::size_t drift;        // flips since g was taken afresh
};

// FixedStride: the stride where it is known at compile time, at most 64 or a multiple of it, else 0.
template <class Lanes, class Real, std::size_t FixedStride>
struct Descent {
    static constexpr std::size_t fixed_width = FixedStride < 64 ? FixedStride : 64;  // values of a word
    static_assert(fixed_width == 0 || FixedStride % fixed_width == 0);

    const DescentProblem<Real>& problem;
    std::int64_t* flips;

    std::size_t stride() const { return FixedStride != 0 ? FixedStride : problem.stride; }
    std::size_t n_words() const { return ((FixedStride != 0 ? FixedStride : problem.n_bits) + 63) / 64; }

    void take_gradient(DescentRow<Real>& row) const {
        const Real* q = problem.q + row.row * problem.n_bits;
        for (std::size_t l = 0; l < problem.n_bits; ++l) row.g[l] = q[l];
        for (std::size_t l = problem.n_bits; l < stride(); ++l) row.g[l] = 0;
        Lanes::subtract_columns(problem.h, row.words, problem.n_bits, row.g, stride());
        row.drift = 0;
    }

    void begin_word(DescentRow<Real>& row, std::size_t word) const {
        const std::size_t first = 64 * word;
        const std::size_t width = fixed_width != 0 ? fixed_width : (stride() - first < 64 ? stride() - first : 64);
        row.word = word;
        row.wanted = Lanes::above(row.g + first, row.zero + first, width);
        row.unvisited = ~std::uint64_t{0};
    }

    void begin_sweep(DescentRow<Real>& row) const {
        if (row.drift >= problem.n_bits) take_gradient(row);
        row.flipped = 0;
        begin_word(row, 0);
    }

    void begin_row(DescentRow<Real>& row, std::size_t i) const {
        const std::int8_t* signs = problem.signs + i * problem.n_bits;
        for (std::size_t w = 0; w < n_words(); ++w) {
            const std::size_t left = problem.n_bits - 64 * w;
            row.words[w] = Lanes::positive(signs + 64 * w, left < 64 ? left : 64);
        }
        row.row = i;
        row.sweep = 0;
        Lanes::zero_width(problem.q + i * problem.n_bits, problem.h_abs_sum, problem.n_bits, row.zero, stride());
        take_gradient(row);
        begin_sweep(row);
    }

    void end_row(const DescentRow<Real>& row) const {
        std::int8_t* signs = problem.signs + row.row * problem.n_bits;
        for (std::size_t l = 0; l < problem.n_bits; ++l) {
            signs[l] = static_cast<std::int8_t>(2 * static_cast<int>((row.words[l / 64] >> (l % 64)) & 1) - 1);
        }
    }

    void flip(DescentRow<Real>& row, unsigned bit) const {
        const std::size_t first = 64 * row.word;
        const Real* column = problem.h + (first + bit) * stride();
        const Real step = static_cast<Real>(4 * static_cast<int>((row.wanted >> bit) & 1) - 2);
        row.words[row.word] ^= std::uint64_t{1} << bit;
        row.unvisited = ~std::uint64_t{1} << bit;
        ++row.flipped;
        if constexpr (FixedStride != 0) {
            row.wanted = Lanes::template subtract_column_above<fixed_width>(step, column + first, row.g + first,
                                                                            row.zero + first);
            for (std::size_t other = 0; other < FixedStride; other += fixed_width) {
                if (other != first) Lanes::subtract_column(step, column + other, row.g + other, fixed_width);
            }
        } else {
            const std::size_t width = stride() - first < 64 ? stride() - first : 64;
            Lanes::subtract_column(step, column, row.g, stride());
            row.wanted = Lanes::above(row.g + first, row.zero + first, width);
        }
    }

    // Flips the next bit or, where a word has none left, goes on to the next word or sweep. False when the row is done.
    bool step(DescentRow<Real>& row) const {
        const std::uint64_t differing = (row.wanted ^ row.words[row.word]) & row.unvisited;
        if (__builtin_expect(differing != 0, 1)) {
            flip(row, static_cast<unsigned>(__builtin_ctzll(differing)));
            return true;
        }
        if (row.word + 1 < n_words()) {
            begin_word(row, row.word + 1);
            return true;
        }
        flips[row.sweep] += static_cast<std::int64_t>(row.flipped);
        row.drift += row.flipped;
        if (row.flipped == 0 || ++row.sweep == problem.max_sweeps) return false;
        begin_sweep(row);
        return true;
    }

    void run(std::size_t begin, std::size_t end, Real* values, std::uint64_t* words) const {
        if (problem.max_sweeps == 0) return;
        DescentRow<Real> rows[descent_rows];
        std::size_t active = 0;
        for (; active < descent_rows && begin < end; ++active, ++begin) {
            rows[active].g = values + 2 * active * stride();
            rows[active].zero = rows[active].g + stride();
            rows[active].words = words + active * n_words();
            begin_row(rows[active], begin);
        }
        while (active != 0) {
            for (std::size_t k = 0; k < active; ++k) {
                if (step(rows[k])) continue;
                end_row(rows[k]);
                if (begin < end) {
                    begin_row(rows[k], begin++);
                } else {
                    rows[k] = rows[--active];
                }
            }
        }
    }
};

template <class Lanes, class Real>
void descend(const DescentProblem<Real>& problem, std::size_t begin, std::size_t end, Real* values,
             std::uint64_t* words, std::int64_t* flips) {
    switch (problem.stride) {
        case 16: return Descent<Lanes, Real, 16>{problem, flips}.run(begin, end, values, words);
        case 32: return Descent<Lanes, Real, 32>{problem, flips}.run(begin, end, values, words);
        case 48: return Descent<Lanes, Real, 48>{problem, flips}.run(begin, end, values, words);
        case 64: return Descent<Lanes, Real, 64>{problem, flips}.run(begin, end, values, words);
        case 128: return Descent<Lanes, Real, 128>{problem, flips}.run(begin, end, values, words);
        default: return Descent<Lanes, Real, 0>{problem, flips}.run(begin, end, values, words);
    }
}

}  // namespace pyhash::PYHASH_LEVEL

#endif
