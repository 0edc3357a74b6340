#include "core/code_set.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "core/cpu_level.hpp"
#include "core/hamming_search.hpp"
#include "core/weighted_search.hpp"

namespace pyhash {
namespace {

// In smaller sets a scan of the codes themselves takes no longer than a search of a layout.
constexpr std::size_t least_rows_of_layouts = 2048;
// Building planes costs about as much as a dozen queries without them.
constexpr std::size_t queries_worth_layouts = 16;
// Where a mask lets fewer than one row of so many through, those rows are copied and searched alone.
constexpr std::size_t sparse_mask = 16;

std::size_t count_rows(RowMask mask, std::size_t n) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < mask_bytes(n) / 8; ++i) {
        std::uint64_t word;
        std::memcpy(&word, mask + 8 * i, 8);
        count += static_cast<std::size_t>(std::popcount(word));
    }
    return count;
}

std::vector<std::uint32_t> rows_let_through(RowMask mask, std::size_t n) {
    std::vector<std::uint32_t> rows;
    for (std::size_t i = 0; i < n; ++i) {
        if (lets_through(mask, i)) rows.push_back(static_cast<std::uint32_t>(i));
    }
    return rows;
}

// Lets the groups through that have a row which the mask lets through.
std::vector<std::uint8_t> mask_of(const CodeGroups& groups, RowMask mask) {
    const std::size_t n = groups.distinct().n;
    std::vector<std::uint8_t> of_groups(mask_bytes(n));
    for (std::size_t g = 0; g < n; ++g) {
        const bool any = std::ranges::any_of(groups.rows(g), [mask](auto row) { return lets_through(mask, row); });
        of_groups[g / 8] = static_cast<std::uint8_t>(of_groups[g / 8] | any << (g % 8));
    }
    return of_groups;
}

// Hits among distinct codes as hits among the rows that have them. `hits` holds at least the k nearest distinct codes
// that have a row, with all ties, so that no wanted row is missing.
template <class Distance>
HitList<Distance> rows_of(const HitList<Distance>& hits, const CodeGroups& groups, const Wanted<Distance>& wanted,
                          RowMask mask) {
    HitList<Distance> rows;
    for (std::size_t h = 0; h < hits.size() && rows.size() < wanted.k;) {
        const Distance distance = hits[h].distance;
        const auto first = static_cast<std::ptrdiff_t>(rows.size());
        const std::size_t most = wanted.all_ties ? wanted.k : wanted.k - rows.size();
        std::size_t n_groups = 0;
        for (; h < hits.size() && hits[h].distance == distance; ++h, ++n_groups) {
            std::size_t taken = 0;
            for (const std::uint32_t row : groups.rows(hits[h].position)) {
                if (!lets_through(mask, row)) continue;
                if (!wanted.all_ties && taken++ == most) break;  // later ones of the group come too late in any case
                rows.push_back({distance, row});
            }
        }
        if (n_groups > 1) std::sort(rows.begin() + first, rows.end());
    }
    cut(rows, wanted);
    return rows;
}

}  // namespace

struct CodeSet::Grouping {
    std::unique_ptr<CodeGroups> groups;  // nullptr: not worth it
    std::unique_ptr<CodeSet> distinct;
};

CodeSet::CodeSet(CodeView codes, bool lean) : codes_(codes), lean_(lean) {
    if (codes.n > std::numeric_limits<std::uint32_t>::max()) {
        throw std::invalid_argument("a set of codes must hold fewer than 2^32, got " + std::to_string(codes.n));
    }
}

CodeSet::~CodeSet() = default;

// A set that is searched a second time is likely to be searched often.
bool CodeSet::worth_layouts(std::size_t n_queries) const {
    const bool again = n_calls_.fetch_add(1, std::memory_order_relaxed) > 0;
    return !lean_ && codes_.n >= least_rows_of_layouts && (again || n_queries >= queries_worth_layouts);
}

// The two metrics, as find() uses them: queries, layout and search.
struct CodeSet::Hamming {
    using Distance = std::uint32_t;
    const KernelTable& kernels;
    CodeView queries;
    std::size_t n_queries = queries.n;

    const BitPlanes* planes_of(const CodeSet& set, bool worth, std::size_t n_threads) const {
        if (!worth || set.codes_.n_bytes > BitPlanes::max_bytes) return set.bit_planes_.get();
        return set.bit_planes_.get_or([&] { return std::make_unique<BitPlanes>(set.codes_, n_threads); });
    }

    std::vector<HitList<Distance>> search(CodeView codes, const BitPlanes* planes, const Wanted<Distance>& wanted,
                                          RowMask mask, std::size_t n_threads) const {
        return hamming_search(kernels, queries, codes, planes, wanted, mask, n_threads);
    }
};

struct CodeSet::WeightedHamming {
    using Distance = double;
    const KernelTable& kernels;
    ProjectionView projections;
    std::size_t n_queries = projections.n;

    const NibblePlanes* planes_of(const CodeSet& set, bool worth, std::size_t n_threads) const {
        if (kernels.nibbles == nullptr || set.codes_.n_bytes > max_bytes_of_nibble_search) return nullptr;
        if (!worth) return set.nibble_planes_.get();
        return set.nibble_planes_.get_or([&] { return std::make_unique<NibblePlanes>(set.codes_, n_threads); });
    }

    std::vector<HitList<Distance>> search(CodeView codes, const NibblePlanes* planes, const Wanted<Distance>& wanted,
                                          RowMask mask, std::size_t n_threads) const {
        return weighted_search(kernels, projections, codes, planes, wanted, mask, n_threads);
    }
};

template <class Metric>
auto CodeSet::find(const Metric& metric, const Wanted<typename Metric::Distance>& wanted, RowMask mask,
                   std::size_t n_threads) const -> std::vector<HitList<typename Metric::Distance>> {
    if (mask != nullptr && count_rows(mask, codes_.n) * sparse_mask < codes_.n) {
        return find_among(rows_let_through(mask, codes_.n), metric, wanted, n_threads);
    }
    const bool worth = worth_layouts(metric.n_queries);
    const Grouping* grouping = grouping_.get();
    if (worth) {
        grouping = grouping_.get_or([this] {
            auto made = std::make_unique<Grouping>();
            made->groups = CodeGroups::of(codes_);
            if (made->groups) made->distinct = std::make_unique<CodeSet>(made->groups->distinct());
            return made;
        });
    }
    if (grouping == nullptr || !grouping->groups) {
        return metric.search(codes_, metric.planes_of(*this, worth, n_threads), wanted, mask, n_threads);
    }
    const CodeGroups& groups = *grouping->groups;
    const std::vector<std::uint8_t> group_mask = mask == nullptr ? std::vector<std::uint8_t>{} : mask_of(groups, mask);
    auto ties = wanted;
    ties.all_ties = true;
    auto lists = grouping->distinct->find(metric, ties, mask == nullptr ? nullptr : group_mask.data(), n_threads);
    for (auto& list : lists) list = rows_of(list, groups, wanted, mask);
    return lists;
}

// The rows are copied: what is left of a sparse mask is small.
template <class Metric>
auto CodeSet::find_among(const std::vector<std::uint32_t>& rows, const Metric& metric,
                         const Wanted<typename Metric::Distance>& wanted, std::size_t n_threads) const
    -> std::vector<HitList<typename Metric::Distance>> {
    std::vector<std::uint8_t> codes(rows.size() * codes_.n_bytes);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::copy_n(codes_.row(rows[i]), codes_.n_bytes, codes.data() + i * codes_.n_bytes);
    }
    auto lists = CodeSet({codes.data(), rows.size(), codes_.n_bytes}).find(metric, wanted, nullptr, n_threads);
    for (auto& list : lists) {
        for (auto& hit : list) hit.position = rows[hit.position];
    }
    return lists;
}

HitLists<std::uint32_t> CodeSet::search(CodeView queries, const Wanted<std::uint32_t>& wanted, RowMask mask,
                                        std::size_t n_threads) const {
    return joined(find(Hamming{selected_kernels(), queries}, wanted, mask, n_threads));
}

HitLists<double> CodeSet::search_weighted(ProjectionView projections, const Wanted<double>& wanted, RowMask mask,
                                          std::size_t n_threads) const {
    return joined(find(WeightedHamming{selected_kernels(), projections}, wanted, mask, n_threads));
}

CodeSet::Stats CodeSet::stats() const {
    Stats stats{codes_.n, false, 0, 0, 0};
    const Grouping* grouping = grouping_.get();
    if (grouping != nullptr && grouping->groups) {
        stats = grouping->distinct->stats();
        stats.grouped = true;
        stats.group_bytes += grouping->groups->size();
    }
    if (const BitPlanes* planes = bit_planes_.get()) stats.bit_plane_bytes += planes->size();
    if (const NibblePlanes* planes = nibble_planes_.get()) stats.nibble_plane_bytes += planes->size();
    return stats;
}

}  // namespace pyhash
