// The oracle: each kernel as its definition reads, one value at a time. Every other level must agree with it.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "core/kernel_table.hpp"
#define PYHASH_LEVEL scalar
#include "kernels/expected_precision.hpp"

namespace pyhash::scalar {
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

void hamming_at(const std::uint8_t* query, const std::uint8_t* codes, const std::uint32_t* positions, std::size_t n,
                std::size_t n_bytes, std::uint32_t* out) {
    for (std::size_t i = 0; i < n; ++i) hamming(query, codes + positions[i] * n_bytes, 1, n_bytes, out + i);
}

std::size_t near_codes(const std::uint8_t* query, const std::uint8_t* codes, std::size_t n_bytes, const CodeRun* runs,
                       std::size_t n_runs, std::uint32_t bound, NearCode* out) {
    std::size_t n = 0;
    for (std::size_t run = 0; run < n_runs; ++run) {
        for (std::uint32_t i = runs[run].begin; i < runs[run].end; ++i) {
            std::uint32_t distance;
            hamming(query, codes + i * n_bytes, 1, n_bytes, &distance);
            if (distance < bound) out[n++] = {i, distance};
        }
    }
    return n;
}

bool bit_of(const std::uint8_t* bits, std::size_t i) { return (bits[i / 8] >> (i % 8)) & 1; }

// The number of code i, its digits from `first_digit` of N on, and the chosen planes.
std::uint32_t counted(const BitScan& scan, std::size_t i, std::size_t first_digit) {
    const std::uint8_t* block = scan.blocks + i / bit_block_codes * scan.block_bytes;
    const std::size_t code = i % bit_block_codes;
    std::uint32_t number = 0;
    for (std::size_t d = first_digit; d < scan.n_digits; ++d) {
        number += static_cast<std::uint32_t>(bit_of(block + scan.counts + bit_plane_bytes * d, code))
                  << (d - first_digit);
    }
    for (std::size_t p = 0; p < scan.n_planes; ++p) {
        number += static_cast<std::uint32_t>(bit_of(block + scan.planes[p], code)) << (1 - first_digit);
    }
    return number;
}

std::size_t scan_bits(const BitScan& scan, std::uint32_t bound, bool below, const std::uint8_t* mask,
                      std::uint32_t* positions) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < bit_block_codes * scan.n_blocks; ++i) {
        if (mask != nullptr && !bit_of(mask, i)) continue;
        if ((counted(scan, i, 1) < bound) == below) positions[n++] = static_cast<std::uint32_t>(i);
    }
    return n;
}

std::uint32_t kth_of_bits(const BitScan& scan, std::size_t n_codes, std::size_t k, bool largest,
                          const std::uint8_t* mask, std::uint64_t*) {
    std::vector<std::uint32_t> numbers;
    for (std::size_t i = 0; i < n_codes; ++i) {
        if (mask == nullptr || bit_of(mask, i)) numbers.push_back(counted(scan, i, 0));
    }
    std::sort(numbers.begin(), numbers.end());
    return largest ? numbers[numbers.size() - k] : numbers[k - 1];
}

std::size_t rank_relevant(const RankedCodes& codes, std::uint8_t*, std::uint32_t* ranks) {
    std::vector<std::size_t> order(codes.n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::pair(codes.distances[a], a) < std::pair(codes.distances[b], b);
    });
    std::size_t found = 0;
    for (std::size_t i = 0; i < codes.n; ++i) {
        if ((codes.relevant[order[i] / 64] >> (order[i] % 64)) & 1) ranks[found++] = static_cast<std::uint32_t>(i + 1);
    }
    return found;
}

std::size_t sum_of_nibbles(const std::uint8_t* blocks, std::size_t i, std::size_t n_planes,
                           const std::uint8_t* tables) {
    const std::uint8_t* block = blocks + i / 64 * n_planes * 32;
    std::size_t sum = 0;
    for (std::size_t p = 0; p < n_planes; ++p) {
        const unsigned pair = block[p * 32 + i % 32];
        sum += tables[p * 16 + (i % 64 < 32 ? pair & 15u : pair >> 4)];
    }
    return std::min<std::size_t>(sum, 255);
}

void sum_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                 std::uint8_t* out) {
    for (std::size_t i = 0; i < 64 * n_blocks; ++i) {
        out[i] = static_cast<std::uint8_t>(sum_of_nibbles(blocks, i, n_planes, tables));
    }
}

void scan_nibbles(const std::uint8_t* blocks, std::size_t n_blocks, std::size_t n_planes, const std::uint8_t* tables,
                  const std::uint8_t* bounds, std::size_t n_queries, NibbleHits* hits) {
    for (std::size_t q = 0; q < n_queries; ++q) {
        hits[q].n = 0;
        for (std::size_t i = 0; i < 64 * n_blocks; ++i) {
            if (sum_of_nibbles(blocks, i, n_planes, tables + q * n_planes * 16) >= bounds[q]) continue;
            hits[q].positions[hits[q].n++] = static_cast<std::uint16_t>(i);
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

template <class Value>
void add_chosen(const std::uint64_t* words, std::size_t n, const Value* tables, Value* sums) {
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t p = 0; p < 16; ++p) {
            const Value* chosen = tables + (16 * p + ((words[i] >> (4 * p)) & 15)) * sum_lanes;
            for (std::size_t lane = 0; lane < sum_lanes; ++lane) sums[i * sum_lanes + lane] += chosen[lane];
        }
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

// ---- Bayes codes ----------------------------------------------------------------------------------------------------

using Scalar = FloatLanes<1>;

// The sum of n terms, as the kernels take it: one by one, or for signs by fours, each four as two pairs.
template <class Term>
float sum_of(bool by_signs, std::size_t n, Term term) {
    float sum = 0.0f;
    if (!by_signs) {
        for (std::size_t i = 0; i < n; ++i) sum += term(i);
        return sum;
    }
    const auto term_or_zero = [&](std::size_t i) { return i < n ? term(i) : 0.0f; };
    for (std::size_t i = 0; i < n; i += 4) {
        sum += (term_or_zero(i) + term_or_zero(i + 1)) + (term_or_zero(i + 2) + term_or_zero(i + 3));
    }
    return sum;
}

float sign_of(const std::uint8_t* nibbles, std::size_t i) {
    return ((nibbles[i / 4] >> (4 + i % 4)) & 1) ? 1.0f : -1.0f;
}

float code_value(const LogLinearProblem& problem, std::size_t c, std::size_t l) {
    if (problem.codes != nullptr) return problem.codes[c * problem.n_bits + l];
    return sign_of(problem.code_signs + c * ((problem.n_bits + 3) / 4), l);
}

void code_sums(const LogLinearProblem& problem, const float* values, float*, float* out) {
    const bool by_signs = problem.codes == nullptr;
    for (std::size_t l = 0; l < problem.n_bits; ++l) {
        for (std::size_t lane = 0; lane < bayes_lanes; ++lane) {
            out[l * bayes_lanes + lane] = sum_of(by_signs, problem.n_codes, [&](std::size_t c) {
                return code_value(problem, c, l) * values[c * bayes_lanes + lane];
            });
        }
    }
}

void log_linear(const LogLinearProblem& problem, const float* target, float*, float* weights) {
    const bool by_signs = problem.codes == nullptr;
    const std::size_t n_bits = problem.n_bits, n_codes = problem.n_codes;
    for (std::size_t lane = 0; lane < bayes_lanes; ++lane) {
        std::vector<float> f(n_bits, 0.0f), ahead(n_bits, 0.0f), z(n_codes), gradient(n_bits);
        for (std::size_t step = 0; step < problem.n_steps; ++step) {
            for (std::size_t c = 0; c < n_codes; ++c) {
                z[c] = sum_of(by_signs, n_bits, [&](std::size_t l) { return code_value(problem, c, l) * ahead[l]; });
            }
            const float largest = *std::max_element(z.begin(), z.end());
            float sum = 0.0f;
            for (float& value : z) {
                value = exp_of<Scalar>(std::max(value - largest, -87.0f));
                sum += value;
            }
            const float scale = 1.0f / sum, momentum = static_cast<float>(step) / static_cast<float>(step + 3);
            for (std::size_t l = 0; l < n_bits; ++l) {
                const float mean =
                    scale * sum_of(by_signs, n_codes, [&](std::size_t c) { return code_value(problem, c, l) * z[c]; });
                gradient[l] = (mean - target[l * bayes_lanes + lane]) + problem.ridge * ahead[l];
            }
            for (std::size_t l = 0; l < n_bits; ++l) {
                const float next = ahead[l] - problem.step * gradient[l];
                ahead[l] = next + momentum * (next - f[l]);
                f[l] = next;
            }
        }
        for (std::size_t l = 0; l < n_bits; ++l) weights[l * bayes_lanes + lane] = f[l];
    }
}

bool code_bit(const std::uint32_t* code, std::size_t l) { return (code[l / 32] >> (l % 32)) & 1; }

// The distance of a set from the code after the flip of bit l.
std::size_t distance_after(const RankingProblem& problem, std::size_t set, std::size_t l) {
    const bool equal = code_bit(problem.code, l) == code_bit(problem.signs + set * problem.n_words, l);
    return equal ? problem.distances[set] + std::size_t{1} : problem.distances[set] - std::size_t{1};
}

// The sums of `values` (n_sets) over the sets at each distance from the code after the flip of bit l.
std::vector<float> by_distance_after(const RankingProblem& problem, const float* values, std::size_t l) {
    std::vector<float> sums(problem.n_bits + 1, 0.0f);
    for (std::size_t set = 0; set < problem.n_sets; ++set) sums[distance_after(problem, set, l)] += values[set];
    return sums;
}

void flip_precisions(const RankingProblem& problem, const LikelySet* sets, std::size_t n, float*, float* out) {
    std::fill_n(out, problem.stride, 0.0f);
    for (std::size_t l = 0; l < problem.n_bits; ++l) {
        const std::vector<float> rows = by_distance_after(problem, problem.counts, l);
        std::vector<float> depths(n);
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t d = distance_after(problem, sets[i].set, l);
            float nearer = 0.0f;
            for (std::size_t e = 0; e < d; ++e) nearer += rows[e];
            depths[i] = 1.0f / (((nearer + nearer) + rows[d]) + 1.0f);
        }
        out[l] = precision(sets, depths.data(), n);
    }
}

void flip_graded_precisions(const RankingProblem& problem, const float* relevant, float*, float* out) {
    std::fill_n(out, problem.stride, 0.0f);
    for (std::size_t l = 0; l < problem.n_bits; ++l) {
        out[l] = graded_precision(by_distance_after(problem, problem.counts, l).data(),
                                  by_distance_after(problem, relevant, l).data(), problem.n_bits + 1);
    }
}

void add_at(const std::uint32_t* bits, std::size_t n, float value, float* out) {
    for (std::size_t i = 0; i < n; ++i) {
        if (code_bit(bits, i)) out[i] += value;
    }
}

constexpr BayesKernels bayes{.code_sums = code_sums,
                             .log_linear = log_linear,
                             .precision = precision,
                             .flip_precisions = flip_precisions,
                             .graded_precision = graded_precision,
                             .flip_graded_precisions = flip_graded_precisions,
                             .add_at = add_at};

constexpr NibbleKernels nibbles{.sum = sum_nibbles, .scan = scan_nibbles};

constexpr KernelTable table{
    .level = "scalar",
    .hamming = hamming,
    .hamming_at = hamming_at,
    .near_codes = near_codes,
    .scan_bits = scan_bits,
    .kth_of_bits = kth_of_bits,
    .rank_relevant = rank_relevant,
    .nibbles = &nibbles,
    .weighted_hamming = weighted_hamming,
    .add_chosen_i32 = add_chosen<std::int32_t>,
    .add_chosen_f64 = add_chosen<double>,
    .descend_f32 = descend_f32,
    .descend_f64 = descend_f64,
    .bayes = &bayes,
};

}  // namespace
}  // namespace pyhash::scalar

namespace pyhash {

const KernelTable* scalar_kernels() { return &scalar::table; }

}  // namespace pyhash
