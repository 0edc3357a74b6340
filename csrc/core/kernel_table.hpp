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

// Codes [begin, end) of an array.
struct CodeRun {
    std::uint32_t begin, end;
};

// A code of an array, and its distance from a query.
struct NearCode {
    std::uint32_t index, distance;
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

// Codes to rank by (distance, position): their distances from a query, and which of them are relevant to it.
struct RankedCodes {
    std::size_t n;
    const std::uint32_t* distances;  // (n)
    std::size_t n_distances;         // all distances are below
    const std::uint64_t* relevant;   // bits of the codes, zero padded to whole words

    std::size_t scratch() const { return 16 * n_distances + n + n / 8 + 128; }
};

// Ranks that rank_relevant may write after the last one.
constexpr std::size_t rank_slack = 8;

// Rows of the arrays for Bayes codes have this many values, or a multiple: one for each query, or for each bit.
constexpr std::size_t bayes_lanes = 16;

// The codes of a log-linear model (see core/bayes_codes.hpp), as they are and transposed: by their values or, where all
// are -1 or +1, by their signs alone, 16 times a nibble of four in a byte, the first the lowest, 1 for +1.
struct LogLinearProblem {
    std::size_t n_codes, n_bits;
    const float* codes;                // (n_codes, n_bits), or nullptr
    const float* columns;              // (n_bits, n_codes), or nullptr
    const std::uint8_t* code_signs;    // (n_codes, ceil(n_bits / 4))
    const std::uint8_t* column_signs;  // (n_bits, ceil(n_codes / 4))
    float step, ridge;
    std::size_t n_steps;

    static constexpr std::size_t nibbles_at_a_time = 16;
    std::size_t scratch() const { return (16 * nibbles_at_a_time + n_codes + 2 * n_bits) * bayes_lanes; }
};

// The code of a query, and the label sets whose rows are ranked by their Hamming distance from it.
struct RankingProblem {
    std::size_t n_sets, n_bits;
    std::size_t n_words, stride;     // n_bits in words of 32, and rounded up to a multiple of bayes_lanes
    const std::uint32_t* code;       // (n_words), zero padded
    const std::uint32_t* signs;      // (n_sets, n_words), zero padded: the codes of the sets
    const std::uint32_t* distances;  // (n_sets): their distances from `code`
    const float* counts;             // (n_sets): their rows
    const float* rows_within;        // (n_bits + 1): the rows no farther than each distance

    std::size_t scratch() const { return 2 * (n_bits + 4) * stride; }
};

// A label set that a query may have. With x = count / (1 + 2 b + count), b the rows of other sets that are nearer and
// half of those as near, its average precision is 1 - (1 - x factor) atanh(x) / x.
struct LikelySet {
    std::uint32_t set;
    float probability, count;
    float factor;  // 1 + 1 / count
};

// Kernels of Bayes codes. Every value is the same at every level, for sums are taken in the order of their index.
struct BayesKernels {
    // For bayes_lanes queries: out (n_bits, lanes) = sum over the codes of `values` (n_codes, lanes) times the code.
    void (*code_sums)(const LogLinearProblem& problem, const float* values, float* scratch, float* out);

    // For bayes_lanes queries: `weights` (n_bits, lanes) after n_steps accelerated gradient steps from zero on
    // -f . target + log sum_c exp(f . m_c) + ridge / 2 |f|^2; target (n_bits, lanes).
    void (*log_linear)(const LogLinearProblem& problem, const float* target, float* scratch, float* weights);

    // The sum over likely sets of probability times average precision; `depths` (n): 1 / (1 + 2 b + count) of each.
    float (*precision)(const LikelySet* sets, const float* depths, std::size_t n);

    // out (stride): the same for the code after the flip of each bit.
    void (*flip_precisions)(const RankingProblem& problem, const LikelySet* sets, std::size_t n, float* scratch,
                            float* out);

    // The sum over levels, the nearest first, of g (k + (s + 1 - g - g t) log((t + n + 1/2) / (t + 1/2))): n = rows[i]
    // rows, of which k = relevant[i] are relevant, g = k / n, after t rows, of which s are relevant.
    float (*graded_precision)(const float* rows, const float* relevant, std::size_t n_levels);

    // out (stride): the same for the code after the flip of each bit; `relevant` (n_sets), as counts.
    void (*flip_graded_precisions)(const RankingProblem& problem, const float* relevant, float* scratch, float* out);

    // out[i] += value, for the i < n whose bit is set; n is a multiple of bayes_lanes.
    void (*add_at)(const std::uint32_t* bits, std::size_t n, float value, float* out);
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

    // The codes of n_runs runs with popcount(query xor code) < bound, in the order of the runs; returns how many. `out`
    // has space for all codes of the runs.
    std::size_t (*near_codes)(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n_bytes,
                              const CodeRun* runs, std::size_t n_runs, std::uint32_t bound, NearCode* out);

    // Positions of the codes with Z < bound (or Z >= bound, where not `below`) whose bit in the mask is set (nullptr:
    // all), ascending; returns how many. `positions` has space for all codes of the blocks and scan_bits_slack more.
    std::size_t (*scan_bits)(const BitScan& scan, std::uint32_t bound, bool below, const std::uint8_t* mask,
                             std::uint32_t* positions);

    // The k-th smallest (or largest) Y = 2 Z + (N mod 2) among the first n_codes codes whose bit in the mask is set;
    // there are at least k. `scratch` has n_digits + 2 bits for each code of the blocks.
    std::uint32_t (*kth_of_bits)(const BitScan& scan, std::size_t n_codes, std::size_t k, bool largest,
                                 const std::uint8_t* mask, std::uint64_t* scratch);

    // The ranks of the relevant codes, from 1, ascending; returns how many. `scratch` has codes.scratch() bytes,
    // 64-byte aligned, and `ranks` has space for all relevant codes and rank_slack more.
    std::size_t (*rank_relevant)(const RankedCodes& codes, std::uint8_t* scratch, std::uint32_t* ranks);

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

    const BayesKernels* bayes;
};

// Tables of the instruction sets that this build holds; nullptr where it does not.
const KernelTable* scalar_kernels();
const KernelTable* portable_kernels();
const KernelTable* avx2_kernels();
const KernelTable* avx512_kernels();  // to be called only where the CPU has it
const KernelTable* neon_kernels();

}  // namespace pyhash
