// Split a search into pieces for threads, and join their results.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/hits.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

// The most queries that read the same codes together.
constexpr std::size_t queries_per_tile = 32;

// Hits of all queries one after another: query i's are [offsets[i], offsets[i + 1]).
template <class Distance>
struct HitLists {
    std::vector<std::int64_t> offsets;
    std::vector<std::int64_t> positions;
    std::vector<Distance> distances;
};

// A range of queries over a range of rows.
struct SearchPiece {
    std::size_t first_query, n_queries;
    std::size_t first_row, n_rows;
};

// A distance within which some of the threads that share the rows of a query have found k codes: none needs any beyond.
template <class Distance>
class SharedBound {
public:
    // The greatest distance while nothing is known.
    Distance get() const { return bound_.load(std::memory_order_relaxed); }

    void lower(Distance distance) {
        Distance bound = get();
        while (distance < bound && !bound_.compare_exchange_weak(bound, distance, std::memory_order_relaxed)) {
        }
    }

private:
    std::atomic<Distance> bound_{std::numeric_limits<Distance>::max()};
};

// Puts the hits of each query of a piece among the rows of it, sorted, into the query's list.
template <class Search, class Distance>
concept PieceSearch = std::invocable<const Search&, const SearchPiece&, std::span<HitList<Distance>>>;

// Calls search(piece, lists) for all pieces, and joins what several pieces found for a query. Where queries are fewer
// than threads can share, rows are cut too, at multiples of `row_unit`; also where tiles of queries are few and parts
// of `rows_per_part` are many: threads that each read all rows read more from memory, and few pieces end at unequal
// times.
template <class Distance, PieceSearch<Distance> Search>
std::vector<HitList<Distance>> search_in_pieces(std::size_t n_queries, std::size_t n_rows, std::size_t row_unit,
                                                const Wanted<Distance>& wanted, std::size_t n_threads,
                                                const Search& search,
                                                std::size_t rows_per_part = std::numeric_limits<std::size_t>::max()) {
    std::vector<HitList<Distance>> found(n_queries);
    if (n_queries == 0 || n_rows == 0 || wanted.k == 0) return found;
    n_threads = std::clamp<std::size_t>(n_queries * (n_rows + 512) / worth_a_thread::searched_codes, 1, n_threads);
    std::size_t n_tiles = (n_queries + queries_per_tile - 1) / queries_per_tile, n_parts = 1;
    if (n_threads > 1) {
        const std::size_t n_even = std::min(n_rows / rows_per_part, 8 * n_threads);
        if (n_queries >= 8 * n_threads && (n_tiles >= 4 * n_threads || n_even < 2 * n_threads)) {
            n_tiles = (n_tiles + n_threads - 1) / n_threads * n_threads;
        } else {
            n_parts = std::clamp<std::size_t>(n_rows / (8 * row_unit), 1, std::max(2 * n_threads, n_even));
        }
    }
    const std::size_t n_units = (n_rows + row_unit - 1) / row_unit;
    std::vector<std::vector<HitList<Distance>>> of_parts(n_parts > 1 ? n_parts : 0,
                                                         std::vector<HitList<Distance>>(n_queries));
    parallel_for(n_tiles * n_parts, n_threads, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t tile = i / n_parts, part = i % n_parts;
            SearchPiece piece;
            piece.first_query = n_queries * tile / n_tiles;
            piece.n_queries = n_queries * (tile + 1) / n_tiles - piece.first_query;
            piece.first_row = n_units * part / n_parts * row_unit;
            piece.n_rows = std::min(n_units * (part + 1) / n_parts * row_unit, n_rows) - piece.first_row;
            std::vector<HitList<Distance>>& lists = n_parts > 1 ? of_parts[part] : found;
            if (piece.n_queries > 0 && piece.n_rows > 0)
                search(piece, std::span(lists).subspan(piece.first_query, piece.n_queries));
        }
    });
    for (std::size_t i = 0; i < n_queries && n_parts > 1; ++i) {
        for (auto& lists : of_parts) found[i].insert(found[i].end(), lists[i].begin(), lists[i].end());
        std::sort(found[i].begin(), found[i].end());
        cut(found[i], wanted);
    }
    return found;
}

template <class Distance>
HitLists<Distance> joined(const std::vector<HitList<Distance>>& lists) {
    HitLists<Distance> all;
    all.offsets.reserve(lists.size() + 1);
    all.offsets.push_back(0);
    for (const auto& list : lists) all.offsets.push_back(all.offsets.back() + static_cast<std::int64_t>(list.size()));
    all.positions.reserve(static_cast<std::size_t>(all.offsets.back()));
    all.distances.reserve(static_cast<std::size_t>(all.offsets.back()));
    for (const auto& list : lists) {
        for (const auto& hit : list) {
            all.positions.push_back(hit.position);
            all.distances.push_back(hit.distance);
        }
    }
    return all;
}

}  // namespace pyhash
