// Ranks of relevant codes by masks: for each distance, the bits of relevance at the codes of that distance are moved
// together (PEXT) and follow those of the distance before. So the bits come to stand in rank order, 64 ranks a word.
//
// `Ops` is what a kernel file gives: equal (one bit for each of 64 bytes), pack (PEXT), count_bits, write_ranks.
// Cost: about 4 cycles for 64 codes and each distance between the least and the greatest.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_RANK_BY_MASKS_HPP
#define PYHASH_KERNELS_RANK_BY_MASKS_HPP

#if !defined(PYHASH_LEVEL)
#error "define PYHASH_LEVEL, the namespace of the level, before this header"
#endif

#include <cstddef>
#include <cstdint>

#include "core/kernel_table.hpp"
#include "kernels/rank_by_counts.hpp"

namespace pyhash::PYHASH_LEVEL {

// From so many distances on, counting is faster.
constexpr std::size_t most_masks = 96;

template <class Ops>
std::size_t rank_by_masks(const RankedCodes& codes, std::uint8_t* scratch, std::uint32_t* ranks) {
    if (codes.n == 0) return 0;
    std::uint32_t least = codes.distances[0], greatest = least;
    for (std::size_t i = 1; i < codes.n; ++i) {
        const std::uint32_t d = codes.distances[i];
        least = d < least ? d : least;
        greatest = d > greatest ? d : greatest;
    }
    const std::size_t n_masks = greatest - least + 1;
    if (n_masks > most_masks) return rank_by_counts(codes, scratch, ranks);

    const std::size_t n_words = (codes.n + 63) / 64;
    for (std::size_t i = 0; i < codes.n; ++i) scratch[i] = static_cast<std::uint8_t>(codes.distances[i] - least);
    for (std::size_t i = codes.n; i < 64 * n_words; ++i) scratch[i] = 0xff;  // equal to no distance

    // No branch, for no processor foretells which step fills a word; a conditional would be compiled as one.
    auto* const ranked = reinterpret_cast<std::uint64_t*>(scratch + 64 * n_words);  // the bits in rank order
    std::size_t n_full = 0, n_ranked = 0;  // words of them that are full, and bits in the next
    std::uint64_t word = 0;                // that one
    for (std::size_t d = 0; d < n_masks; ++d) {
        for (std::size_t w = 0; w < n_words; ++w) {
            const std::uint64_t mask = Ops::equal(scratch + 64 * w, static_cast<std::uint8_t>(d));
            const std::uint64_t bits = Ops::pack(codes.relevant[w], mask);
            const std::uint64_t left = (bits >> 1) >> (63 - n_ranked);  // what the word has no space for
            word |= bits << n_ranked;
            ranked[n_full] = word;
            n_ranked += Ops::count_bits(mask);
            const std::size_t is_full = n_ranked / 64;
            word ^= (word ^ left) & (0 - is_full);
            n_full += is_full;
            n_ranked %= 64;
        }
    }
    ranked[n_full] = word;
    std::uint32_t* out = ranks;
    for (std::size_t w = 0; w < n_words; ++w)
        out = Ops::write_ranks(ranked[w], static_cast<std::uint32_t>(64 * w + 1), out);
    return static_cast<std::size_t>(out - ranks);
}

}  // namespace pyhash::PYHASH_LEVEL

#endif
