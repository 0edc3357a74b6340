// Ranks of relevant codes by a counting sort over distances, for any CPU and any number of distances.
//
// The codes are cut into four runs that count apart and then write in turns, so that neighbours at one distance do not
// wait for each other. Cost: about 6 cycles a code.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_RANK_BY_COUNTS_HPP
#define PYHASH_KERNELS_RANK_BY_COUNTS_HPP

#if !defined(PYHASH_LEVEL)
#error "define PYHASH_LEVEL, the namespace of the level, before this header"
#endif

#include <cstddef>
#include <cstdint>

#include "core/kernel_table.hpp"

namespace pyhash::PYHASH_LEVEL {

inline std::size_t rank_by_counts(const RankedCodes& codes, std::uint8_t* scratch, std::uint32_t* ranks) {
    constexpr std::size_t n_runs = 4;
    auto* const next = reinterpret_cast<std::uint32_t*>(scratch);  // (n_distances, n_runs)
    std::uint8_t* const ranked = scratch + n_runs * sizeof(std::uint32_t) * codes.n_distances;
    const std::size_t run = codes.n / n_runs;
    const auto next_of = [&](std::size_t position, std::size_t r) -> std::uint32_t& {
        return next[n_runs * codes.distances[position] + r];
    };
    const auto each = [&](auto&& visit) {  // codes of a run in ascending order, those left over last
        for (std::size_t j = 0; j < run; ++j) {
            for (std::size_t r = 0; r < n_runs; ++r) visit(r * run + j, r);
        }
        for (std::size_t j = n_runs * run; j < codes.n; ++j) visit(j, n_runs - 1);
    };

    for (std::size_t i = 0; i < n_runs * codes.n_distances; ++i) next[i] = 0;
    each([&](std::size_t position, std::size_t r) { ++next_of(position, r); });
    std::uint32_t rank = 0;  // of the first code of a run at a distance
    for (std::size_t i = 0; i < n_runs * codes.n_distances; ++i) {
        const std::uint32_t n = next[i];
        next[i] = rank;
        rank += n;
    }
    each([&](std::size_t position, std::size_t r) {
        ranked[next_of(position, r)++] =
            static_cast<std::uint8_t>((codes.relevant[position / 64] >> (position % 64)) & 1);
    });

    std::size_t found = 0;
    for (std::size_t i = 0; i < codes.n; ++i) {  // every rank is written, one that is not relevant is written over
        ranks[found] = static_cast<std::uint32_t>(i + 1);
        found += ranked[i];
    }
    return found;
}

}  // namespace pyhash::PYHASH_LEVEL

#endif
