// How a search is cut into pieces: blocks of codes that stay in cache, queries enough to pay for a thread.
#pragma once

#include <algorithm>
#include <cstddef>

namespace pyhash {

// Codes whose distances to one query are held at a time.
constexpr std::size_t codes_per_block = 4096;

// Queries that are worth a thread of their own over n codes: starting one costs about as much as 30,000 distances.
inline std::size_t queries_per_thread(std::size_t n_codes) { return 1 + 30'000 / std::max<std::size_t>(n_codes, 1); }

}  // namespace pyhash
