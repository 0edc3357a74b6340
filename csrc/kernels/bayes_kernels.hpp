// The kernels of Bayes codes, by vectors of `Lanes` (float_lanes.hpp), as one table.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_BAYES_KERNELS_HPP
#define PYHASH_KERNELS_BAYES_KERNELS_HPP

#include "core/kernel_table.hpp"
#include "kernels/expected_precision.hpp"
#include "kernels/log_linear.hpp"

namespace pyhash::PYHASH_LEVEL {

template <class Lanes>
constexpr BayesKernels bayes_kernels() {
    return {
        .code_sums = LogLinear<Lanes>::code_sums,
        .log_linear = LogLinear<Lanes>::solve,
        .precision = precision,
        .flip_precisions = [](const RankingProblem& problem, const LikelySet* sets, std::size_t n, float* scratch,
                              float* out) { Flips<Lanes>{problem}.precisions(sets, n, scratch, out); },
        .graded_precision = graded_precision,
        .flip_graded_precisions = [](const RankingProblem& problem, const float* relevant, float* scratch,
                                     float* out) { Flips<Lanes>{problem}.graded_precisions(relevant, scratch, out); },
        .add_at = add_where_set<Lanes>};
}

}  // namespace pyhash::PYHASH_LEVEL

#endif
