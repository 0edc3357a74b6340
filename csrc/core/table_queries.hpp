// Queries through the tables of a code set, one after another on each thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <vector>

#include "core/hits.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

template <class Distance>
struct TableHits {
    std::vector<HitList<Distance>> lists;  // one for each query, empty for those given up
    std::vector<std::size_t> given_up;     // the numbers of these queries, ascending
    double cost = 0.0;                     // of all queries, in ns by the model of the search
};

// Each thread has a search of its own, made by make(). Its search(query, list) returns whether the query was not given
// up, its cost() is that of all its queries.
template <class Distance, class Queries, class Make>
TableHits<Distance> search_tables(const Queries& queries, std::size_t n_threads, const Make& make) {
    TableHits<Distance> found;
    found.lists.resize(queries.n);
    std::mutex lock;
    parallel_for(queries.n, n_threads, worth_a_thread::table_queries, [&](std::size_t begin, std::size_t end) {
        auto search = make();
        std::vector<std::size_t> given_up;
        for (std::size_t q = begin; q < end; ++q) {
            if (!search.search(queries.row(q), found.lists[q])) given_up.push_back(q);
        }
        const std::scoped_lock guard(lock);
        found.given_up.insert(found.given_up.end(), given_up.begin(), given_up.end());
        found.cost += search.cost();
    });
    std::ranges::sort(found.given_up);
    return found;
}

}  // namespace pyhash
