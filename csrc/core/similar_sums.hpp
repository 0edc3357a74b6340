// Sums over the label sets that share a label with a query.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/code_view.hpp"

namespace pyhash {

// out (queries.n, n_values): for each query, the sum of the rows of `values` (sets.n, n_values) whose set has a label
// in common with it. Queries and sets are packed label sets of the same number of bytes.
//
// Exact, whatever the CPU level, where values are whole numbers and the magnitudes of a column add up to less than
// 2^53. Other values are added in float64, in an order that does not depend on threads or level. Memory beyond the
// arrays: n_values float64 or int32 for each query, and less than 1 MB a thread.
void sum_similar(CodeView queries, CodeView sets, const double* values, std::size_t n_values, std::size_t n_threads,
                 double* out);

}  // namespace pyhash
