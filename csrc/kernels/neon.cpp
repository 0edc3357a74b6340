// NEON, which every 64-bit ARM CPU has. What is not here, compilers make as well of the portable kernels.
#include "core/kernel_table.hpp"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

#include <cfloat>
#include <cstring>

#define PYHASH_LEVEL neon
#include "kernels/add_chosen_rows.hpp"
#include "kernels/descend_by_flips.hpp"
#include "kernels/descent_lanes.hpp"
#include "kernels/scan_bit_planes.hpp"

namespace pyhash::neon {
namespace {

// One bit for each of 64 bytes that are all ones or zero, the lowest for the first byte of bytes[0].
inline std::uint64_t bits_of_bytes(const uint8x16_t (&bytes)[4]) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
    const uint8x16_t low = vpaddq_u8(vandq_u8(bytes[0], bit), vandq_u8(bytes[1], bit));
    const uint8x16_t high = vpaddq_u8(vandq_u8(bytes[2], bit), vandq_u8(bytes[3], bit));
    const uint8x16_t sums = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)), 0);
}

// ---- Hamming ------------------------------------------------------------------------------------------------------

inline uint8x16_t count_differing(uint8x16_t a, const std::uint8_t* b) { return vcntq_u8(veorq_u8(a, vld1q_u8(b))); }

inline std::uint32_t count_differing(std::uint64_t a, std::uint64_t b) { return vaddv_u8(vcnt_u8(vcreate_u8(a ^ b))); }

inline std::uint64_t load_word(const std::uint8_t* from) {
    std::uint64_t word;
    std::memcpy(&word, from, 8);
    return word;
}

// A word of 1 to 7 bytes and zeros: read in two or three parts, which meet or overlap.
inline std::uint64_t load_part_of_word(const std::uint8_t* from, std::size_t n) {
    if (n >= 4) {
        std::uint32_t first, last;
        std::memcpy(&first, from, 4);
        std::memcpy(&last, from + n - 4, 4);
        return first | static_cast<std::uint64_t>(last) << (8 * (n - 4));
    }
    return from[0] | static_cast<std::uint64_t>(from[n / 2]) << (8 * (n / 2)) |
           static_cast<std::uint64_t>(from[n - 1]) << (8 * (n - 1));
}

[[gnu::always_inline]] inline std::uint32_t hamming_of_pair(const std::uint8_t* a, const std::uint8_t* b,
                                                            std::size_t n_bytes) {
    std::uint32_t distance = 0;
    std::size_t j = 0;
    for (; j + 16 <= n_bytes; j += 16) distance += vaddvq_u8(count_differing(vld1q_u8(a + j), b + j));
    if (n_bytes - j >= 8) {
        distance += count_differing(load_word(a + j), load_word(b + j));
        j += 8;
    }
    const std::size_t tail = n_bytes - j;
    if (tail == 0) return distance;
    return distance + count_differing(load_part_of_word(a + j, tail), load_part_of_word(b + j, tail));
}

// The length as a constant, so that the compiler knows every load.
template <std::size_t n_bytes>
void hamming_of(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::uint32_t* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = hamming_of_pair(query, codes + n_bytes * i, n_bytes);
}

// The set bits of query xor code for four codes of n_bytes, spread over four bytes a code, none above 64.
template <std::size_t n_bytes>
uint8x16_t counts_of_four(const uint8x16_t (&query)[2], const std::uint8_t* codes) {
    if constexpr (n_bytes == 4) {
        return count_differing(query[0], codes);
    } else if constexpr (n_bytes == 8) {
        return vpaddq_u8(count_differing(query[0], codes), count_differing(query[0], codes + 16));
    } else {
        static_assert(n_bytes == 16 || n_bytes == 32);
        uint8x16_t counts[4];
        for (std::size_t k = 0; k < 4; ++k) {
            counts[k] = count_differing(query[0], codes + n_bytes * k);
            if constexpr (n_bytes == 32) {
                counts[k] = vaddq_u8(counts[k], count_differing(query[1], codes + n_bytes * k + 16));
            }
        }
        return vpaddq_u8(vpaddq_u8(counts[0], counts[1]), vpaddq_u8(counts[2], counts[3]));
    }
}

// A query against four codes of 4, 8, 16 or 32 bytes at a time.
template <std::size_t n_bytes>
class QueryByFours {
public:
    explicit QueryByFours(const std::uint8_t* query) {
        std::uint8_t repeated[32];
        for (std::size_t j = 0; j < 32; ++j) repeated[j] = query[j % n_bytes];
        for (std::size_t half = 0; half < 2; ++half) query_[half] = vld1q_u8(repeated + 16 * half);
    }

    uint32x4_t distances(const std::uint8_t* codes) const {
        return vpaddlq_u16(vpaddlq_u8(counts_of_four<n_bytes>(query_, codes)));
    }

private:
    uint8x16_t query_[2];
};

// Hamming distances of one query to n codes of 4, 8, 16 or 32 bytes: d = popcount(q xor c).
// Four codes at a time; tail: the last n % 4 codes one by one. Cost: for 16 bytes, a load, an exclusive or, a count and
// an addition; two additions more for four codes.
template <std::size_t n_bytes>
void hamming_by_fours(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::uint32_t* out) {
    const QueryByFours<n_bytes> four(query);
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_u32(out + i, four.distances(codes + n_bytes * i));
    for (; i < n; ++i) out[i] = hamming_of_pair(query, codes + n_bytes * i, n_bytes);
}

// Other lengths: 16 bytes at a time, then 8, then a partial word. Cost: about 5 operations for each of these.
void hamming(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes,
             std::uint32_t* out) {
    switch (n_bytes) {
        case 1: return hamming_of<1>(query, codes, n, out);
        case 2: return hamming_of<2>(query, codes, n, out);
        case 3: return hamming_of<3>(query, codes, n, out);
        case 4: return hamming_by_fours<4>(query, codes, n, out);
        case 5: return hamming_of<5>(query, codes, n, out);
        case 6: return hamming_of<6>(query, codes, n, out);
        case 7: return hamming_of<7>(query, codes, n, out);
        case 8: return hamming_by_fours<8>(query, codes, n, out);
        case 16: return hamming_by_fours<16>(query, codes, n, out);
        case 32: return hamming_by_fours<32>(query, codes, n, out);
        default: break;
    }
    for (std::size_t i = 0; i < n; ++i) out[i] = hamming_of_pair(query, codes + n_bytes * i, n_bytes);
}

void hamming_at(const std::uint8_t* query, const std::uint8_t* codes, const std::uint32_t* positions, std::size_t n,
                std::size_t n_bytes, std::uint32_t* out) {
    if (n_bytes == 8) {
        for (std::size_t i = 0; i < n; ++i) out[i] = hamming_of_pair(query, codes + positions[i] * std::size_t{8}, 8);
        return;
    }
    for (std::size_t i = 0; i < n; ++i) out[i] = hamming_of_pair(query, codes + positions[i] * n_bytes, n_bytes);
}

// Writes the code at n; returns n and 1 more where it is near.
inline std::size_t note_near(std::uint32_t index, std::uint32_t distance, std::uint32_t bound, NearCode* out,
                             std::size_t n) {
    out[n] = {.index = index, .distance = distance};
    return n + (distance < bound);
}

// Four codes at a time, most of which have none that is near.
template <std::size_t n_bytes>
std::size_t near_by_fours(const std::uint8_t* query, const std::uint8_t* codes, const CodeRun* runs, std::size_t n_runs,
                          std::uint32_t bound, NearCode* out) {
    const QueryByFours<n_bytes> four(query);
    std::size_t n = 0;
    for (std::size_t run = 0; run < n_runs; ++run) {
        const std::uint32_t end = runs[run].end;
        std::uint32_t i = runs[run].begin;
        for (; i < end && end - i >= 4; i += 4) {
            const uint32x4_t found = four.distances(codes + n_bytes * i);
            if (vminvq_u32(found) >= bound) continue;
            std::uint32_t distances[4];
            vst1q_u32(distances, found);
            for (std::uint32_t k = 0; k < 4; ++k) n = note_near(i + k, distances[k], bound, out, n);
        }
        for (; i < end; ++i) n = note_near(i, hamming_of_pair(query, codes + n_bytes * i, n_bytes), bound, out, n);
    }
    return n;
}

// Codes of some runs that are nearer than a bound: d = popcount(q xor c) < bound <= 8 n_bytes + 1. Runs of a contiguous
// array of codes, any n_bytes. Tail: the last codes of a run one by one. Cost: as for distances, and for four codes of
// 4, 8, 16 or 32 bytes a minimum and a branch.
std::size_t near_codes(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n_bytes, const CodeRun* runs,
                       std::size_t n_runs, std::uint32_t bound, NearCode* out) {
    switch (n_bytes) {
        case 4: return near_by_fours<4>(query, codes, runs, n_runs, bound, out);
        case 8: return near_by_fours<8>(query, codes, runs, n_runs, bound, out);
        case 16: return near_by_fours<16>(query, codes, runs, n_runs, bound, out);
        case 32: return near_by_fours<32>(query, codes, runs, n_runs, bound, out);
        default: break;
    }
    std::size_t n = 0;
    for (std::size_t run = 0; run < n_runs; ++run) {
        for (std::uint32_t i = runs[run].begin; i < runs[run].end; ++i) {
            n = note_near(i, hamming_of_pair(query, codes + i * n_bytes, n_bytes), bound, out, n);
        }
    }
    return n;
}

// ---- Bit planes ---------------------------------------------------------------------------------------------------

// Two vectors of 128 bits side by side: counting fills the 32 registers at codes of 1023 bits.
struct Bits256 {
    struct Vector {
        uint64x2_t low, high;
    };

    static Vector load(const void* from) {
        const auto* words = static_cast<const std::uint64_t*>(from);
        return {vld1q_u64(words), vld1q_u64(words + 2)};
    }
    static void store(void* to, Vector v) {
        auto* words = static_cast<std::uint64_t*>(to);
        vst1q_u64(words, v.low);
        vst1q_u64(words + 2, v.high);
    }
    static Vector zero() { return {vdupq_n_u64(0), vdupq_n_u64(0)}; }
    static Vector fill(bool bit) {
        const uint64x2_t half = vdupq_n_u64(bit ? ~std::uint64_t{0} : 0);
        return {half, half};
    }
    static Vector both(Vector a, Vector b) { return {vandq_u64(a.low, b.low), vandq_u64(a.high, b.high)}; }
    static Vector either(Vector a, Vector b) { return {vorrq_u64(a.low, b.low), vorrq_u64(a.high, b.high)}; }
    static Vector differ(Vector a, Vector b) { return {veorq_u64(a.low, b.low), veorq_u64(a.high, b.high)}; }
    static Vector first_not_second(Vector a, Vector b) { return {vbicq_u64(a.low, b.low), vbicq_u64(a.high, b.high)}; }
    static bool any(Vector v) { return vmaxvq_u32(vreinterpretq_u32_u64(vorrq_u64(v.low, v.high))) != 0; }
    static std::size_t count_bits(std::uint64_t x) { return vaddv_u8(vcnt_u8(vcreate_u8(x))); }
    static std::uint32_t trailing_zeros(std::uint64_t x) {
        return x == 0 ? 64 : static_cast<std::uint32_t>(__builtin_ctzll(x));
    }
};

// ---- Nibble planes ------------------------------------------------------------------------------------------------

// Sums of the 64 codes of a block for Queries queries, saturated at 255: sums[q][k] those of codes 16 k to 16 k + 15.
template <std::size_t Queries>
inline void sum_block(const std::uint8_t* block, std::size_t n_planes, const std::uint8_t* tables,
                      uint8x16_t (&sums)[Queries][4]) {
    const uint8x16_t half = vdupq_n_u8(0x0f);
    for (std::size_t q = 0; q < Queries; ++q) {
        for (uint8x16_t& sum : sums[q]) sum = vdupq_n_u8(0);
    }
    for (std::size_t p = 0; p < n_planes; ++p) {
        const uint8x16_t left = vld1q_u8(block + 32 * p), right = vld1q_u8(block + 32 * p + 16);
        const uint8x16_t nibbles[4] = {vandq_u8(left, half), vandq_u8(right, half), vshrq_n_u8(left, 4),
                                       vshrq_n_u8(right, 4)};
#pragma GCC unroll 4
        for (std::size_t q = 0; q < Queries; ++q) {
            const uint8x16_t table = vld1q_u8(tables + (q * n_planes + p) * 16);
#pragma GCC unroll 4
            for (std::size_t k = 0; k < 4; ++k) sums[q][k] = vqaddq_u8(sums[q][k], vqtbl1q_u8(table, nibbles[k]));
        }
    }
}

void sum_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                 std::uint8_t* out) {
    for (std::size_t b = 0; b < n_blocks; ++b) {
        uint8x16_t sums[1][4];
        sum_block<1>(blocks + b * n_planes * 32, n_planes, tables, sums);
        for (std::size_t k = 0; k < 4; ++k) vst1q_u8(out + 64 * b + 16 * k, sums[0][k]);
    }
}

// Writes down the codes of a block whose sums lie below the bound.
inline void note_hits(const uint8x16_t (&sums)[4], std::uint8_t bound, std::size_t first, NibbleHits& hits) {
    const uint8x16_t least = vminq_u8(vminq_u8(sums[0], sums[1]), vminq_u8(sums[2], sums[3]));
    if (__builtin_expect(vminvq_u8(least) >= bound, 1)) return;
    const uint8x16_t bounds = vdupq_n_u8(bound);
    const uint8x16_t below[4] = {vcltq_u8(sums[0], bounds), vcltq_u8(sums[1], bounds), vcltq_u8(sums[2], bounds),
                                 vcltq_u8(sums[3], bounds)};
    for (std::uint64_t found = bits_of_bytes(below); found != 0; found &= found - 1) {
        hits.positions[hits.n++] = static_cast<std::uint16_t>(first + static_cast<std::size_t>(__builtin_ctzll(found)));
    }
}

template <std::size_t Queries>
void scan_nibbles_of(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                     const std::uint8_t* bounds, NibbleHits* hits) {
    for (std::size_t q = 0; q < Queries; ++q) hits[q].n = 0;
    for (std::size_t b = 0; b < n_blocks; ++b) {
        uint8x16_t sums[Queries][4];
        sum_block<Queries>(blocks + b * n_planes * 32, n_planes, tables, sums);
#pragma GCC unroll 4
        for (std::size_t q = 0; q < Queries; ++q) note_hits(sums[q], bounds[q], 64 * b, hits[q]);
    }
}

// Sums of table entries by nibble; layout: core/nibble_planes.hpp. No tail: blocks are whole. Cost: one look-up and one
// addition for 16 nibbles.
void scan_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                  const std::uint8_t* bounds, std::size_t n_queries, NibbleHits* hits) {
    if (n_queries == 1) {
        scan_nibbles_of<1>(blocks, n_blocks, n_planes, tables, bounds, hits);
    } else {
        scan_nibbles_of<nibble_queries>(blocks, n_blocks, n_planes, tables, bounds, hits);
    }
}

// ---- Descent and sums ---------------------------------------------------------------------------------------------

inline std::uint64_t positive_signs(const std::int8_t* signs, std::size_t n) {
    std::int8_t row[64] = {};
    if (n < 64) {
        std::memcpy(row, signs, n);
        signs = row;
    }
    uint8x16_t bytes[4];
    for (std::size_t k = 0; k < 4; ++k) bytes[k] = vcgtzq_s8(vld1q_s8(signs + 16 * k));
    return bits_of_bytes(bytes);
}

// The masks of 16 lanes, as bytes.
inline uint8x16_t bytes_of_masks(const uint32x4_t* masks) {
    const uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_u32(masks[0]), vreinterpretq_u16_u32(masks[1]));
    const uint16x8_t high = vuzp1q_u16(vreinterpretq_u16_u32(masks[2]), vreinterpretq_u16_u32(masks[3]));
    return vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
}

inline uint8x16_t bytes_of_masks(const uint64x2_t* masks) {
    uint32x4_t halves[4];
    for (std::size_t k = 0; k < 4; ++k) {
        halves[k] = vuzp1q_u32(vreinterpretq_u32_u64(masks[2 * k]), vreinterpretq_u32_u64(masks[2 * k + 1]));
    }
    return bytes_of_masks(halves);
}

// One bit for each lane of N masks, of 16, 32, 48 or 64 lanes together.
template <std::size_t N, class Mask>
std::uint64_t bits_of_masks(const Mask* masks) {
    constexpr std::size_t masks_of_16 = sizeof(Mask) / sizeof(masks[0][0]) == 4 ? 4 : 8;
    static_assert(N % masks_of_16 == 0 && N / masks_of_16 <= 4);
    uint8x16_t bytes[4] = {};
    for (std::size_t k = 0; k < N / masks_of_16; ++k) bytes[k] = bytes_of_masks(masks + k * masks_of_16);
    return bits_of_bytes(bytes);
}

// Vectors of one type, as add_chosen_rows.hpp and descent_lanes.hpp take them.
struct Int32 {
    using Value = std::int32_t;
    using Vector = int32x4_t;
    static constexpr std::size_t width = 4;
    static Vector load(const std::int32_t* x) { return vld1q_s32(x); }
    static void store(std::int32_t* x, Vector v) { vst1q_s32(x, v); }
    static Vector add(Vector a, Vector b) { return vaddq_s32(a, b); }
};

struct Float32 {
    using Value = float;
    using Vector = float32x4_t;
    using Mask = uint32x4_t;
    static constexpr std::size_t width = 4;
    static constexpr float eps = FLT_EPSILON;
    static Vector set(float x) { return vdupq_n_f32(x); }
    static Vector load(const float* x) { return vld1q_f32(x); }
    static void store(float* x, Vector v) { vst1q_f32(x, v); }
    static Vector minus_product(Vector g, Vector a, Vector b) { return vfmsq_f32(g, a, b); }
    static Mask above(Vector g, Vector zero) { return vcgtq_f32(g, zero); }
    template <std::size_t N>
    static std::uint64_t bits_of(const Mask* masks) {
        return bits_of_masks<N>(masks);
    }
    static std::uint64_t positive(const std::int8_t* signs, std::size_t n) { return positive_signs(signs, n); }
};

struct Float64 {
    using Value = double;
    using Vector = float64x2_t;
    using Mask = uint64x2_t;
    static constexpr std::size_t width = 2;
    static constexpr double eps = DBL_EPSILON;
    static Vector set(double x) { return vdupq_n_f64(x); }
    static Vector load(const double* x) { return vld1q_f64(x); }
    static void store(double* x, Vector v) { vst1q_f64(x, v); }
    static Vector add(Vector a, Vector b) { return vaddq_f64(a, b); }
    static Vector minus_product(Vector g, Vector a, Vector b) { return vfmsq_f64(g, a, b); }
    static Mask above(Vector g, Vector zero) { return vcgtq_f64(g, zero); }
    template <std::size_t N>
    static std::uint64_t bits_of(const Mask* masks) {
        return bits_of_masks<N>(masks);
    }
    static std::uint64_t positive(const std::int8_t* signs, std::size_t n) { return positive_signs(signs, n); }
};

constexpr NibbleKernels nibbles{.sum = sum_nibbles, .scan = scan_nibbles};

KernelTable own_and_portable() {
    KernelTable table = *portable_kernels();
    table.level = "neon";
    table.hamming = hamming;
    table.hamming_at = hamming_at;
    table.near_codes = near_codes;
    table.scan_bits = BitCounter<Bits256>::scan_of;
    table.kth_of_bits = BitCounter<Bits256>::kth_of;
    table.nibbles = &nibbles;
    table.add_chosen_i32 = add_chosen_rows<Int32>;
    table.add_chosen_f64 = add_chosen_rows<Float64>;
    table.descend_f32 = descend<DescentLanes<Float32>>;
    table.descend_f64 = descend<DescentLanes<Float64>>;
    return table;
}

}  // namespace
}  // namespace pyhash::neon

namespace pyhash {

const KernelTable* neon_kernels() {
    static const KernelTable table = neon::own_and_portable();
    return &table;
}

}  // namespace pyhash

#else

namespace pyhash {

const KernelTable* neon_kernels() { return nullptr; }

}  // namespace pyhash

#endif
