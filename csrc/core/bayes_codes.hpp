// Bayes codes: of a posterior over label sets, the code that retrieves best, and weights of its bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/code_view.hpp"

namespace pyhash {

// The label sets of a database: u of them.
struct LabelledCodes {
    std::size_t n_bits;                 // r
    std::span<const float> mean_codes;  // (u, r): mean signs of the rows of each set, from -1 to 1
    std::span<const double> counts;     // (u): rows of each set; sets without rows are left out of everything
    CodeView sets;                      // (u, n_bytes): packed labels; no data where each set is a class of its own
};

// out (n, r): for each posterior P over the sets, posterior (n, u), a code q and weights w as q * w.
//
// Weights. w_l = max(q_l f_l, mean |f| / 1000), where f is what 60 accelerated gradient steps from 0 make of
//   -f . sum_c T_c m_c + log sum_c exp(f . m_c) + 0.01 / 2 |f|^2,  with step 1 / (3/4 r + 0.01),
// for mean codes m_c. Its second derivative in any direction is at most r + 0.01, a quarter of the squared range of f .
// m_c for |f| = 1, so that the steps, as long as 4/3 of its inverse, stay stable whatever the codes. The target T is
// P_c n_c^-0.3, scaled to sum 1, for counts n_c. Where sets have several labels it is n_c R_c^2, scaled likewise, with
// R_c the probability that c has a label in common with the query. Where mean |f| is below 1e-6, because the sets do
// not differ, all weights are 1.
//
// Code. q starts as the best of sgn f, sgn sum_c P_c m_c and the signs of the mean code of the likeliest set; then the
// best single bit is flipped, up to twice, while that is better. Best is the largest expected average precision of the
// rows ranked by the Hamming distance of their set from q; each set is at the signs of its mean code, and rows as near
// as others rank before half of them. Of a class c with b rows of other classes before it:
//   AP = 1 - (b / n_c) log((b + n_c + 1/2) / (b + 1/2)),  expected: sum_c P_c AP(c).
// Where sets have several labels, rows are relevant independently with probability R_c; the n rows at one distance, of
// which k are relevant on average, that come after t rows, of which s are relevant, contribute to the sum of the
// precisions at relevant rows
//   k / n (k + (s + 1 - k / n - t k / n) log((t + n + 1/2) / (t + 1/2))).
// Both sums over ranks are replaced by the integral from 1/2 before to 1/2 after.
//
// The sets beyond 0.999 of the posterior, by falling probability, are left out of sum_c P_c AP(c) and of R; their rows
// still rank, and their codes are still part of log sum.
//
// The same to the last bit for every CPU level and number of threads. Throws std::invalid_argument where no set has
// rows, a probability is negative or not finite, or the sets with rows have no probability at all.
void bayes_codes(std::span<const float> posterior, const LabelledCodes& given, std::size_t n_threads, float* out);

}  // namespace pyhash
