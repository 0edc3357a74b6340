#include "core/nibble_top_k.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/top_k.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

// Keeps the k nearest of distances that come by ascending position. Counts by distance say at any moment what the k-th
// distance is; a code at that distance comes too late, so only nearer ones are taken.
class CountedSelection {
public:
    CountedSelection(std::size_t k, std::size_t n_bits) : k_(k), counts_(n_bits + 2) {}

    void clear() {
        std::fill(counts_.begin(), counts_.end(), 0);
        candidates_.clear();
        bound_ = counts_.size() - 1;
        n_within_ = 0;
    }

    // Distances below it are still wanted: the k-th so far, beyond all distances while there are fewer than k.
    std::size_t bound() const { return bound_; }

    void take(std::size_t distance, std::size_t position) {
        if (distance >= bound_) return;
        candidates_.push_back({static_cast<std::uint32_t>(distance), static_cast<std::uint32_t>(position)});
        ++counts_[distance];
        ++n_within_;
        lower_bound();
        if (candidates_.size() >= 4 * k_ + 1024) drop_far();
    }

    // The first distances, all at once: count, then take only what is within the k-th.
    void take_first(const std::uint32_t* distances, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) ++counts_[distances[i]];
        n_within_ = n;
        lower_bound();
        std::fill(counts_.begin() + static_cast<std::ptrdiff_t>(bound_) + 1, counts_.end(), 0);
        for (std::size_t i = 0; i < n; ++i) {
            if (distances[i] <= bound_) candidates_.push_back({distances[i], static_cast<std::uint32_t>(i)});
        }
    }

    // Writes the k nearest: candidates stand by position, so a stable count by distance puts them in order.
    void finish(std::int64_t* positions, std::uint32_t* distances) {
        std::vector<std::size_t> next(bound_ + 1);
        std::size_t rank = 0;
        for (std::size_t d = 0; d <= bound_; ++d) {
            next[d] = rank;
            rank += counts_[d];
        }
        for (const Candidate& candidate : candidates_) {
            if (candidate.distance > bound_) continue;
            const std::size_t place = next[candidate.distance]++;
            if (place >= k_) continue;
            positions[place] = candidate.position;
            distances[place] = candidate.distance;
        }
    }

private:
    struct Candidate {
        std::uint32_t distance, position;
    };

    // While k are nearer than the bound, it is not the k-th distance.
    void lower_bound() {
        while (n_within_ - counts_[bound_] >= k_) n_within_ -= counts_[bound_--];
    }

    void drop_far() {
        std::erase_if(candidates_, [this](const Candidate& candidate) { return candidate.distance > bound_; });
    }

    std::size_t k_;
    std::vector<std::size_t> counts_;  // of the candidates at each distance
    std::vector<Candidate> candidates_;
    std::size_t bound_ = 0, n_within_ = 0;
};

// Tables of a query: for each plane, the distance of its nibble to each of the sixteen.
void fill_tables(const std::uint8_t* query, std::size_t n_bytes, std::uint8_t* tables) {
    for (std::size_t p = 0; p < 2 * n_bytes; ++p) {
        const unsigned nibble = p % 2 == 0 ? query[p / 2] & 15u : query[p / 2] >> 4;
        for (unsigned value = 0; value < 16; ++value) {
            constexpr std::uint8_t bits[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
            tables[16 * p + value] = bits[nibble ^ value];
        }
    }
}

}  // namespace

void nibble_top_k(CodeView queries, CodeView codes, const NibblePlanes& planes, std::size_t k, std::size_t n_threads,
                  std::int64_t* positions, std::uint32_t* distances) {
    const KernelTable& table = kernels();
    k = std::min(k, codes.n);
    // The first block of codes gives the bounds; it must hold k codes, and be few beside the rest.
    const std::size_t n_first = std::max<std::size_t>(256, (2 * k + 63) / 64 * 64);
    constexpr std::size_t most_positions = std::numeric_limits<std::uint32_t>::max();
    if (table.scan_nibbles == nullptr || n_first > codes.n / 4 || codes.n > most_positions) {
        return hamming_top_k(queries, codes, k, n_threads, positions, distances);
    }
    constexpr std::size_t blocks_per_scan = nibble_scan_codes / NibblePlanes::codes_per_block;
    const std::size_t n_planes = planes.n_planes();

    const std::size_t n_groups = (queries.n + nibble_queries - 1) / nibble_queries;
    const std::size_t grain = 1 + queries_per_thread(codes.n) / nibble_queries;
    parallel_for(n_groups, n_threads, grain, [&](std::size_t begin, std::size_t end) {
        AlignedBuffer<std::uint8_t> tables(nibble_queries * n_planes * 16);
        std::vector<CountedSelection> selections(nibble_queries, CountedSelection(k, 8 * codes.n_bytes));
        std::vector<std::uint32_t> first(n_first);
        std::vector<NibbleHits> hits(nibble_queries);
        for (std::size_t group = begin; group < end; ++group) {
            const std::size_t query = group * nibble_queries;
            const std::size_t n = std::min(nibble_queries, queries.n - query);
            std::uint8_t bounds[nibble_queries];
            bool fits = true;
            for (std::size_t q = 0; q < nibble_queries; ++q) {
                // A group that is not full repeats its last query.
                const std::uint8_t* code = queries.row(query + std::min(q, n - 1));
                table.hamming(code, codes.data, n_first, codes.n_bytes, first.data());
                selections[q].clear();
                selections[q].take_first(first.data(), n_first);
                fits &= selections[q].bound() <= 255;
                fill_tables(code, codes.n_bytes, tables.data() + q * n_planes * 16);
            }
            if (!fits) {  // distances beyond a byte
                hamming_top_k({queries.row(query), n, queries.n_bytes}, codes, k, 1, positions + query * k,
                              distances + query * k);
                continue;
            }
            std::size_t n_blocks = 0;
            for (std::size_t b = n_first / NibblePlanes::codes_per_block; b < planes.n_blocks(); b += n_blocks) {
                // As many again as were seen: while bounds still fall fast, they are looked at more often.
                n_blocks = std::min({b, blocks_per_scan, planes.n_blocks() - b});
                std::size_t greatest = 0;
                for (std::size_t q = 0; q < nibble_queries; ++q) {
                    greatest = std::max(greatest, selections[q].bound());
                    // The kernels take bounds from 1; what a bound of 0 does not want, the selection refuses.
                    bounds[q] = static_cast<std::uint8_t>(std::max<std::size_t>(selections[q].bound(), 1));
                }
                if (greatest == 0) break;  // k codes at distance 0 for each: nothing can be nearer
                table.scan_nibbles(planes.block(b), n_blocks, n_planes, tables.data(), bounds, hits.data());
                for (std::size_t q = 0; q < n; ++q) {
                    for (std::size_t i = 0; i < hits[q].n; ++i) {
                        const std::size_t position = b * NibblePlanes::codes_per_block + hits[q].positions[i];
                        if (position < codes.n) selections[q].take(hits[q].distances[i], position);
                    }
                }
            }
            for (std::size_t q = 0; q < n; ++q) {
                selections[q].finish(positions + (query + q) * k, distances + (query + q) * k);
            }
        }
    });
}

}  // namespace pyhash
