// Plain C++ for any CPU, written in loops that compilers vectorise.
#include <cfloat>
#include <cmath>
#include <cstring>

#include "core/kernel_table.hpp"
#define PYHASH_LEVEL portable
#include "kernels/bayes_kernels.hpp"
#include "kernels/descend_by_flips.hpp"
#include "kernels/rank_by_counts.hpp"
#include "kernels/scan_bit_planes.hpp"

namespace pyhash::portable {
namespace {

// Set bits of a word by adding neighbouring fields: a popcount instruction cannot be taken for granted here.
inline std::uint32_t count_bits(std::uint64_t x) {
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return static_cast<std::uint32_t>((x * 0x0101010101010101u) >> 56);
}

template <class Word>
void hamming_words(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::uint32_t* out) {
    Word q;
    std::memcpy(&q, query, sizeof q);
    for (std::size_t i = 0; i < n; ++i) {
        Word c;
        std::memcpy(&c, codes + i * sizeof c, sizeof c);
        out[i] = count_bits(static_cast<Word>(q ^ c));
    }
}

// Hamming distances of one query to n codes: d = popcount(q xor c). Codes contiguous, any n_bytes; d <= 8 n_bytes.
// Tail: the last n_bytes % 8 bytes of a code are one partial word. Cost: about 12 operations for 8 bytes.
void hamming(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes,
             std::uint32_t* out) {
    switch (n_bytes) {
        case 1: return hamming_words<std::uint8_t>(query, codes, n, out);
        case 2: return hamming_words<std::uint16_t>(query, codes, n, out);
        case 4: return hamming_words<std::uint32_t>(query, codes, n, out);
        case 8: return hamming_words<std::uint64_t>(query, codes, n, out);
        default: break;
    }
    const std::size_t tail = n_bytes % 8;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint8_t* code = codes + i * n_bytes;
        std::uint32_t distance = 0;
        for (std::size_t j = 0; j + 8 <= n_bytes; j += 8) {
            std::uint64_t q, c;
            std::memcpy(&q, query + j, 8);
            std::memcpy(&c, code + j, 8);
            distance += count_bits(q ^ c);
        }
        if (tail != 0) {
            std::uint64_t q = 0, c = 0;
            std::memcpy(&q, query + n_bytes - tail, tail);
            std::memcpy(&c, code + n_bytes - tail, tail);
            distance += count_bits(q ^ c);
        }
        out[i] = distance;
    }
}

void hamming_at(const std::uint8_t* query, const std::uint8_t* codes, const std::uint32_t* positions, std::size_t n,
                std::size_t n_bytes, std::uint32_t* out) {
    for (std::size_t i = 0; i < n; ++i) hamming(query, codes + positions[i] * n_bytes, 1, n_bytes, out + i);
}

// Codes of some runs that are nearer than a bound: d = popcount(q xor c) < bound <= 8 n_bytes + 1. Runs of a contiguous
// array of codes, any n_bytes. Tail: as in `hamming`. Cost: that of `hamming`, block by block.
std::size_t near_codes(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n_bytes, const CodeRun* runs,
                       std::size_t n_runs, std::uint32_t bound, NearCode* out) {
    constexpr std::uint32_t block = 64;
    std::uint32_t distances[block];
    std::size_t n = 0;
    for (std::size_t run = 0; run < n_runs; ++run) {
        for (std::uint32_t first = runs[run].begin; first < runs[run].end; first += block) {
            const std::uint32_t left = runs[run].end - first, size = left < block ? left : block;
            hamming(query, codes + first * n_bytes, size, n_bytes, distances);
            for (std::uint32_t i = 0; i < size; ++i) {
                out[n] = {first + i, distances[i]};
                n += distances[i] < bound;
            }
        }
    }
    return n;
}

// The vector operations of scan_bit_planes.hpp as plain loops over four words.
struct Words {
    struct Vector {
        std::uint64_t words[4];
    };

    template <class Operation>
    static Vector each(Vector a, Vector b, Operation operation) {
        Vector out;
        for (std::size_t w = 0; w < 4; ++w) out.words[w] = operation(a.words[w], b.words[w]);
        return out;
    }

    static Vector load(const void* from) {
        Vector out;
        std::memcpy(&out, from, sizeof out);
        return out;
    }
    static void store(void* to, Vector v) { std::memcpy(to, &v, sizeof v); }
    static Vector zero() { return {}; }
    static Vector fill(bool bit) {
        const std::uint64_t word = bit ? ~std::uint64_t{0} : 0;
        return {{word, word, word, word}};
    }
    static Vector both(Vector a, Vector b) {
        return each(a, b, [](std::uint64_t x, std::uint64_t y) { return x & y; });
    }
    static Vector either(Vector a, Vector b) {
        return each(a, b, [](std::uint64_t x, std::uint64_t y) { return x | y; });
    }
    static Vector differ(Vector a, Vector b) {
        return each(a, b, [](std::uint64_t x, std::uint64_t y) { return x ^ y; });
    }
    static Vector first_not_second(Vector a, Vector b) {
        return each(a, b, [](std::uint64_t x, std::uint64_t y) { return x & ~y; });
    }
    static std::size_t count_bits(std::uint64_t x) { return portable::count_bits(x); }
    static std::uint32_t trailing_zeros(std::uint64_t x) {
        return x == 0 ? 64 : static_cast<std::uint32_t>(__builtin_ctzll(x));
    }
    static bool any(Vector v) { return (v.words[0] | v.words[1] | v.words[2] | v.words[3]) != 0; }
};

// Weighted Hamming distances from byte tables: d = sum over j ascending of costs[j][c_j]; float64, one rounding a byte.
// Four codes side by side, so that their additions overlap; tail: the last n % 4 codes one at a time.
void weighted_hamming(const double* costs, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes, double* out) {
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const std::uint8_t* c = codes + i * n_bytes;
        double sums[4] = {0.0, 0.0, 0.0, 0.0};
        for (std::size_t j = 0; j < n_bytes; ++j) {
            for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += costs[256 * j + c[lane * n_bytes + j]];
        }
        for (std::size_t lane = 0; lane < 4; ++lane) out[i + lane] = sums[lane];
    }
    for (; i < n; ++i) {
        double sum = 0.0;
        for (std::size_t j = 0; j < n_bytes; ++j) sum += costs[256 * j + codes[i * n_bytes + j]];
        out[i] = sum;
    }
}

// Sums that words choose from tables, nibble by nibble in ascending order. No tail: rows have sum_lanes values. Cost:
// one addition of a row for four bits of a word.
template <class Value>
void add_chosen(const std::uint64_t* words, std::size_t n, const Value* tables, Value* sums) {
    for (std::size_t i = 0; i < n; ++i, sums += sum_lanes) {
        Value row[sum_lanes];
        std::memcpy(row, sums, sizeof row);
        const Value* table = tables;
        for (std::uint64_t word = words[i]; word != 0; word >>= 4, table += 16 * sum_lanes) {
            const Value* chosen = table + (word & 15) * sum_lanes;
            for (std::size_t lane = 0; lane < sum_lanes; ++lane) row[lane] += chosen[lane];
        }
        std::memcpy(sums, row, sizeof row);
    }
}

// The vector steps of descend_by_flips.hpp as plain loops.
template <class Real>
struct Lanes {
    static constexpr Real eps = sizeof(Real) == 4 ? static_cast<Real>(FLT_EPSILON) : static_cast<Real>(DBL_EPSILON);

    static std::uint64_t positive(const std::int8_t* signs, std::size_t n) {
        std::uint64_t word = 0;
        for (std::size_t l = 0; l < n; ++l) word |= static_cast<std::uint64_t>(signs[l] > 0) << l;
        return word;
    }

    static void zero_width(const Real* q, const Real* h_abs_sum, std::size_t n_bits, Real* zero, std::size_t stride) {
        for (std::size_t l = 0; l < n_bits; ++l) zero[l] = 8 * eps * (std::abs(q[l]) + h_abs_sum[l]);
        for (std::size_t l = n_bits; l < stride; ++l) zero[l] = 0;
    }

    static void subtract_column(Real step, const Real* column, Real* g, std::size_t stride) {
        for (std::size_t l = 0; l < stride; ++l) g[l] -= step * column[l];
    }

    template <std::size_t Stride>
    static std::uint64_t subtract_column_above(Real step, const Real* column, Real* g, const Real* zero) {
        subtract_column(step, column, g, Stride);
        return above(g, zero, Stride);
    }

    static void subtract_columns(const Real* h, const std::uint64_t* words, std::size_t n_bits, Real* g,
                                 std::size_t stride) {
        for (std::size_t l = 0; l < n_bits; ++l) {
            const Real sign = (words[l / 64] >> (l % 64)) & 1 ? Real{1} : Real{-1};
            subtract_column(sign, h + l * stride, g, stride);
        }
    }

    static std::uint64_t above(const Real* g, const Real* zero, std::size_t width) {
        std::uint64_t word = 0;
        for (std::size_t l = 0; l < width; ++l) word |= static_cast<std::uint64_t>(g[l] > zero[l]) << l;
        return word;
    }
};

// No tables of nibbles: without a byte shuffle they gain nothing over tables of bytes.
constexpr BayesKernels bayes = bayes_kernels<FloatLanes<4>>();

constexpr KernelTable table{
    .level = "portable",
    .hamming = hamming,
    .hamming_at = hamming_at,
    .near_codes = near_codes,
    .scan_bits = BitCounter<Words>::scan_of,
    .kth_of_bits = BitCounter<Words>::kth_of,
    .rank_relevant = rank_by_counts,
    .nibbles = nullptr,
    .weighted_hamming = weighted_hamming,
    .add_chosen_i32 = add_chosen<std::int32_t>,
    .add_chosen_f64 = add_chosen<double>,
    .descend_f32 = descend<Lanes<float>>,
    .descend_f64 = descend<Lanes<double>>,
    .bayes = &bayes,
};

}  // namespace
}  // namespace pyhash::portable

namespace pyhash {

const KernelTable* portable_kernels() { return &portable::table; }

}  // namespace pyhash
