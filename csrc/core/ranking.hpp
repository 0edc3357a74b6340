// Rankings by Hamming distance, from which evaluation computes its scores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/code_view.hpp"

namespace pyhash {

// Words of bits for n codes: bit j % 64 of word j / 64 is of code j.
constexpr std::size_t relevance_words(std::size_t n) { return (n + 63) / 64; }

// relevance (queries.n, relevance_words(codes.n)): the codes that are relevant to each query; padding bits are 0.

// offsets (queries.n + 1): how many codes are relevant to the queries before each.
void count_relevant(std::span<const std::uint64_t> relevance, std::size_t n_codes, std::span<std::int64_t> offsets);

// ranks: of the codes that are relevant to query i, by ascending distance, then position, from 1; ascending, at
// offsets[i] to offsets[i + 1], which count_relevant gave.
void rank_relevant(CodeView queries, CodeView codes, std::span<const std::uint64_t> relevance,
                   std::span<const std::int64_t> offsets, std::size_t n_threads, std::span<std::uint32_t> ranks);

// n_all, n_relevant (queries.n, 8 * n_bytes + 1): codes, and relevant codes, at each distance.
void count_by_distance(CodeView queries, CodeView codes, std::span<const std::uint64_t> relevance,
                       std::size_t n_threads, std::span<std::int64_t> n_all, std::span<std::int64_t> n_relevant);

}  // namespace pyhash
