#include "core/hamming_search.hpp"

#include <algorithm>
#include <limits>
#include <span>

#include "core/search_plan.hpp"
#include "core/selection.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

// Distances of one query to all rows, block by block.
void search_codes(const KernelTable& kernels, CodeView queries, CodeView codes, const Wanted<std::uint32_t>& wanted,
                  RowMask mask, const SearchPiece& piece, std::span<HitList<std::uint32_t>> lists) {
    std::vector<std::uint32_t> distances(std::min(codes_per_block, piece.n_rows)), positions(distances.size());
    for (std::size_t q = 0; q < piece.n_queries; ++q) {
        CountedSelection selection(wanted, 8 * codes.n_bytes);
        const std::size_t last = piece.first_row + piece.n_rows;
        for (std::size_t first = piece.first_row; first < last && selection.bound() > 0; first += codes_per_block) {
            const std::size_t n = std::min(codes_per_block, last - first);
            kernels.hamming(queries.row(piece.first_query + q), codes.row(first), n, codes.n_bytes, distances.data());
            const std::size_t bound = selection.bound();
            std::size_t n_near = 0;
            for (std::size_t i = 0; i < n; ++i) {  // overwrites distances from the front
                const std::uint32_t distance = distances[i];
                distances[n_near] = distance;
                positions[n_near] = static_cast<std::uint32_t>(i);
                n_near += distance < bound && lets_through(mask, first + i);
            }
            selection.take(distances.data(), positions.data(), n_near, first);
        }
        lists[q] = selection.finish();
    }
}

// Rows whose k-th distance a search begins with: the more, the fewer come later that turn out too far.
constexpr std::size_t seed_rows_per_hit = 64;
constexpr std::size_t max_seed_rows = 512 * BitPlanes::codes_per_block;

std::size_t n_let_through(RowMask mask, std::size_t first, std::size_t n) {
    if (mask == nullptr) return n;
    std::size_t count = 0;
    for (std::size_t i = first; i < first + n; ++i) count += lets_through(mask, i);
    return count;
}

// So many that the start of a part is nothing beside them.
constexpr std::size_t rows_per_part = std::size_t{1} << 19;

// Asks for a share of some memory, that of query q of n, so that it is near when it is read.
void fetch_share(const std::uint8_t* memory, std::size_t n_bytes, std::size_t q, std::size_t n) {
    constexpr std::size_t line = 64;
    const std::size_t n_lines = n_bytes / line;
    for (std::size_t i = n_lines * q / n; i < n_lines * (q + 1) / n; ++i) __builtin_prefetch(memory + line * i, 0, 2);
}

void search_planes(const KernelTable& kernels, CodeView queries, CodeView codes, const BitPlanes& planes,
                   const Wanted<std::uint32_t>& wanted, RowMask mask, const SearchPiece& piece,
                   std::span<SharedBound<std::uint32_t>> bounds, std::span<HitList<std::uint32_t>> lists) {
    constexpr std::size_t block_rows = BitPlanes::codes_per_block, step_bytes = 24'000;
    static_assert(block_rows == mask_block_rows);
    const std::size_t first_block = piece.first_row / block_rows;
    const std::size_t end_block = first_block + (piece.n_rows + block_rows - 1) / block_rows;
    const std::size_t end_row = piece.first_row + piece.n_rows;

    std::vector<BitQuery> bit_queries;
    std::vector<CountedSelection> selections;
    bit_queries.reserve(piece.n_queries);
    selections.reserve(piece.n_queries);
    std::vector<std::uint64_t> scratch;
    const std::size_t seed =
        std::min({wanted.k < piece.n_rows ? std::max<std::size_t>(seed_rows_per_hit * wanted.k, block_rows) : 0,
                  piece.n_rows, max_seed_rows});
    const bool seeded = seed > 0 && n_let_through(mask, piece.first_row, seed) >= wanted.k;
    for (std::size_t q = 0; q < piece.n_queries; ++q) {
        bit_queries.emplace_back(kernels, planes, queries.row(piece.first_query + q));
        selections.emplace_back(wanted, planes.n_bits());
        const std::uint32_t bound = bounds[piece.first_query + q].get();
        if (bound <= planes.n_bits()) {
            selections[q].start_within(bound);
        } else if (seeded) {
            const RowMask of_seed = mask == nullptr ? nullptr : mask + piece.first_row / 8;
            selections[q].start_within(bit_queries[q].kth_distance(first_block, seed, wanted.k, of_seed, scratch));
        }
    }

    // Several queries look at a few blocks while they are in the nearest caches, and each asks for a share of the next
    // few. One alone streams through memory.
    const std::size_t step =
        piece.n_queries == 1 ? 16 : std::clamp<std::size_t>(step_bytes / planes.block_bytes(), 1, 16);
    std::vector<std::uint32_t> positions(step * block_rows + scan_bits_slack), distances(step * block_rows);
    for (std::size_t block = first_block; block < end_block; block += step) {
        const std::size_t n_blocks = std::min(step, end_block - block), first = block * block_rows;
        const std::size_t next = block + n_blocks, next_bytes = std::min(step, end_block - next) * planes.block_bytes();
        for (std::size_t q = 0; q < piece.n_queries; ++q) {
            CountedSelection& selection = selections[q];
            if (piece.n_queries > 1) fetch_share(planes.block(next), next_bytes, q, piece.n_queries);
            if (selection.bound() == 0) continue;  // k codes at distance 0: nothing is nearer
            std::size_t n = bit_queries[q].scan(block, n_blocks, selection.bound(),
                                                mask == nullptr ? nullptr : mask + first / 8, positions.data());
            while (n > 0 && first + positions[n - 1] >= end_row) --n;  // padding of the last block
            if (n == 0) continue;
            kernels.hamming_at(queries.row(piece.first_query + q), codes.row(first), positions.data(), n, codes.n_bytes,
                               distances.data());
            selection.take(distances.data(), positions.data(), n, first);
        }
    }
    for (std::size_t q = 0; q < piece.n_queries; ++q) {
        lists[q] = selections[q].finish();
        if (lists[q].size() >= wanted.k) bounds[piece.first_query + q].lower(lists[q][wanted.k - 1].distance);
    }
}

}  // namespace

std::vector<HitList<std::uint32_t>> hamming_search(const KernelTable& kernels, CodeView queries, CodeView codes,
                                                   const BitPlanes* planes, const Wanted<std::uint32_t>& wanted,
                                                   RowMask mask, std::size_t n_threads) {
    std::vector<SharedBound<std::uint32_t>> bounds(queries.n);
    const auto search = [&](const SearchPiece& piece, std::span<HitList<std::uint32_t>> lists) {
        if (planes == nullptr) {
            search_codes(kernels, queries, codes, wanted, mask, piece, lists);
        } else {
            search_planes(kernels, queries, codes, *planes, wanted, mask, piece, bounds, lists);
        }
    };
    return search_in_pieces(queries.n, codes.n, BitPlanes::codes_per_block, wanted, n_threads, search, rows_per_part);
}

}  // namespace pyhash
