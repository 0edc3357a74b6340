// The functions that exist once per instruction set, as plain function pointers.
//
// Only plain pointers and sizes cross this line. A kernel file is compiled for its own instruction set: an inline
// function of a shared header (std::span's included), compiled there, could be the copy that the linker keeps for every
// machine. Headers in kernels/ therefore declare everything in a namespace of the level, PYHASH_LEVEL.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyhash {

// Rows of a descent problem are padded to whole groups of this many values: one cache line of float32.
constexpr std::size_t descent_lanes = 16;

// Rows that a descent kernel may work on at a time.
constexpr std::size_t descent_rows = 4;

// One discrete cyclic descent problem, prepared by core/cyclic_descent.cpp.
template <class Real>
struct DescentProblem {
    std::size_t n_bits;     // r
    std::size_t stride;     // r rounded up to a multiple of descent_lanes: the row length of `h` and `h_abs_sum`
    const Real* h;          // (r, stride), row l = column l of H without its diagonal, zero padded, 64-byte aligned
    const Real* h_abs_sum;  // (stride): sum over l' != l of |H[l, l']|, zero padded
    const Real* q;          // (n, r)
    std::int8_t* signs;     // (n, r), -1 or +1, updated in place
    std::size_t max_sweeps;
};

// Codes of a block of bit planes, and the bytes of a plane of it.
constexpr std::size_t bit_block_codes = 512, bit_plane_bytes = bit_block_codes / 8;

// Positions that scan_bits may write after the last one.
constexpr std::size_t scan_bits_slack = 3;

// A count over bit planes (see core/bit_planes.hpp), for each code: Z = N / 2 + set bits on the chosen planes.
struct BitScan {
    const std::uint8_t* blocks;  // 64-byte aligned
    std::size_t n_blocks;
    std::size_t block_bytes;
    std::size_t counts;           // offset in a block of the planes of N
    const std::uint32_t* planes;  // offsets in a block of the planes to count
    std::size_t n_planes;
    std::size_t n_digits;  // of N: 4 to 13
};

// Queries that a scan of nibble planes takes at a time, or one alone, and the codes of one scan at most.
constexpr std::size_t nibble_queries = 4;
constexpr std::size_t nibble_scan_codes = 2048;

// The result of a scan of nibble planes for one query: the codes nearer than its bound, by ascending position.
struct NibbleHits {
    std::size_t n;
    std::uint16_t positions[nibble_scan_codes];  // from the first code of the scan
};

// Values of a row that add_chosen_i32 and add_chosen_f64 add: one cache line of int32.
constexpr std::size_t sum_lanes = 16;

// Kernels over nibble planes (see core/nibble_planes.hpp).
struct NibbleKernels {
    // For each code of n_blocks blocks, out[i] = min(255, sum over planes p of tables[16 p + nibble p of the code]).
    void (*sum)(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                std::uint8_t* out);

    // For each of n_queries queries, which are 1 or nibble_queries: the codes of n_blocks blocks whose sum, as above,
    // is below bounds[q], which is from 1 to 255. `tables` holds n_planes tables of 16 for each query.
    void (*scan)(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                 const std::uint8_t* bounds, std::size_t n_queries, NibbleHits* hits);
};

// A call of the library takes the selected table once, at its start, and hands it down: the level may change meanwhile.
struct KernelTable {
    const char* level;

    // out[i] = popcount(query xor codes[i]) for n codes of n_bytes each.
    void (*hamming)(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes,
                    std::uint32_t* out);

    // The same for the codes at n positions.
    void (*hamming_at)(const std::uint8_t* query, const std::uint8_t* codes, const std::uint32_t* positions,
                       std::size_t n, std::size_t n_bytes, std::uint32_t* out);

    // Positions of the codes with Z < bound (or Z >= bound, where not `below`) whose bit in the mask is set (nullptr:
    // all), ascending; returns how many. `positions` has space for all codes of the blocks and scan_bits_slack more.
    std::size_t (*scan_bits)(const BitScan& scan, std::uint32_t bound, bool below, const std::uint8_t* mask,
                             std::uint32_t* positions);

    // The k-th smallest (or largest) Y = 2 Z + (N mod 2) among the first n_codes codes whose bit in the mask is set;
    // there are at least k. `scratch` has n_digits + 2 bits for each code of the blocks.
    std::uint32_t (*kth_of_bits)(const BitScan& scan, std::size_t n_codes, std::size_t k, bool largest,
                                 const std::uint8_t* mask, std::uint64_t* scratch);

    // nullptr where the level has none: weighted searches then read the codes as they are.
    const NibbleKernels* nibbles;

    // out[i] = sum over byte positions j, ascending, of costs[256 j + (codes[i][j])].
    void (*weighted_hamming)(const double* costs, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes,
                             double* out);

    // sums (n, sum_lanes): adds to row i, for p = 0 .. 15, row 16 p + nibble p of words[i] of `tables` (256,
    // sum_lanes), whose rows 16 p are zero. Tables and sums are 64-byte aligned.
    void (*add_chosen_i32)(const std::uint64_t* words, std::size_t n, const std::int32_t* tables, std::int32_t* sums);
    void (*add_chosen_f64)(const std::uint64_t* words, std::size_t n, const double* tables, double* sums);

    // Sweeps rows [begin, end); adds the flips of sweep s to flips[s]. Scratch memory for each of descent_rows rows:
    // 2 * stride `values`, 64-byte aligned, and ceil(n_bits / 64) `words`.
    void (*descend_f32)(const DescentProblem<float>& problem, std::size_t begin, std::size_t end, float* values,
                        std::uint64_t* words, std::int64_t* flips);
    void (*descend_f64)(const DescentProblem<double>& problem, std::size_t begin, std::size_t end, double* values,
                        std::uint64_t* words, std::int64_t* flips);
};

// Tables of the instruction sets that this build holds; nullptr where it does not.
const KernelTable* scalar_kernels();
const KernelTable* portable_kernels();
const KernelTable* avx2_kernels();

}  // namespace pyhash
