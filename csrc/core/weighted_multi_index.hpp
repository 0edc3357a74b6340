// The nearest codes by weighted Hamming distance through tables over substrings: exact, ties by ascending position, the
// same lists as those of weighted_search to the last bit, for any thread count and CPU level.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "core/code_view.hpp"
#include "core/hits.hpp"
#include "core/kernel_table.hpp"
#include "core/projection_view.hpp"
#include "core/substring_tables.hpp"
#include "core/table_queries.hpp"

namespace pyhash {

// What the work of a search takes on one core, in ns, measured where memory is far larger than the caches.
struct WeightedMultiIndexCosts {
    double lookup;     // of one bucket
    double candidate;  // of one code in it

    static WeightedMultiIndexCosts of(TableForm form, std::size_t n_bytes) {
        const double of_distance = 1.0 + 0.7 * static_cast<double>(n_bytes);
        return {120.0, of_distance + (form.with_codes ? 1.5 : 11.0)};
    }
};

using WeightedMultiIndexHits = TableHits<double>;

// A query whose cost would exceed `most_cost`, in ns by WeightedMultiIndexCosts, or where too many codes tie at the
// k-th distance, is given up: search otherwise for it. Throws std::runtime_error where the tables are damaged.
WeightedMultiIndexHits weighted_multi_index_search(const KernelTable& kernels, ProjectionView projections,
                                                   CodeView codes, const SubstringTables& tables,
                                                   const Wanted<double>& wanted, RowMask mask, std::size_t n_threads,
                                                   double most_cost = std::numeric_limits<double>::infinity());

}  // namespace pyhash
