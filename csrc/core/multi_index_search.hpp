// The nearest codes by Hamming distance through tables over substrings: exact, ties by ascending position, the same
// lists as those of hamming_search, for any thread count and CPU level.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/code_view.hpp"
#include "core/hits.hpp"
#include "core/kernel_table.hpp"
#include "core/substring_tables.hpp"
#include "core/table_queries.hpp"

namespace pyhash {

// What the work of a search takes on one core, in ns, measured where memory is far larger than the caches.
struct MultiIndexCosts {
    double lookup;     // of one bucket
    double candidate;  // of one code in it

    static MultiIndexCosts of(TableForm form) {
        return form.with_codes ? MultiIndexCosts{50.0, 2.5} : MultiIndexCosts{50.0, 12.0};
    }
};

using MultiIndexHits = TableHits<std::uint32_t>;

// A query whose cost would exceed `most_cost`, in ns by MultiIndexCosts, is given up: search otherwise for it.
// Throws std::runtime_error where the tables are damaged.
MultiIndexHits multi_index_search(const KernelTable& kernels, CodeView queries, CodeView codes,
                                  const SubstringTables& tables, const Wanted<std::uint32_t>& wanted, RowMask mask,
                                  std::size_t n_threads, double most_cost = std::numeric_limits<double>::infinity());

}  // namespace pyhash
