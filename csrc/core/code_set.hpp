// An immutable set of codes, with the layouts that make searching it fast.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/bit_planes.hpp"
#include "core/code_groups.hpp"
#include "core/code_view.hpp"
#include "core/hits.hpp"
#include "core/layout_choice.hpp"
#include "core/nibble_planes.hpp"
#include "core/once_built.hpp"
#include "core/projection_view.hpp"
#include "core/search_plan.hpp"
#include "core/substring_tables.hpp"

namespace pyhash {

// Searches are exact, ties go by ascending position, and neither threads, CPU level nor layouts change a result. Any
// number of threads may search at the same time. Layouts are built once there are enough searches to pay for them, and
// kept.
class CodeSet {
public:
    static constexpr double usual_bytes_per_code = 64;

    // The codes are not copied. At most 2^32 - 1 of them. With `lean`, searches make no layout. Tables are built where
    // they pay (automatic), at the first search (multi_index) or never (scan), and take at most so many bytes a code.
    // With multi_index equal codes are not grouped, so that tables are always of the codes as they were given.
    explicit CodeSet(CodeView codes, bool lean = false, Layout layout = Layout::automatic,
                     double bytes_per_code = usual_bytes_per_code);
    ~CodeSet();

    const CodeView& codes() const { return codes_; }

    HitLists<std::uint32_t> search(CodeView queries, const Wanted<std::uint32_t>& wanted, RowMask mask,
                                   std::size_t n_threads) const;

    // Projections of as many bits as the codes have, up to the last byte's padding.
    HitLists<double> search_weighted(ProjectionView projections, const Wanted<double>& wanted, RowMask mask,
                                     std::size_t n_threads) const;

    // Builds tables now, also where the set is lean; nothing where the budget is too small, or they are there already.
    // std::invalid_argument where the layout is scan.
    void build_tables(std::size_t n_threads) const;

    // The tables of the codes as they were given, or nullptr.
    const SubstringTables* tables() const { return tables_.get(); }

    // Tables that were built before for these codes, as bytes that outlive the set; before any search. They are not
    // copied, and not trusted (see SubstringTables). std::invalid_argument where there are tables, or the layout is
    // scan.
    void use_tables(TableForm form, std::span<const std::uint8_t> bytes);

    struct Stats {
        std::size_t n_distinct;  // codes that a search scans: all, where equal ones are not grouped
        bool grouped;
        std::size_t bit_plane_bytes, nibble_plane_bytes, group_bytes, table_bytes;
        std::size_t n_tables;
        bool multi_index;    // whether a search for the 10 nearest of one query would use the tables
        std::string reason;  // for that, one sentence
    };
    Stats stats() const;

private:
    struct Grouping;
    struct Hamming;
    struct WeightedHamming;

    bool worth_layouts(std::atomic<std::size_t>& n_calls, std::size_t n_queries) const;
    const Grouping* grouping_for(std::size_t n_queries) const;
    const Grouping* grouping() const;
    const SubstringTables* tables_for(const SearchSize& size) const;
    const SubstringTables* build_own_tables(std::size_t n_threads) const;
    template <class Metric>
    auto find(const Metric& metric, const Wanted<typename Metric::Distance>& wanted, RowMask mask,
              std::size_t n_threads) const -> std::vector<HitList<typename Metric::Distance>>;

    template <class Metric>
    auto find_in_groups(const Grouping& grouping, const Metric& metric, const Wanted<typename Metric::Distance>& wanted,
                        RowMask mask, std::size_t n_threads) const -> std::vector<HitList<typename Metric::Distance>>;

    template <class Metric>
    auto find_through_tables(const SubstringTables& tables, const SearchSize& size, bool sparse, const Metric& metric,
                             const Wanted<typename Metric::Distance>& wanted, RowMask mask) const
        -> std::vector<HitList<typename Metric::Distance>>;

    template <class Metric>
    auto scan(bool sparse, const Metric& metric, const Wanted<typename Metric::Distance>& wanted, RowMask mask,
              std::size_t n_threads) const -> std::vector<HitList<typename Metric::Distance>>;

    template <class Metric>
    auto find_among(const std::vector<std::uint32_t>& rows, const Metric& metric,
                    const Wanted<typename Metric::Distance>& wanted, std::size_t n_threads) const
        -> std::vector<HitList<typename Metric::Distance>>;

    CodeView codes_;
    bool lean_;
    LayoutChoice choice_;
    mutable std::atomic<std::size_t> n_calls_{0}, n_scans_{0};
    mutable std::atomic<bool> building_tables_{false};
    OnceBuilt<BitPlanes> bit_planes_;
    OnceBuilt<NibblePlanes> nibble_planes_;
    OnceBuilt<Grouping> grouping_;
    OnceBuilt<SubstringTables> tables_;
};

}  // namespace pyhash
