#include "core/code_set.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <tuple>

#include "core/cpu_level.hpp"
#include "core/hamming_search.hpp"
#include "core/multi_index_search.hpp"
#include "core/weighted_multi_index.hpp"
#include "core/weighted_search.hpp"

namespace pyhash {
namespace {

// In smaller sets a scan of the codes themselves takes no longer than a search of a layout.
constexpr std::size_t least_rows_of_layouts = 2048;
// Building planes costs about as much as a dozen queries without them.
constexpr std::size_t queries_worth_layouts = 16;
// Where a mask lets fewer than one row of so many through, those rows are copied and searched alone.
constexpr double sparse_mask = 16;
// The cost of that in ns: of passing a row over, and of copying one.
constexpr double ns_per_masked_row = 0.05, ns_per_copied_row = 10;

std::uint64_t word_of(RowMask mask, std::size_t i) {
    std::uint64_t word;
    std::memcpy(&word, mask + 8 * i, 8);
    return word;
}

// From a sample, evenly spaced, of at most so many words: a count of all takes longer than a search through tables.
double share_of(RowMask mask, std::size_t n) {
    constexpr std::size_t most_words = 2048;
    const std::size_t n_words = (n + 63) / 64, step = std::max<std::size_t>(n_words / most_words, 1);
    std::size_t count = 0, n_seen = 0;
    for (std::size_t i = 0; i < n_words; i += step) {
        count += static_cast<std::size_t>(std::popcount(word_of(mask, i)));
        n_seen += std::min<std::size_t>(n - 64 * i, 64);
    }
    return n_seen == 0 ? 1.0 : static_cast<double>(count) / static_cast<double>(n_seen);
}

std::vector<std::uint32_t> rows_let_through(RowMask mask, std::size_t n) {
    std::vector<std::uint32_t> rows;
    for (std::size_t i = 0; 64 * i < n; ++i) {
        for (std::uint64_t word = word_of(mask, i); word != 0; word &= word - 1) {
            const std::size_t row = 64 * i + static_cast<std::size_t>(std::countr_zero(word));
            if (row < n) rows.push_back(static_cast<std::uint32_t>(row));
        }
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

CodeSet::CodeSet(CodeView codes, bool lean, Layout layout, double bytes_per_code)
    : codes_(codes), lean_(lean), choice_(codes, lean, layout, bytes_per_code) {
    if (codes.n > std::numeric_limits<std::uint32_t>::max()) {
        throw std::invalid_argument("a set of codes must hold fewer than 2^32, got " + std::to_string(codes.n));
    }
}

CodeSet::~CodeSet() = default;

// A set that is searched a second time is likely to be searched often.
bool CodeSet::worth_layouts(std::atomic<std::size_t>& n_calls, std::size_t n_queries) const {
    const bool again = n_calls.fetch_add(1, std::memory_order_relaxed) > 0;
    return !lean_ && codes_.n >= least_rows_of_layouts && (again || n_queries >= queries_worth_layouts);
}

// The two metrics, as find() uses them: queries, layouts and searches.
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

    SearchSize size(CodeView codes, bool lean, const Wanted<Distance>& wanted) const {
        SearchSize size;
        size.n_queries = n_queries;
        size.radius = wanted.radius;
        size.scan = scan_cost(codes, !lean && codes.n_bytes <= BitPlanes::max_bytes, n_queries);
        return size;
    }

    // Of a query, where a share of the rows is copied for all of them.
    double sparse_scan_cost(CodeView codes, double share) const {
        const auto n = static_cast<double>(codes.n);
        const CodeView copies{nullptr, static_cast<std::size_t>(share * n), codes.n_bytes};
        return (ns_per_masked_row * n + ns_per_copied_row * share * n) / static_cast<double>(n_queries) +
               scan_cost(copies, n_queries >= queries_worth_layouts, n_queries);
    }

    MultiIndexHits search_tables(std::size_t first, std::size_t n, CodeView codes, const SubstringTables& tables,
                                 const Wanted<Distance>& wanted, RowMask mask, std::size_t n_threads,
                                 double most_cost) const {
        return multi_index_search(kernels, {queries.row(first), n, queries.n_bytes}, codes, tables, wanted, mask,
                                  n_threads, most_cost);
    }

    // Calls use() with some of the queries.
    template <class Use>
    auto with(const std::vector<std::size_t>& chosen, Use use) const {
        std::vector<std::uint8_t> copies(chosen.size() * queries.n_bytes);
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            std::copy_n(queries.row(chosen[i]), queries.n_bytes, copies.data() + i * queries.n_bytes);
        }
        return use(Hamming{kernels, {copies.data(), chosen.size(), queries.n_bytes}});
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

    // Buckets that cost as little as the query's own differ from it in the bits of the least weights, so that more are
    // read than in a Hamming search, and a distance takes longer.
    static constexpr double times_hamming = 8;

    double scan_cost_of(CodeView codes, bool layouts) const {
        const bool planes = layouts && kernels.nibbles != nullptr && codes.n_bytes <= max_bytes_of_nibble_search;
        return weighted_scan_cost(codes, planes, n_queries);
    }

    SearchSize size(CodeView codes, bool lean, const Wanted<Distance>&) const {
        SearchSize size;
        size.n_queries = n_queries;
        size.scan = scan_cost_of(codes, !lean);
        size.weighted = true;
        size.table_factor = times_hamming;
        return size;
    }

    double sparse_scan_cost(CodeView codes, double share) const {
        const auto n = static_cast<double>(codes.n);
        const CodeView copies{nullptr, static_cast<std::size_t>(share * n), codes.n_bytes};
        return (ns_per_masked_row * n + ns_per_copied_row * share * n) / static_cast<double>(n_queries) +
               scan_cost_of(copies, n_queries >= queries_worth_layouts);
    }

    WeightedMultiIndexHits search_tables(std::size_t first, std::size_t n, CodeView codes,
                                         const SubstringTables& tables, const Wanted<Distance>& wanted, RowMask mask,
                                         std::size_t n_threads, double most_cost) const {
        const ProjectionView some{projections.data + first * projections.n_bits, n, projections.n_bits};
        return weighted_multi_index_search(kernels, some, codes, tables, wanted, mask, n_threads, most_cost);
    }

    // Calls use() with some of the queries.
    template <class Use>
    auto with(const std::vector<std::size_t>& chosen, Use use) const {
        std::vector<double> copies(chosen.size() * projections.n_bits);
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            std::ranges::copy(projections.row(chosen[i]),
                              copies.begin() + static_cast<std::ptrdiff_t>(i * projections.n_bits));
        }
        return use(WeightedHamming{kernels, {copies.data(), chosen.size(), projections.n_bits}});
    }
};

template <class Metric>
auto CodeSet::find(const Metric& metric, const Wanted<typename Metric::Distance>& wanted, RowMask mask,
                   std::size_t n_threads) const -> std::vector<HitList<typename Metric::Distance>> {
    const double share = mask == nullptr ? 1.0 : share_of(mask, codes_.n);
    const bool sparse = share * sparse_mask < 1.0;
    const Grouping* grouping = sparse ? grouping_.get() : grouping_for(metric.n_queries);
    if (!sparse && grouping != nullptr && grouping->groups) {
        return find_in_groups(*grouping, metric, wanted, mask, n_threads);
    }
    if (grouping == nullptr || !grouping->groups) {
        SearchSize size = metric.size(codes_, lean_, wanted);
        size.n_threads = n_threads;
        const bool limited = wanted.k != Wanted<typename Metric::Distance>{}.k;
        size.rank = limited ? static_cast<double>(wanted.k) / share : std::numeric_limits<double>::infinity();
        if (sparse) size.scan = metric.sparse_scan_cost(codes_, share);
        if (const SubstringTables* tables = tables_for(size)) {
            return find_through_tables(*tables, size, sparse, metric, wanted, mask);
        }
    }
    return scan(sparse, metric, wanted, mask, n_threads);
}

template <class Metric>
auto CodeSet::scan(bool sparse, const Metric& metric, const Wanted<typename Metric::Distance>& wanted, RowMask mask,
                   std::size_t n_threads) const -> std::vector<HitList<typename Metric::Distance>> {
    if (sparse) return find_among(rows_let_through(mask, codes_.n), metric, wanted, n_threads);
    const bool worth = worth_layouts(n_scans_, metric.n_queries);
    return metric.search(codes_, metric.planes_of(*this, worth, n_threads), wanted, mask, n_threads);
}

template <class Metric>
auto CodeSet::find_in_groups(const Grouping& grouping, const Metric& metric,
                             const Wanted<typename Metric::Distance>& wanted, RowMask mask, std::size_t n_threads) const
    -> std::vector<HitList<typename Metric::Distance>> {
    const CodeGroups& groups = *grouping.groups;
    const std::vector<std::uint8_t> group_mask = mask == nullptr ? std::vector<std::uint8_t>{} : mask_of(groups, mask);
    auto ties = wanted;
    ties.all_ties = true;
    auto lists = grouping.distinct->find(metric, ties, mask == nullptr ? nullptr : group_mask.data(), n_threads);
    for (auto& list : lists) list = rows_of(list, groups, wanted, mask);
    return lists;
}

// Queries that the tables do not help are scanned together at the end.
template <class Metric>
auto CodeSet::find_through_tables(const SubstringTables& tables, const SearchSize& size, bool sparse,
                                  const Metric& metric, const Wanted<typename Metric::Distance>& wanted,
                                  RowMask mask) const -> std::vector<HitList<typename Metric::Distance>> {
    const std::size_t n_queries = metric.n_queries;
    std::vector<HitList<typename Metric::Distance>> lists(n_queries);
    std::vector<std::size_t> left;
    std::size_t first = 0;
    while (first < n_queries) {
        const std::size_t n = std::min(choice_.n_to_try(size), n_queries - first);
        if (n == 0) break;
        auto found =
            metric.search_tables(first, n, codes_, tables, wanted, mask, size.n_threads, choice_.most_cost(size));
        const std::size_t n_hits = std::transform_reduce(found.lists.begin(), found.lists.end(), std::size_t{0},
                                                         std::plus<>{}, [](const auto& list) { return list.size(); });
        choice_.learn(size, n, found.given_up.size(), n_hits, found.cost);
        std::ranges::move(found.lists, lists.begin() + static_cast<std::ptrdiff_t>(first));
        for (const std::size_t query : found.given_up) left.push_back(first + query);
        first += n;
    }
    for (; first < n_queries; ++first) left.push_back(first);
    if (left.size() == n_queries) return scan(sparse, metric, wanted, mask, size.n_threads);
    if (left.empty()) return lists;
    auto scanned =
        metric.with(left, [&](const Metric& rest) { return scan(sparse, rest, wanted, mask, size.n_threads); });
    for (std::size_t i = 0; i < left.size(); ++i) lists[left[i]] = std::move(scanned[i]);
    return lists;
}

// Equal codes are grouped once, where they repeat. Tables are of the codes as they are: where they came with them, or
// are to be kept with them, there are no groups.
const CodeSet::Grouping* CodeSet::grouping_for(std::size_t n_queries) const {
    if (choice_.layout() == Layout::multi_index || tables_.get() != nullptr) return grouping_.get();
    return worth_layouts(n_calls_, n_queries) ? grouping() : grouping_.get();
}

const CodeSet::Grouping* CodeSet::grouping() const {
    return grouping_.get_or([this] {
        auto made = std::make_unique<Grouping>();
        made->groups = CodeGroups::of(codes_);
        if (made->groups) {
            made->distinct =
                std::make_unique<CodeSet>(made->groups->distinct(), false, choice_.layout(), choice_.bytes_per_code());
        }
        return made;
    });
}

// One thread builds; others search on without tables meanwhile. A process forked at that moment never builds them.
const SubstringTables* CodeSet::tables_for(const SearchSize& size) const {
    if (const SubstringTables* tables = tables_.get()) return tables;
    try {
        if (!choice_.worth_building(size) || building_tables_.exchange(true)) return tables_.get();
        build_own_tables(size.n_threads);
    } catch (const std::bad_alloc&) {
        choice_.give_up_tables();
    } catch (...) {
        building_tables_.store(false);
        throw;
    }
    building_tables_.store(false);
    return tables_.get();
}

const SubstringTables* CodeSet::build_own_tables(std::size_t n_threads) const {
    if (const SubstringTables* tables = tables_.get()) return tables;
    const auto form = choice_.form();
    if (!form) return nullptr;
    return tables_.get_or([&] { return std::make_unique<SubstringTables>(codes_, *form, n_threads); });
}

void CodeSet::build_tables(std::size_t n_threads) const {
    if (choice_.layout() == Layout::scan) throw std::invalid_argument("the layout is scan, which has no tables");
    const bool grouped = choice_.layout() == Layout::automatic && !lean_ && codes_.n >= least_rows_of_layouts &&
                         tables_.get() == nullptr && grouping()->groups;
    (grouped ? grouping_.get()->distinct.get() : this)->build_own_tables(n_threads);
}

void CodeSet::use_tables(TableForm form, std::span<const std::uint8_t> bytes) {
    if (choice_.layout() == Layout::scan) throw std::invalid_argument("the layout is scan, which has no tables");
    if (tables_.get() != nullptr) throw std::invalid_argument("the codes have tables already");
    tables_.get_or([&] { return std::make_unique<SubstringTables>(codes_, form, bytes); });
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
    const CodeSet copied({codes.data(), rows.size(), codes_.n_bytes}, false, Layout::scan);
    auto lists = copied.find(metric, wanted, nullptr, n_threads);
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
    Stats stats{};
    const Grouping* grouping = grouping_.get();
    if (grouping != nullptr && grouping->groups) {
        stats = grouping->distinct->stats();
        stats.grouped = true;
        stats.group_bytes += grouping->groups->size();
    } else {
        stats.n_distinct = codes_.n;
        const SubstringTables* tables = tables_.get();
        if (tables != nullptr) {
            stats.table_bytes = tables->bytes().size();
            stats.n_tables = tables->n_tables();
        }
        const SearchSize usual{.scan = scan_cost(codes_, !lean_, 1)};
        std::tie(stats.multi_index, stats.reason) = choice_.explain(usual, tables);
    }
    if (const BitPlanes* planes = bit_planes_.get()) stats.bit_plane_bytes += planes->size();
    if (const NibblePlanes* planes = nibble_planes_.get()) stats.nibble_plane_bytes += planes->size();
    return stats;
}

}  // namespace pyhash
