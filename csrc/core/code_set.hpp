// An immutable set of codes, with the layouts that make searching it fast.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/bit_planes.hpp"
#include "core/code_groups.hpp"
#include "core/code_view.hpp"
#include "core/hits.hpp"
#include "core/nibble_planes.hpp"
#include "core/once_built.hpp"
#include "core/projection_view.hpp"
#include "core/search_plan.hpp"

namespace pyhash {

// Searches are exact, ties go by ascending position, and neither threads nor CPU level change a result. Any number of
// threads may search at the same time. Layouts are built once there are enough searches to pay for them, and kept.
class CodeSet {
public:
    // The codes are not copied. With `lean`, no layout is ever made. At most 2^32 - 1 codes.
    explicit CodeSet(CodeView codes, bool lean = false);
    ~CodeSet();

    const CodeView& codes() const { return codes_; }

    HitLists<std::uint32_t> search(CodeView queries, const Wanted<std::uint32_t>& wanted, RowMask mask,
                                   std::size_t n_threads) const;

    // Projections of as many bits as the codes have, up to the last byte's padding.
    HitLists<double> search_weighted(ProjectionView projections, const Wanted<double>& wanted, RowMask mask,
                                     std::size_t n_threads) const;

    struct Stats {
        std::size_t n_distinct;  // codes that a search scans: all, where equal ones are not grouped
        bool grouped;
        std::size_t bit_plane_bytes, nibble_plane_bytes, group_bytes;
    };
    Stats stats() const;

private:
    struct Grouping;
    struct Hamming;
    struct WeightedHamming;

    bool worth_layouts(std::size_t n_queries) const;
    template <class Metric>
    auto find(const Metric& metric, const Wanted<typename Metric::Distance>& wanted, RowMask mask,
              std::size_t n_threads) const -> std::vector<HitList<typename Metric::Distance>>;

    template <class Metric>
    auto find_among(const std::vector<std::uint32_t>& rows, const Metric& metric,
                    const Wanted<typename Metric::Distance>& wanted, std::size_t n_threads) const
        -> std::vector<HitList<typename Metric::Distance>>;

    CodeView codes_;
    bool lean_;
    mutable std::atomic<std::size_t> n_calls_{0};
    OnceBuilt<BitPlanes> bit_planes_;
    OnceBuilt<NibblePlanes> nibble_planes_;
    OnceBuilt<Grouping> grouping_;
};

}  // namespace pyhash
