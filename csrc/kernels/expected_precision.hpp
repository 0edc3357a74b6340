// Expected average precision of a code, and of the codes after the flip of each bit, by vectors of bits of `Lanes`
// (float_lanes.hpp).
//
// A flip of bit l brings the sets whose codes differ there nearer by one, and takes the others farther away by one. So
// the rows at each distance after each flip are counted once, for all bits side by side, in one pass over the sets;
// their running sums are what average precision is made of.
//
// Cost: for each bit, about 1 addition a set, 1 division a distance and 20 operations a likely set (or 40 a distance
// where rows are relevant by degrees).
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_EXPECTED_PRECISION_HPP
#define PYHASH_KERNELS_EXPECTED_PRECISION_HPP

#include "core/kernel_table.hpp"
#include "kernels/float_lanes.hpp"

namespace pyhash::PYHASH_LEVEL {

// The average precision of a likely set with x = count * depth.
template <class Lanes>
inline typename Lanes::Vector average_precision(typename Lanes::Vector x, typename Lanes::Vector ratio, float factor) {
    return 1.0f - (1.0f - x * factor) * ratio;
}

// A level of `rows` rows, of which `relevant` are relevant, after `rows_before`, of which `relevant_before` are.
template <class Lanes>
struct Level {
    using Vector = typename Lanes::Vector;
    Vector rows_before = Lanes::set(0.0f), relevant_before = Lanes::set(0.0f);

    // Its share of the graded precision; then it is one of those before.
    template <bool Short>
    Vector pass(Vector rows, Vector relevant) {
        const Vector one = Lanes::set(1.0f);
        const auto is_empty = rows <= Lanes::set(0.0f);
        const Vector degree = relevant / Lanes::choose(is_empty, one, rows);
        const Vector x = rows / (((rows_before + rows_before) + rows) + one);
        const Vector ratio = Short ? atanh_ratio_of_small<Lanes>(x) : atanh_ratio<Lanes>(x);
        const Vector sum = relevant + (((relevant_before + one) - degree) - degree * rows_before) * ((x + x) * ratio);
        rows_before = rows_before + rows;
        relevant_before = relevant_before + relevant;
        return degree * sum;
    }
};

inline float precision(const LikelySet* sets, const float* depths, std::size_t n) {
    float total = 0.0f;
    for (std::size_t i = 0; i < n; ++i) {
        const float x = sets[i].count * depths[i];
        const float ratio = atanh_ratio<FloatLanes<1>>(x);
        total += sets[i].probability * average_precision<FloatLanes<1>>(x, ratio, sets[i].factor);
    }
    return total;
}

inline float graded_precision(const float* rows, const float* relevant, std::size_t n_levels) {
    Level<FloatLanes<1>> level;
    float total = 0.0f;
    for (std::size_t i = 0; i < n_levels; ++i) total += level.pass<false>(rows[i], relevant[i]);
    return total;
}

// A bit of each lane of a word of 32.
alignas(64) inline constexpr std::uint32_t lane_bits[32] = {
    1u << 0,  1u << 1,  1u << 2,  1u << 3,  1u << 4,  1u << 5,  1u << 6,  1u << 7,   //
    1u << 8,  1u << 9,  1u << 10, 1u << 11, 1u << 12, 1u << 13, 1u << 14, 1u << 15,  //
    1u << 16, 1u << 17, 1u << 18, 1u << 19, 1u << 20, 1u << 21, 1u << 22, 1u << 23,  //
    1u << 24, 1u << 25, 1u << 26, 1u << 27, 1u << 28, 1u << 29, 1u << 30, 1u << 31};

template <class Lanes>
struct Flips {
    using Vector = typename Lanes::Vector;
    static constexpr std::size_t width = Lanes::width;

    const RankingProblem& problem;

    // The lanes from bit `first` on where the bit of a word is 1.
    static typename Lanes::Mask mask_of(std::uint32_t word, std::size_t first) {
        return (Lanes::load(lane_bits + first % 32) & word) != 0;
    }

    // Where the code of a set has the bits of the query's code.
    std::uint32_t equal_bits(std::size_t set, std::size_t word) const {
        return ~(problem.code[word] ^ problem.signs[set * problem.n_words + word]);
    }

    // The sets are at distances from `least` to `most`. Level d of the arrays below is that of distance d - 1.
    struct Range {
        std::size_t least, most;
    };

    Range range() const {
        Range range{.least = problem.n_bits, .most = 0};
        for (std::size_t set = 0; set < problem.n_sets; ++set) {
            const std::size_t d = problem.distances[set];
            if (d < range.least) range.least = d;
            if (d > range.most) range.most = d;
        }
        return range;
    }

    // levels (n_bits + 3, stride): for each flip, the sums of `values` (n_sets) over the sets at each distance.
    void fill(Range range, const float* values, float* levels) const {
        const std::size_t stride = problem.stride;
        std::memset(levels + range.least * stride, 0, (range.most - range.least + 3) * stride * sizeof(float));
        for (std::size_t set = 0; set < problem.n_sets; ++set) {
            if (values[set] == 0.0f) continue;
            const Vector value = Lanes::set(values[set]), zero = Lanes::set(0.0f);
            float* nearer = levels + problem.distances[set] * stride;
            float* farther = nearer + 2 * stride;
            for (std::size_t word = 0; word < problem.n_words; ++word) {
                const std::uint32_t equal = equal_bits(set, word);
                const std::size_t end = 32 * word + 32 < stride ? 32 * word + 32 : stride;
                for (std::size_t l = 32 * word; l < end; l += width) {
                    const auto mask = mask_of(equal, l);
                    Lanes::store(farther + l, Lanes::load(farther + l) + Lanes::choose(mask, value, zero));
                    Lanes::store(nearer + l, Lanes::load(nearer + l) + Lanes::choose(mask, zero, value));
                }
            }
        }
    }

    // From the rows at each distance to 1 / (1 + 2 (rows nearer) + (rows as near)).
    void take_depths(std::size_t first, std::size_t last, float* levels) const {
        for (std::size_t l = 0; l < problem.stride; l += width) {
            Vector before = Lanes::set(0.0f);
            for (std::size_t level = first; level <= last; ++level) {
                float* at = levels + level * problem.stride + l;
                const Vector rows = Lanes::load(at);
                Lanes::store(at, 1.0f / (((before + before) + rows) + 1.0f));
                before = before + rows;
            }
        }
    }

    // Rows that are nearer than distance d after each flip, at least.
    float always_nearer(std::size_t d) const { return d < 2 ? 0.0f : problem.rows_within[d - 2]; }

    template <bool Short>
    void add_precisions(const LikelySet& likely, const float* depths, float* out) const {
        const float* nearer = depths + problem.distances[likely.set] * problem.stride;
        const float* farther = nearer + 2 * problem.stride;
        for (std::size_t word = 0; word < problem.n_words; ++word) {
            const std::uint32_t equal = equal_bits(likely.set, word);
            const std::size_t end = 32 * word + 32 < problem.stride ? 32 * word + 32 : problem.stride;
            for (std::size_t l = 32 * word; l < end; l += width) {
                const Vector depth =
                    Lanes::choose(mask_of(equal, l), Lanes::load(farther + l), Lanes::load(nearer + l));
                const Vector x = likely.count * depth;
                const Vector ratio = Short ? atanh_ratio_of_small<Lanes>(x) : atanh_ratio<Lanes>(x);
                const Vector precision = average_precision<Lanes>(x, ratio, likely.factor);
                Lanes::store(out + l, Lanes::load(out + l) + likely.probability * precision);
            }
        }
    }

    void precisions(const LikelySet* sets, std::size_t n, float* scratch, float* out) const {
        const Range all = range();
        fill(all, problem.counts, scratch);
        std::size_t last = all.least;
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t farther = problem.distances[sets[i].set] + std::size_t{2};
            if (farther > last) last = farther;
        }
        take_depths(all.least, last, scratch);
        for (std::size_t l = 0; l < problem.stride; ++l) out[l] = 0.0f;
        for (std::size_t i = 0; i < n; ++i) {
            // It moves nearer by at most 1. The margin is for rounding: a series of the wrong kind is never taken.
            const std::size_t d = problem.distances[sets[i].set];
            const float least_depth = 2.0f * (d < 1 ? 0.0f : always_nearer(d - 1)) + sets[i].count + 1.0f;
            if (sets[i].count < 0.999f * short_series * least_depth) {
                add_precisions<true>(sets[i], scratch, out);
            } else {
                add_precisions<false>(sets[i], scratch, out);
            }
        }
    }

    template <bool Short>
    void add_level(std::size_t level, const float* rows, const float* relevant, float* before, float* out) const {
        for (std::size_t l = 0; l < problem.stride; l += width) {
            Level<Lanes> at{.rows_before = Lanes::load(before + l),
                            .relevant_before = Lanes::load(before + problem.stride + l)};
            const std::size_t i = level * problem.stride + l;
            Lanes::store(out + l, Lanes::load(out + l) +
                                      at.template pass<Short>(Lanes::load(rows + i), Lanes::load(relevant + i)));
            Lanes::store(before + l, at.rows_before);
            Lanes::store(before + problem.stride + l, at.relevant_before);
        }
    }

    void graded_precisions(const float* relevant_rows, float* scratch, float* out) const {
        const Range all = range();
        const std::size_t size = (problem.n_bits + 3) * problem.stride;
        float *rows = scratch, *relevant = rows + size, *before = relevant + size;
        fill(all, problem.counts, rows);
        fill(all, relevant_rows, relevant);
        for (std::size_t l = 0; l < 2 * problem.stride; ++l) before[l] = 0.0f;
        for (std::size_t l = 0; l < problem.stride; ++l) out[l] = 0.0f;
        for (std::size_t level = all.least; level <= all.most + 2; ++level) {
            // Level d holds rows of the distances d - 2 and d at most.
            const float nearer = level < 1 ? 0.0f : always_nearer(level - 1);
            const std::size_t far = level < problem.n_bits ? level : problem.n_bits;
            const float most = problem.rows_within[far] - (level < 3 ? 0.0f : problem.rows_within[level - 3]);
            if (most < 0.999f * short_series * (2.0f * nearer + most + 1.0f)) {
                add_level<true>(level, rows, relevant, before, out);
            } else {
                add_level<false>(level, rows, relevant, before, out);
            }
        }
    }
};

// out[i] += value where bit i is 1.
template <class Lanes>
inline void add_where_set(const std::uint32_t* bits, std::size_t n, float value, float* out) {
    const typename Lanes::Vector added = Lanes::set(value), zero = Lanes::set(0.0f);
    for (std::size_t i = 0; i < n; i += Lanes::width) {
        const auto mask = Flips<Lanes>::mask_of(bits[i / 32], i);
        Lanes::store(out + i, Lanes::load(out + i) + Lanes::choose(mask, added, zero));
    }
}

}  // namespace pyhash::PYHASH_LEVEL

#endif
