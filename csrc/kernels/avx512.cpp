// AVX-512 as Ice Lake, Zen 4 and later CPUs have it: this file alone is compiled for it, and runs only where the CPU
// has it. What 512 bits do not make faster is taken from AVX2: gathers, for one, cost as much as the loads that they
// stand for.
#include "core/kernel_table.hpp"

#if defined(__AVX512F__)

#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in headers of GCC 12 and before, wrongly: its bug 105593
#endif
#include <immintrin.h>

#include <cfloat>

#define PYHASH_LEVEL avx512
#include "kernels/add_chosen_rows.hpp"
#include "kernels/descend_by_flips.hpp"
#include "kernels/descent_lanes.hpp"
#include "kernels/scan_bit_planes.hpp"

namespace pyhash::avx512 {
namespace {

// The lowest n of 64 bits.
inline std::uint64_t low_bits(std::size_t n) { return _bzhi_u64(~std::uint64_t{0}, n < 64 ? n : 64); }

// ---- Hamming ------------------------------------------------------------------------------------------------------

// The lanes of even or odd index of a, then of b.
inline __m512i even_lanes(__m512i a, __m512i b) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_epi32(a, even, b);
}

inline __m512i odd_lanes(__m512i a, __m512i b) {
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_epi32(a, odd, b);
}

// Set bits that differ from the query's, for each `Words` words after the first `begin`: the first 16 such runs. Words
// from `end` on are not read, and their lanes say nothing. The query is repeated in `query`.
template <std::size_t Words>
inline __m512i differing_bits(__m512i query, const std::uint8_t* words, std::size_t begin, std::size_t end) {
    if constexpr (Words == 1) {
        const auto count = [&](std::size_t first) {
            const auto mask = static_cast<__mmask8>(low_bits(end > first ? end - first : 0));
            const __m512i loaded = _mm512_maskz_loadu_epi64(mask, words + 8 * first);
            return _mm512_popcnt_epi64(_mm512_xor_si512(query, loaded));
        };
        return even_lanes(count(begin), count(begin + 8));
    } else {
        const __m512i low = differing_bits<Words / 2>(query, words, begin, end);
        const __m512i high = differing_bits<Words / 2>(query, words, begin + 8 * Words, end);
        return _mm512_add_epi32(even_lanes(low, high), odd_lanes(low, high));
    }
}

// Distances of n codes, 16 at most, as the lowest lanes: for each length that a vector holds a whole number of.
template <std::size_t n_bytes>
inline __m512i distances_of(__m512i query, const std::uint8_t* codes, std::size_t n) {
    const auto mask = static_cast<__mmask16>(low_bits(n));
    if constexpr (n_bytes == 1) {
        const __m128i differing = _mm_xor_si128(_mm512_castsi512_si128(query), _mm_maskz_loadu_epi8(mask, codes));
        return _mm512_cvtepu8_epi32(_mm_popcnt_epi8(differing));
    } else if constexpr (n_bytes == 2) {
        const __m256i loaded = _mm256_maskz_loadu_epi16(mask, codes);
        return _mm512_cvtepu16_epi32(_mm256_popcnt_epi16(_mm256_xor_si256(_mm512_castsi512_si256(query), loaded)));
    } else if constexpr (n_bytes == 4) {
        return _mm512_popcnt_epi32(_mm512_xor_si512(query, _mm512_maskz_loadu_epi32(mask, codes)));
    } else {
        return differing_bits<n_bytes / 8>(query, codes, 0, n * n_bytes / 8);
    }
}

template <std::size_t n_bytes>
inline __m512i repeated(const std::uint8_t* query) {
    alignas(64) std::uint8_t bytes[64];
    for (std::size_t j = 0; j < 64; ++j) bytes[j] = query[j % n_bytes];
    return _mm512_load_si512(bytes);
}

// Hamming distances of one query to n codes: d = popcount(q xor c).
// 16 codes a step; tail: the last n % 16 through masks. Cost: for 64 bits, two loads, exclusive ors and counts and a
// shuffle for 16 codes; three times that for 128 bits.
template <std::size_t n_bytes>
void hamming_of(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::uint32_t* out) {
    const __m512i q = repeated<n_bytes>(query);
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_si512(out + i, distances_of<n_bytes>(q, codes + n_bytes * i, 16));
    if (i < n) {
        const __m512i last = distances_of<n_bytes>(q, codes + n_bytes * i, n - i);
        _mm512_mask_storeu_epi32(out + i, static_cast<__mmask16>(low_bits(n - i)), last);
    }
}

// Codes of more than 32 bytes, one by one, 64 bytes a step; tail: the last n_bytes % 64 through a mask.
void hamming_of_long(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes,
                     std::uint32_t* out) {
    for (std::size_t i = 0; i < n; ++i, codes += n_bytes) {
        __m512i sums = _mm512_setzero_si512();
        for (std::size_t j = 0; j < n_bytes; j += 64) {
            const __mmask64 mask = low_bits(n_bytes - j);
            const __m512i differing =
                _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, query + j), _mm512_maskz_loadu_epi8(mask, codes + j));
            sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(differing));
        }
        out[i] = static_cast<std::uint32_t>(_mm512_reduce_add_epi64(sums));
    }
}

void hamming(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes,
             std::uint32_t* out) {
    switch (n_bytes) {
        case 1: return hamming_of<1>(query, codes, n, out);
        case 2: return hamming_of<2>(query, codes, n, out);
        case 4: return hamming_of<4>(query, codes, n, out);
        case 8: return hamming_of<8>(query, codes, n, out);
        case 16: return hamming_of<16>(query, codes, n, out);
        case 32: return hamming_of<32>(query, codes, n, out);
        case 64: return hamming_of<64>(query, codes, n, out);
        default: break;
    }
    if (n_bytes > 32) return hamming_of_long(query, codes, n, n_bytes, out);
    avx2_kernels()->hamming(query, codes, n, n_bytes, out);
}

// 16 codes a step; tail: the last of a run through masks. Few are below the bound.
template <std::size_t n_bytes>
std::size_t near_codes_of(const std::uint8_t* query, const std::uint8_t* codes, const CodeRun* runs, std::size_t n_runs,
                          std::uint32_t bound, NearCode* out) {
    const __m512i q = repeated<n_bytes>(query), bounds = _mm512_set1_epi32(static_cast<int>(bound));
    std::size_t n = 0;
    for (std::size_t run = 0; run < n_runs; ++run) {
        for (std::size_t i = runs[run].begin; i < runs[run].end; i += 16) {
            const std::size_t left = runs[run].end - i;
            const __m512i distances = distances_of<n_bytes>(q, codes + n_bytes * i, left < 16 ? left : 16);
            unsigned below = _mm512_mask_cmplt_epu32_mask(static_cast<__mmask16>(low_bits(left)), distances, bounds);
            if (__builtin_expect(below == 0, 1)) continue;
            alignas(64) std::uint32_t values[16];
            _mm512_store_si512(values, distances);
            for (; below != 0; below &= below - 1) {
                const std::uint32_t lane = _tzcnt_u32(below);
                out[n++] = {static_cast<std::uint32_t>(i) + lane, values[lane]};
            }
        }
    }
    return n;
}

std::size_t near_codes(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n_bytes, const CodeRun* runs,
                       std::size_t n_runs, std::uint32_t bound, NearCode* out) {
    switch (n_bytes) {
        case 4: return near_codes_of<4>(query, codes, runs, n_runs, bound, out);
        case 8: return near_codes_of<8>(query, codes, runs, n_runs, bound, out);
        case 16: return near_codes_of<16>(query, codes, runs, n_runs, bound, out);
        case 32: return near_codes_of<32>(query, codes, runs, n_runs, bound, out);
        default: return avx2_kernels()->near_codes(query, codes, n_bytes, runs, n_runs, bound, out);
    }
}

// ---- Bit planes ---------------------------------------------------------------------------------------------------

struct Bits512 {
    using Vector = __m512i;

    static Vector load(const void* from) { return _mm512_loadu_si512(from); }
    static void store(void* to, Vector v) { _mm512_storeu_si512(to, v); }
    static Vector zero() { return _mm512_setzero_si512(); }
    static Vector fill(bool bit) { return _mm512_set1_epi8(bit ? -1 : 0); }
    static Vector both(Vector a, Vector b) { return _mm512_and_si512(a, b); }
    static Vector either(Vector a, Vector b) { return _mm512_or_si512(a, b); }
    static Vector differ(Vector a, Vector b) { return _mm512_xor_si512(a, b); }
    static Vector first_not_second(Vector a, Vector b) { return _mm512_andnot_si512(b, a); }
    // Of three vectors: bit 4 a + 2 b + c of the constant is the result.
    static Vector odd(Vector a, Vector b, Vector c) { return _mm512_ternarylogic_epi64(a, b, c, 0b10010110); }
    static Vector majority(Vector a, Vector b, Vector c) { return _mm512_ternarylogic_epi64(a, b, c, 0b11101000); }
    static Vector less_by(Vector bound, Vector digit, Vector less) {
        return _mm512_ternarylogic_epi64(bound, digit, less, 0b10110010);
    }
    static bool any(Vector v) { return _mm512_test_epi64_mask(v, v) != 0; }
    static std::size_t count_bits(std::uint64_t x) { return static_cast<std::size_t>(_mm_popcnt_u64(x)); }
    static std::uint32_t trailing_zeros(std::uint64_t x) { return static_cast<std::uint32_t>(_tzcnt_u64(x)); }

    // Word by word: the bytes 0 to 63 whose bit is set move together, and 16 at a time become positions.
    static std::size_t write_positions(Vector found, std::uint32_t first, std::uint32_t* out) {
        alignas(64) std::uint8_t bytes[64];
        for (std::size_t i = 0; i < 64; ++i) bytes[i] = static_cast<std::uint8_t>(i);
        alignas(64) std::uint64_t words[8];
        _mm512_store_si512(words, found);
        std::size_t n = 0;
        for (unsigned left = _mm512_test_epi64_mask(found, found); left != 0; left &= left - 1) {
            const unsigned w = _tzcnt_u32(left);
            const __m512i from = _mm512_set1_epi32(static_cast<int>(first + 64 * w));
            __m512i chosen = _mm512_maskz_compress_epi8(words[w], _mm512_load_si512(bytes));
            const std::size_t end = n + count_bits(words[w]);
            for (; n + 16 < end; n += 16) {
                _mm512_storeu_si512(out + n, _mm512_add_epi32(from, positions_of(chosen)));
                chosen = _mm512_alignr_epi64(chosen, chosen, 2);
            }
            _mm512_mask_storeu_epi32(out + n, static_cast<__mmask16>(low_bits(end - n)),
                                     _mm512_add_epi32(from, positions_of(chosen)));
            n = end;
        }
        return n;
    }

private:
    static __m512i positions_of(__m512i bytes) { return _mm512_cvtepu8_epi32(_mm512_castsi512_si128(bytes)); }
};

// ---- Nibble planes ------------------------------------------------------------------------------------------------

// Sums of the 64 codes of a block for Queries queries, saturated at 255. Two planes a step, in the halves of a vector:
// so are sums of even and of odd planes until the last step.
template <std::size_t Queries>
inline void sum_block(const std::uint8_t* block, std::size_t n_planes, const std::uint8_t* tables, __m512i* sums) {
    const __m512i half = _mm512_set1_epi8(0x0f);
    __m512i low[Queries], high[Queries];  // codes 0-31, codes 32-63
    for (std::size_t q = 0; q < Queries; ++q) low[q] = high[q] = _mm512_setzero_si512();
    for (std::size_t p = 0; p < n_planes; p += 2) {
        const __m512i planes = _mm512_loadu_si512(block + 32 * p);
        const __m512i of_low = _mm512_and_si512(planes, half);
        const __m512i of_high = _mm512_and_si512(_mm512_srli_epi16(planes, 4), half);
#pragma GCC unroll 4
        for (std::size_t q = 0; q < Queries; ++q) {
            const auto* pair = reinterpret_cast<const __m128i*>(tables + (q * n_planes + p) * 16);
            const __m512i even = _mm512_broadcast_i32x4(_mm_load_si128(pair));
            const __m512i table = _mm512_mask_broadcast_i32x4(even, 0xff00, _mm_load_si128(pair + 1));
            low[q] = _mm512_adds_epu8(low[q], _mm512_shuffle_epi8(table, of_low));
            high[q] = _mm512_adds_epu8(high[q], _mm512_shuffle_epi8(table, of_high));
        }
    }
#pragma GCC unroll 4
    for (std::size_t q = 0; q < Queries; ++q) {
        sums[q] = _mm512_adds_epu8(_mm512_shuffle_i64x2(low[q], high[q], _MM_SHUFFLE(1, 0, 1, 0)),
                                   _mm512_shuffle_i64x2(low[q], high[q], _MM_SHUFFLE(3, 2, 3, 2)));
    }
}

void sum_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                 std::uint8_t* out) {
    for (std::size_t b = 0; b < n_blocks; ++b) {
        __m512i sums;
        sum_block<1>(blocks + b * n_planes * 32, n_planes, tables, &sums);
        _mm512_storeu_si512(out + 64 * b, sums);
    }
}

template <std::size_t Queries>
void scan_nibbles_of(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                     const std::uint8_t* bounds, NibbleHits* hits) {
    for (std::size_t q = 0; q < Queries; ++q) hits[q].n = 0;
    for (std::size_t b = 0; b < n_blocks; ++b) {
        __m512i sums[Queries];
        sum_block<Queries>(blocks + b * n_planes * 32, n_planes, tables, sums);
#pragma GCC unroll 4
        for (std::size_t q = 0; q < Queries; ++q) {
            std::uint64_t found = _mm512_cmplt_epu8_mask(sums[q], _mm512_set1_epi8(static_cast<char>(bounds[q])));
            for (; __builtin_expect(found != 0, 0); found &= found - 1) {
                hits[q].positions[hits[q].n++] = static_cast<std::uint16_t>(64 * b + _tzcnt_u64(found));
            }
        }
    }
}

// Sums of table entries by nibble; layout: core/nibble_planes.hpp. No tail: blocks are whole. Cost: one look-up and one
// addition for 64 nibbles.
void scan_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                  const std::uint8_t* bounds, std::size_t n_queries, NibbleHits* hits) {
    if (n_queries == 1) {
        scan_nibbles_of<1>(blocks, n_blocks, n_planes, tables, bounds, hits);
    } else {
        scan_nibbles_of<nibble_queries>(blocks, n_blocks, n_planes, tables, bounds, hits);
    }
}

// ---- Descent and sums ---------------------------------------------------------------------------------------------

// One bit for each lane of N masks of as many lanes as a Mask has bits.
template <std::size_t N, class Mask>
inline std::uint64_t joined(const Mask* masks) {
    std::uint64_t word = 0;
#pragma GCC unroll 8
    for (std::size_t k = 0; k < N; ++k) word |= static_cast<std::uint64_t>(masks[k]) << (8 * sizeof(Mask) * k);
    return word;
}

inline std::uint64_t positive_signs(const std::int8_t* signs, std::size_t n) {
    return _mm512_cmpgt_epi8_mask(_mm512_maskz_loadu_epi8(low_bits(n), signs), _mm512_setzero_si512());
}

// Vectors of one type, as add_chosen_rows.hpp and descent_lanes.hpp take them.
struct Int32 {
    using Value = std::int32_t;
    using Vector = __m512i;
    static constexpr std::size_t width = 16;
    static Vector load(const std::int32_t* x) { return _mm512_load_si512(x); }
    static void store(std::int32_t* x, Vector v) { _mm512_store_si512(x, v); }
    static Vector add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
};

struct Float32 {
    using Value = float;
    using Vector = __m512;
    using Mask = __mmask16;
    static constexpr std::size_t width = 16;
    static constexpr float eps = FLT_EPSILON;
    static Vector set(float x) { return _mm512_set1_ps(x); }
    static Vector load(const float* x) { return _mm512_load_ps(x); }
    static void store(float* x, Vector v) { _mm512_store_ps(x, v); }
    static Vector minus_product(Vector g, Vector a, Vector b) { return _mm512_fnmadd_ps(a, b, g); }
    static Mask above(Vector g, Vector zero) { return _mm512_cmp_ps_mask(g, zero, _CMP_GT_OQ); }
    template <std::size_t N>
    static std::uint64_t bits_of(const Mask* masks) {
        return joined<N>(masks);
    }
    static std::uint64_t positive(const std::int8_t* signs, std::size_t n) { return positive_signs(signs, n); }
};

struct Float64 {
    using Value = double;
    using Vector = __m512d;
    using Mask = __mmask8;
    static constexpr std::size_t width = 8;
    static constexpr double eps = DBL_EPSILON;
    static Vector set(double x) { return _mm512_set1_pd(x); }
    static Vector load(const double* x) { return _mm512_load_pd(x); }
    static void store(double* x, Vector v) { _mm512_store_pd(x, v); }
    static Vector add(Vector a, Vector b) { return _mm512_add_pd(a, b); }
    static Vector minus_product(Vector g, Vector a, Vector b) { return _mm512_fnmadd_pd(a, b, g); }
    static Mask above(Vector g, Vector zero) { return _mm512_cmp_pd_mask(g, zero, _CMP_GT_OQ); }
    template <std::size_t N>
    static std::uint64_t bits_of(const Mask* masks) {
        return joined<N>(masks);
    }
    static std::uint64_t positive(const std::int8_t* signs, std::size_t n) { return positive_signs(signs, n); }
};

constexpr NibbleKernels nibbles{.sum = sum_nibbles, .scan = scan_nibbles};

KernelTable own_and_avx2() {
    KernelTable table = *avx2_kernels();
    table.level = "avx512";
    table.hamming = hamming;
    table.near_codes = near_codes;
    table.scan_bits = BitCounter<Bits512>::scan_of;
    table.kth_of_bits = BitCounter<Bits512>::kth_of;
    table.nibbles = &nibbles;
    table.add_chosen_i32 = add_chosen_rows<Int32>;
    table.add_chosen_f64 = add_chosen_rows<Float64>;
    table.descend_f32 = descend<DescentLanes<Float32>>;
    table.descend_f64 = descend<DescentLanes<Float64>>;
    return table;
}

}  // namespace
}  // namespace pyhash::avx512

namespace pyhash {

const KernelTable* avx512_kernels() {
    static const KernelTable table = avx512::own_and_avx2();
    return &table;
}

}  // namespace pyhash

#else

namespace pyhash {

const KernelTable* avx512_kernels() { return nullptr; }

}  // namespace pyhash

#endif
