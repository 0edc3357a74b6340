// AVX2, FMA, POPCNT, BMI1 and BMI2: this file alone is compiled for them, and runs only where the CPU has them.
#include "core/kernel_table.hpp"

#if defined(__AVX2__)

#include <immintrin.h>

#include <cfloat>
#include <cstring>

#define PYHASH_LEVEL avx2
#include "kernels/add_chosen_rows.hpp"
#include "kernels/bayes_kernels.hpp"
#include "kernels/descend_by_flips.hpp"
#include "kernels/descent_lanes.hpp"
#include "kernels/rank_by_masks.hpp"
#include "kernels/scan_bit_planes.hpp"

namespace pyhash::avx2 {
namespace {

// ---- Hamming ------------------------------------------------------------------------------------------------------

// Set bits of every byte, from a table of the sixteen nibbles.
inline __m256i count_bits_of_bytes(__m256i x) {
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(0x0f);
    return _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(x, low)),
                           _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
}

[[gnu::always_inline]] inline std::uint32_t hamming_of_pair(const std::uint8_t* a, const std::uint8_t* b,
                                                            std::size_t n_bytes) {
    std::uint64_t distance = 0;
    std::size_t j = 0;
    for (; j + 8 <= n_bytes; j += 8) {
        std::uint64_t x, y;
        std::memcpy(&x, a + j, 8);
        std::memcpy(&y, b + j, 8);
        distance += static_cast<std::uint64_t>(_mm_popcnt_u64(x ^ y));
    }
    const std::size_t tail = n_bytes - j;
    if (tail != 0) {
        std::uint64_t x = 0, y = 0;
        if (n_bytes > 8) {  // the last 8 bytes, without those counted already: quicker than a copy of any length
            std::memcpy(&x, a + n_bytes - 8, 8);
            std::memcpy(&y, b + n_bytes - 8, 8);
            x >>= 8 * (8 - tail);
            y >>= 8 * (8 - tail);
        } else {
            for (std::size_t k = 0; k < tail; ++k) {  // a copy into part of a word would be read back too soon
                x |= static_cast<std::uint64_t>(a[k]) << (8 * k);
                y |= static_cast<std::uint64_t>(b[k]) << (8 * k);
            }
        }
        distance += static_cast<std::uint64_t>(_mm_popcnt_u64(x ^ y));
    }
    return static_cast<std::uint32_t>(distance);
}

// Hamming distances of one query to n codes of 4 bytes: d = popcount(q xor c), d <= 32.
// Eight codes a vector; tail: the last n % 8 codes by popcnt. Cost: about 1.5 cycles a code in L1.
void hamming_4(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::uint32_t* out) {
    std::uint32_t word;
    std::memcpy(&word, query, 4);
    const __m256i q = _mm256_set1_epi32(static_cast<int>(word));
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + 4 * i));
        const __m256i bytes = count_bits_of_bytes(_mm256_xor_si256(q, c));
        const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
        const __m256i sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), sums);
    }
    for (; i < n; ++i) out[i] = hamming_of_pair(query, codes + 4 * i, 4);
}

// Hamming distances of one query to n codes of 8 bytes: d = popcount(q xor c), d <= 64.
// Eight codes in two vectors; tail: the last n % 8 codes by popcnt. Cost: about 2 cycles a code in L1.
void hamming_8(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::uint32_t* out) {
    std::uint64_t word;
    std::memcpy(&word, query, 8);
    const __m256i q = _mm256_set1_epi64x(static_cast<long long>(word));
    const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const auto* c = reinterpret_cast<const __m256i*>(codes + 8 * i);
        const __m256i low =
            _mm256_sad_epu8(count_bits_of_bytes(_mm256_xor_si256(q, _mm256_loadu_si256(c))), _mm256_setzero_si256());
        const __m256i high = _mm256_sad_epu8(count_bits_of_bytes(_mm256_xor_si256(q, _mm256_loadu_si256(c + 1))),
                                             _mm256_setzero_si256());
        const __m256i both = _mm256_castps_si256(
            _mm256_shuffle_ps(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high), _MM_SHUFFLE(2, 0, 2, 0)));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_permutevar8x32_epi32(both, order));
    }
    for (; i < n; ++i) out[i] = hamming_of_pair(query, codes + 8 * i, 8);
}

// The length as a constant, so that the compiler knows every load.
template <std::size_t n_bytes>
void hamming_of(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::uint32_t* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = hamming_of_pair(query, codes + n_bytes * i, n_bytes);
}

// Other lengths: popcnt of each 8 bytes, a partial word for the last n_bytes % 8. Cost: about n_bytes / 8 + 2 cycles.
void hamming(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes,
             std::uint32_t* out) {
    switch (n_bytes) {
        case 1: return hamming_of<1>(query, codes, n, out);
        case 2: return hamming_of<2>(query, codes, n, out);
        case 3: return hamming_of<3>(query, codes, n, out);
        case 4: return hamming_4(query, codes, n, out);
        case 5: return hamming_of<5>(query, codes, n, out);
        case 6: return hamming_of<6>(query, codes, n, out);
        case 7: return hamming_of<7>(query, codes, n, out);
        case 8: return hamming_8(query, codes, n, out);
        case 16: return hamming_of<16>(query, codes, n, out);
        case 32: return hamming_of<32>(query, codes, n, out);
        default: break;
    }
    for (std::size_t i = 0; i < n; ++i) out[i] = hamming_of_pair(query, codes + n_bytes * i, n_bytes);
}

template <std::size_t n_bytes>
void hamming_at_of(const std::uint8_t* query, const std::uint8_t* codes, const std::uint32_t* positions, std::size_t n,
                   std::uint32_t* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = hamming_of_pair(query, codes + n_bytes * positions[i], n_bytes);
}

void hamming_at(const std::uint8_t* query, const std::uint8_t* codes, const std::uint32_t* positions, std::size_t n,
                std::size_t n_bytes, std::uint32_t* out) {
    switch (n_bytes) {
        case 4: return hamming_at_of<4>(query, codes, positions, n, out);
        case 8: return hamming_at_of<8>(query, codes, positions, n, out);
        case 16: return hamming_at_of<16>(query, codes, positions, n, out);
        case 32: return hamming_at_of<32>(query, codes, positions, n, out);
        default: break;
    }
    for (std::size_t i = 0; i < n; ++i) out[i] = hamming_of_pair(query, codes + positions[i] * n_bytes, n_bytes);
}

// The length as a constant where it is a usual one (0: n_bytes).
template <std::size_t Length>
std::size_t near_codes_of(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n_bytes,
                          const CodeRun* runs, std::size_t n_runs, std::uint32_t bound, NearCode* out) {
    const std::size_t length = Length == 0 ? n_bytes : Length;
    std::size_t n = 0;
    for (std::size_t run = 0; run < n_runs; ++run) {
        const std::uint8_t* code = codes + runs[run].begin * length;
        for (std::uint32_t i = runs[run].begin; i < runs[run].end; ++i, code += length) {
            const std::uint32_t distance = hamming_of_pair(query, code, length);
            out[n] = {i, distance};
            n += distance < bound;
        }
    }
    return n;
}

// Codes of some runs that are nearer than a bound: d = popcount(q xor c) < bound <= 8 n_bytes + 1. Runs of a contiguous
// array of codes, any n_bytes. Every code is written, the next one over it unless it is near: no branch to guess. Tail:
// as in hamming_of_pair. Cost: about 2 cycles for 8 bytes in L1.
std::size_t near_codes(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n_bytes, const CodeRun* runs,
                       std::size_t n_runs, std::uint32_t bound, NearCode* out) {
    switch (n_bytes) {
        case 4: return near_codes_of<4>(query, codes, n_bytes, runs, n_runs, bound, out);
        case 8: return near_codes_of<8>(query, codes, n_bytes, runs, n_runs, bound, out);
        case 16: return near_codes_of<16>(query, codes, n_bytes, runs, n_runs, bound, out);
        default: return near_codes_of<0>(query, codes, n_bytes, runs, n_runs, bound, out);
    }
}

// ---- Bit planes ---------------------------------------------------------------------------------------------------

struct Bits256 {
    using Vector = __m256i;

    static Vector load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
    static void store(void* to, Vector v) { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }
    static Vector zero() { return _mm256_setzero_si256(); }
    static Vector fill(bool bit) { return _mm256_set1_epi8(bit ? -1 : 0); }
    static Vector both(Vector a, Vector b) { return _mm256_and_si256(a, b); }
    static Vector either(Vector a, Vector b) { return _mm256_or_si256(a, b); }
    static Vector differ(Vector a, Vector b) { return _mm256_xor_si256(a, b); }
    static Vector first_not_second(Vector a, Vector b) { return _mm256_andnot_si256(b, a); }
    static bool any(Vector v) { return !_mm256_testz_si256(v, v); }
    static std::size_t count_bits(std::uint64_t x) { return static_cast<std::size_t>(_mm_popcnt_u64(x)); }
    static std::uint32_t trailing_zeros(std::uint64_t x) { return static_cast<std::uint32_t>(_tzcnt_u64(x)); }
};

// ---- Ranks --------------------------------------------------------------------------------------------------------

// The positions of the set bits of each byte, ascending.
struct BitPositions {
    std::uint8_t of_byte[256][8] = {};

    constexpr BitPositions() {
        for (unsigned byte = 0; byte < 256; ++byte) {
            for (unsigned bit = 0, n = 0; bit < 8; ++bit) {
                if ((byte >> bit) & 1) of_byte[byte][n++] = static_cast<std::uint8_t>(bit);
            }
        }
    }
};
constexpr BitPositions bit_positions;

struct Ranks256 {
    static std::uint64_t equal(const std::uint8_t* bytes, std::uint8_t value) {
        const auto* vectors = reinterpret_cast<const __m256i*>(bytes);
        const __m256i values = _mm256_set1_epi8(static_cast<char>(value));
        const auto half = [&](std::size_t i) {
            return static_cast<std::uint32_t>(
                _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_load_si256(vectors + i), values)));
        };
        return half(0) | static_cast<std::uint64_t>(half(1)) << 32;
    }

    static std::uint64_t pack(std::uint64_t bits, std::uint64_t mask) { return _pext_u64(bits, mask); }
    static std::size_t count_bits(std::uint64_t x) { return static_cast<std::size_t>(_mm_popcnt_u64(x)); }

    // Eight ranks for each byte are written, of which those behind its set bits are written over.
    static std::uint32_t* write_ranks(std::uint64_t word, std::uint32_t first, std::uint32_t* out) {
        for (std::size_t i = 0; i < 8; ++i, first += 8) {
            const std::uint64_t byte = (word >> (8 * i)) & 0xff;
            const __m128i positions = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bit_positions.of_byte[byte]));
            const __m256i found =
                _mm256_add_epi32(_mm256_cvtepu8_epi32(positions), _mm256_set1_epi32(static_cast<int>(first)));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), found);
            out += _mm_popcnt_u64(byte);
        }
        return out;
    }
};

// Before its family 19h, AMD has PEXT in microcode, which takes tens to hundreds of cycles.
bool has_quick_pext() { return !__builtin_cpu_is("amdfam15h") && !__builtin_cpu_is("amdfam17h"); }

std::size_t rank_relevant(const RankedCodes& codes, std::uint8_t* scratch, std::uint32_t* ranks) {
    static const bool by_masks = has_quick_pext();
    return (by_masks ? rank_by_masks<Ranks256> : rank_by_counts)(codes, scratch, ranks);
}

// ---- Nibble planes ------------------------------------------------------------------------------------------------

// Sums of the 64 codes of a block for Queries queries, saturated at 255: `low` those of codes 0-31, `high` of 32-63.
// One plane a step.
template <std::size_t Queries>
inline void sum_block(const std::uint8_t* block, std::size_t n_planes, const std::uint8_t* tables, __m256i* low,
                      __m256i* high) {
    const __m256i half = _mm256_set1_epi8(0x0f);
    for (std::size_t q = 0; q < Queries; ++q) low[q] = high[q] = _mm256_setzero_si256();
    for (std::size_t p = 0; p < n_planes; ++p) {
        const __m256i plane = _mm256_load_si256(reinterpret_cast<const __m256i*>(block + 32 * p));
        __m256i of_low = _mm256_and_si256(plane, half);
        __m256i of_high = _mm256_and_si256(_mm256_srli_epi16(plane, 4), half);
#pragma GCC unroll 4
        for (std::size_t q = 0; q < Queries; ++q) {
            const auto* table = reinterpret_cast<const __m128i*>(tables + (q * n_planes + p) * 16);
            const __m256i costs = _mm256_broadcastsi128_si256(_mm_load_si128(table));
            low[q] = _mm256_adds_epu8(low[q], _mm256_shuffle_epi8(costs, of_low));
            high[q] = _mm256_adds_epu8(high[q], _mm256_shuffle_epi8(costs, of_high));
            __asm__ volatile("" : "+x"(low[q]), "+x"(high[q]));  // NOLINT(portability-no-assembler)
        }
    }
}

void sum_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                 std::uint8_t* out) {
    for (std::size_t b = 0; b < n_blocks; ++b) {
        __m256i low, high;
        sum_block<1>(blocks + b * n_planes * 32, n_planes, tables, &low, &high);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 64 * b), low);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 64 * b + 32), high);
    }
}

// Writes down the codes of a block whose sums lie below the bound.
inline void note_hits(__m256i low, __m256i high, std::uint8_t bound, std::size_t first, NibbleHits& hits) {
    const __m256i last = _mm256_set1_epi8(static_cast<char>(bound - 1));
    const auto below = [last](__m256i sums) {
        return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(sums, last), sums)));
    };
    std::uint64_t found = below(low) | static_cast<std::uint64_t>(below(high)) << 32;
    if (__builtin_expect(found == 0, 1)) return;
    for (; found != 0; found &= found - 1) {
        hits.positions[hits.n++] = static_cast<std::uint16_t>(first + static_cast<std::size_t>(__builtin_ctzll(found)));
    }
}

template <std::size_t Queries>
void scan_nibbles_of(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                     const std::uint8_t* bounds, NibbleHits* hits) {
    for (std::size_t q = 0; q < Queries; ++q) hits[q].n = 0;
    for (std::size_t b = 0; b < n_blocks; ++b) {
        __m256i low[Queries], high[Queries];
        sum_block<Queries>(blocks + b * n_planes * 32, n_planes, tables, low, high);
#pragma GCC unroll 4
        for (std::size_t q = 0; q < Queries; ++q) note_hits(low[q], high[q], bounds[q], 64 * b, hits[q]);
    }
}

// Sums of table entries by nibble; layout: core/nibble_planes.hpp. No tail: blocks are whole. Cost: one look-up and one
// addition for 32 nibbles, about 0.5 cycles a code and query at 64 bits where four queries share the planes.
void scan_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                  const std::uint8_t* bounds, std::size_t n_queries, NibbleHits* hits) {
    if (n_queries == 1) {
        scan_nibbles_of<1>(blocks, n_blocks, n_planes, tables, bounds, hits);
    } else {
        scan_nibbles_of<nibble_queries>(blocks, n_blocks, n_planes, tables, bounds, hits);
    }
}

// ---- Weighted Hamming ---------------------------------------------------------------------------------------------

// d = sum over j ascending of costs[j][c_j]; float64, one rounding a byte, as the oracle rounds.
// Four codes a vector; tail: the last n % 4 codes one at a time. Cost: about 2 cycles for each byte of a code.
void weighted_hamming(const double* costs, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes, double* out) {
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const std::uint8_t* c = codes + i * n_bytes;
        __m256d sums = _mm256_setzero_pd();
        for (std::size_t j = 0; j < n_bytes; ++j) {
            const double* table = costs + 256 * j;
            sums = _mm256_add_pd(sums, _mm256_setr_pd(table[c[j]], table[c[n_bytes + j]], table[c[2 * n_bytes + j]],
                                                      table[c[3 * n_bytes + j]]));
        }
        _mm256_storeu_pd(out + i, sums);
    }
    for (; i < n; ++i) {
        double sum = 0.0;
        for (std::size_t j = 0; j < n_bytes; ++j) sum += costs[256 * j + codes[i * n_bytes + j]];
        out[i] = sum;
    }
}

// ---- Descent and sums ---------------------------------------------------------------------------------------------

inline std::uint64_t positive_signs(const std::int8_t* signs, std::size_t n) {
    alignas(32) std::int8_t row[64] = {};
    if (n < 64) {
        std::memcpy(row, signs, n);
        signs = row;
    }
    const __m256i zero = _mm256_setzero_si256();
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(signs));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(signs + 32));
    const auto low_mask = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(low, zero)));
    const auto high_mask = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(high, zero)));
    return low_mask | static_cast<std::uint64_t>(high_mask) << 32;
}

// One bit for each of the n comparison masks' lanes: eight float32 lanes a mask.
template <std::size_t N>
inline std::uint64_t bits_of_masks(const __m256* masks) {
    std::uint64_t word = 0;
    if constexpr (N % 4 == 0) {
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // undoes the packing within 128-bit halves
        for (std::size_t k = 0; k < N; k += 4) {
            const __m256i low = _mm256_packs_epi32(_mm256_castps_si256(masks[k]), _mm256_castps_si256(masks[k + 1]));
            const __m256i high =
                _mm256_packs_epi32(_mm256_castps_si256(masks[k + 2]), _mm256_castps_si256(masks[k + 3]));
            const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
            word |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes))) << (8 * k);
        }
    } else {
        for (std::size_t k = 0; k < N; ++k) {
            word |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_ps(masks[k]))) << (8 * k);
        }
    }
    return word;
}

// The same for four float64 lanes a mask, a multiple of four masks.
template <std::size_t N>
inline std::uint64_t bits_of_masks(const __m256d* masks) {
    static_assert(N % 4 == 0);
    std::uint64_t word = 0;
    for (std::size_t k = 0; k < N; k += 4) {
        // The low half of each float64 mask says it all; each shuffle leaves lanes (0 1 of a, of b | 2 3 of a, of b).
        const __m256i low = _mm256_castps_si256(
            _mm256_shuffle_ps(_mm256_castpd_ps(masks[k]), _mm256_castpd_ps(masks[k + 1]), _MM_SHUFFLE(2, 0, 2, 0)));
        const __m256i high = _mm256_castps_si256(
            _mm256_shuffle_ps(_mm256_castpd_ps(masks[k + 2]), _mm256_castpd_ps(masks[k + 3]), _MM_SHUFFLE(2, 0, 2, 0)));
        const __m256i pairs = _mm256_packs_epi32(low, high);  // 16-bit lanes: lanes 0 1 of the four masks | lanes 2 3
        const __m128i bytes =
            _mm_packs_epi16(_mm_unpacklo_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)),
                            _mm_unpackhi_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)));
        word |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm_movemask_epi8(bytes))) << (4 * k);
    }
    return word;
}

// Vectors of one type, as add_chosen_rows.hpp and descent_lanes.hpp take them.
struct Int32 {
    using Value = std::int32_t;
    using Vector = __m256i;
    static constexpr std::size_t width = 8;
    static Vector load(const std::int32_t* x) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(x)); }
    static void store(std::int32_t* x, Vector v) { _mm256_store_si256(reinterpret_cast<__m256i*>(x), v); }
    static Vector add(Vector a, Vector b) { return _mm256_add_epi32(a, b); }
};

struct Float32 {
    using Value = float;
    using Vector = __m256;
    using Mask = __m256;
    static constexpr std::size_t width = 8;
    static constexpr float eps = FLT_EPSILON;
    static Vector set(float x) { return _mm256_set1_ps(x); }
    static Vector load(const float* x) { return _mm256_load_ps(x); }
    static void store(float* x, Vector v) { _mm256_store_ps(x, v); }
    static Vector minus_product(Vector g, Vector a, Vector b) { return _mm256_fnmadd_ps(a, b, g); }
    static Mask above(Vector g, Vector zero) { return _mm256_cmp_ps(g, zero, _CMP_GT_OQ); }
    template <std::size_t N>
    static std::uint64_t bits_of(const Mask* masks) {
        return bits_of_masks<N>(masks);
    }
    static std::uint64_t positive(const std::int8_t* signs, std::size_t n) { return positive_signs(signs, n); }
};

struct Float64 {
    using Value = double;
    using Vector = __m256d;
    using Mask = __m256d;
    static constexpr std::size_t width = 4;
    static constexpr double eps = DBL_EPSILON;
    static Vector set(double x) { return _mm256_set1_pd(x); }
    static Vector load(const double* x) { return _mm256_load_pd(x); }
    static void store(double* x, Vector v) { _mm256_store_pd(x, v); }
    static Vector add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
    static Vector minus_product(Vector g, Vector a, Vector b) { return _mm256_fnmadd_pd(a, b, g); }
    static Mask above(Vector g, Vector zero) { return _mm256_cmp_pd(g, zero, _CMP_GT_OQ); }
    template <std::size_t N>
    static std::uint64_t bits_of(const Mask* masks) {
        return bits_of_masks<N>(masks);
    }
    static std::uint64_t positive(const std::int8_t* signs, std::size_t n) { return positive_signs(signs, n); }
};

constexpr NibbleKernels nibbles{.sum = sum_nibbles, .scan = scan_nibbles};

constexpr BayesKernels bayes = bayes_kernels<FloatLanes<8>>();

constexpr KernelTable table{
    .level = "avx2",
    .hamming = hamming,
    .hamming_at = hamming_at,
    .near_codes = near_codes,
    .scan_bits = BitCounter<Bits256>::scan_of,
    .kth_of_bits = BitCounter<Bits256>::kth_of,
    .rank_relevant = rank_relevant,
    .nibbles = &nibbles,
    .weighted_hamming = weighted_hamming,
    .add_chosen_i32 = add_chosen_rows<Int32>,
    .add_chosen_f64 = add_chosen_rows<Float64>,
    .descend_f32 = descend<DescentLanes<Float32>>,
    .descend_f64 = descend<DescentLanes<Float64>>,
    .bayes = &bayes,
};

}  // namespace
}  // namespace pyhash::avx2

namespace pyhash {

const KernelTable* avx2_kernels() { return &avx2::table; }

}  // namespace pyhash

#else

namespace pyhash {

const KernelTable* avx2_kernels() { return nullptr; }

}  // namespace pyhash

#endif
