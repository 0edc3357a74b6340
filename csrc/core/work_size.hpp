// How much work pays for a thread, and how many codes are worked on at a time.
#pragma once

#include <algorithm>
#include <cstddef>

namespace pyhash {

// Codes whose distances to one query are held at a time: they stay in the nearest caches.
constexpr std::size_t codes_per_block = 4096;

// Starting a thread costs tens of microseconds. This much work of a kind pays for one.
namespace worth_a_thread {

constexpr std::size_t distances = 30'000;        // computed one by one and stored
constexpr std::size_t searched_codes = 200'000;  // compared with a bound, many at a time
constexpr std::size_t table_queries = 2;         // searched through tables over substrings
constexpr std::size_t bit_plane_bytes = 400'000;
constexpr std::size_t nibble_plane_bytes = 200'000;
constexpr std::size_t descent_products = 400'000;    // n_bits^2 for each row
constexpr std::size_t log_linear_terms = 2'000'000;  // sets x bits x steps
constexpr std::size_t checked_signs = 1'000'000;
constexpr std::size_t packed_values = 500'000;  // of rows whose signs are packed
constexpr std::size_t summed_queries = 256;  // each thread makes all tables of sums, which costs as much as 32 queries

}  // namespace worth_a_thread

// The least number of rows for a thread, where a row is so much work.
inline std::size_t rows_worth(std::size_t work, std::size_t work_per_row) {
    return 1 + work / std::max<std::size_t>(work_per_row, 1);
}

}  // namespace pyhash
