// The oracle: each kernel as its definition reads, one value at a time. Every other level must agree with it.
#include <cfloat>
#include <cmath>

#include "core/kernel_table.hpp"

namespace pyhash {
namespace {

// d = number of set bits of query xor code, counted bit by bit.
void hamming(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes,
             std::uint32_t* out) {
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = 0;
        for (std::size_t j = 0; j < n_bytes; ++j) {
            const unsigned differing = query[j] ^ codes[i * n_bytes + j];
            for (unsigned bit = 0; bit < 8; ++bit) out[i] += (differing >> bit) & 1u;
        }
    }
}

// d = sum over planes p of tables[q][p][nibble p of the code]; a hit where d < bounds[q].
void scan_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                  const std::uint8_t* bounds, NibbleHits* hits) {
    for (std::size_t q = 0; q < nibble_queries; ++q) {
        hits[q].n = 0;
        for (std::size_t i = 0; i < 64 * n_blocks; ++i) {
            const std::uint8_t* block = blocks + i / 64 * n_planes * 32;
            std::size_t distance = 0;
            for (std::size_t p = 0; p < n_planes; ++p) {
                const unsigned pair = block[p * 32 + i % 32];
                distance += tables[(q * n_planes + p) * 16 + (i % 64 < 32 ? pair & 15u : pair >> 4)];
            }
            if (distance < bounds[q]) {
                hits[q].positions[hits[q].n] = static_cast<std::uint16_t>(i);
                hits[q].distances[hits[q].n++] = static_cast<std::uint8_t>(distance);
            }
        }
    }
}

// d = sum over byte positions j of costs[j][code byte j], in ascending j: the order is part of the result.
void weighted_hamming(const double* costs, const std::uint8_t* codes, std::size_t n, std::size_t n_bytes, double* out) {
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = 0.0;
        for (std::size_t j = 0; j < n_bytes; ++j) out[i] += costs[256 * j + codes[i * n_bytes + j]];
    }
}

// b_l <- sgn(q_l - sum over l' != l of H[l, l'] b_l'), the sum taken afresh for every bit.
template <class Real>
void descend(const DescentProblem<Real>& problem, std::size_t begin, std::size_t end, std::int64_t* flips, Real eps) {
    for (std::size_t i = begin; i < end; ++i) {
        std::int8_t* signs = problem.signs + i * problem.n_bits;
        const Real* q = problem.q + i * problem.n_bits;
        for (std::size_t sweep = 0; sweep < problem.max_sweeps; ++sweep) {
            std::int64_t flipped = 0;
            for (std::size_t l = 0; l < problem.n_bits; ++l) {
                Real gradient = q[l];
                for (std::size_t other = 0; other < problem.n_bits; ++other) {
                    gradient -= problem.h[other * problem.stride + l] * static_cast<Real>(signs[other]);
                }
                const Real zero = 8 * eps * (std::abs(q[l]) + problem.h_abs_sum[l]);
                const std::int8_t sign = gradient > zero ? 1 : -1;
                flipped += sign != signs[l];
                signs[l] = sign;
            }
            flips[sweep] += flipped;
            if (flipped == 0) break;
        }
    }
}

void descend_f32(const DescentProblem<float>& problem, std::size_t begin, std::size_t end, float*, std::uint64_t*,
                 std::int64_t* flips) {
    descend<float>(problem, begin, end, flips, FLT_EPSILON);
}

void descend_f64(const DescentProblem<double>& problem, std::size_t begin, std::size_t end, double*, std::uint64_t*,
                 std::int64_t* flips) {
    descend<double>(problem, begin, end, flips, DBL_EPSILON);
}

constexpr KernelTable table{"scalar", hamming, scan_nibbles, weighted_hamming, descend_f32, descend_f64};

}  // namespace

const KernelTable* scalar_kernels() { return &table; }

}  // namespace pyhash
