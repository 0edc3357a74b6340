// Keep the nearest of a stream of distances whose positions ascend. A code at the k-th distance that comes after k
// others is too late, unless all ties are wanted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/hits.hpp"

namespace pyhash {

// For distances in bits: counts by distance say at any moment what the k-th distance is.
class CountedSelection {
public:
    CountedSelection(const Wanted<std::uint32_t>& wanted, std::size_t n_bits)
        : wanted_(wanted), counts_(std::min<std::size_t>(wanted.radius, n_bits) + 2) {
        start_within(counts_.size() - 2);
        hits_.reserve(std::min<std::size_t>(wanted.k, 256) + 64);  // most searches take no more
    }

    // Before the first hit: none beyond this distance can be wanted.
    void start_within(std::size_t distance) {
        kth_ = std::min(distance, counts_.size() - 2) + (wanted_.all_ties ? 0 : 1);
    }

    // Distances below it are still wanted.
    std::size_t bound() const { return wanted_.all_ties ? kth_ + 1 : kth_; }

    // Codes whose distances are all below the bound, by their positions from `first` on: one test for all of them.
    void take(const std::uint32_t* distances, const std::uint32_t* positions, std::size_t n, std::size_t first) {
        const std::size_t n_before = hits_.size();
        hits_.resize(n_before + n);
        for (std::size_t i = 0; i < n; ++i) {
            hits_[n_before + i] = {distances[i], static_cast<std::uint32_t>(first + positions[i])};
            ++counts_[distances[i]];
        }
        n_within_ += n;
        // While k are nearer than it, kth_ is not the k-th distance.
        while (n_within_ - counts_[kth_] >= wanted_.k) n_within_ -= counts_[kth_--];
        if (hits_.size() / 4 >= wanted_.k && hits_.size() >= 2 * n_within_ + 1024) drop_far();
    }

    // Hits stand by position: a stable count by distance puts them in order.
    HitList<std::uint32_t> finish() {
        HitList<std::uint32_t> sorted(n_within_);
        std::size_t rank = 0;
        for (std::size_t d = 0; d <= kth_; ++d) rank += std::exchange(counts_[d], rank);
        for (const auto& hit : hits_) {
            if (hit.distance <= kth_) sorted[counts_[hit.distance]++] = hit;
        }
        cut(sorted, wanted_);
        return sorted;
    }

private:
    void drop_far() {
        std::erase_if(hits_, [this](const auto& hit) { return hit.distance > kth_; });
    }

    Wanted<std::uint32_t> wanted_;
    std::vector<std::size_t> counts_;  // of hits at each distance
    HitList<std::uint32_t> hits_;
    std::size_t kth_ = 0, n_within_ = 0;  // the k-th distance so far, or what is beyond; hits within it
};

// For real distances.
class SortedSelection {
public:
    explicit SortedSelection(const Wanted<double>& wanted) : wanted_(wanted), bound_(wanted.radius) {}

    // Before the first hit: none beyond this distance can be wanted.
    void start_within(double distance) { bound_ = std::min(bound_, distance); }

    double bound() const { return bound_; }
    bool full() const { return full_; }  // k hits lie within the bound
    bool wants(double distance) const { return full_ && !wanted_.all_ties ? distance < bound_ : distance <= bound_; }

    // k codes at distance 0: nothing is nearer.
    bool done() const { return bound_ == 0 && full_ && !wanted_.all_ties; }

    // The k nearest are a heap, the farthest first. With all ties, what is farther goes when as many again have come.
    void take(double distance, std::uint32_t position) {
        if (!wants(distance)) return;
        if (full_ && !wanted_.all_ties) {
            std::pop_heap(hits_.begin(), hits_.end());
            hits_.back() = {distance, position};
            std::push_heap(hits_.begin(), hits_.end());
            bound_ = hits_.front().distance;
            return;
        }
        hits_.push_back({distance, position});
        if (hits_.size() < limit_) return;
        full_ = true;
        if (wanted_.all_ties) {
            drop_far();
        } else {
            std::make_heap(hits_.begin(), hits_.end());
            bound_ = hits_.front().distance;
        }
    }

    HitList<double> finish() {
        std::sort(hits_.begin(), hits_.end());
        cut(hits_, wanted_);
        return std::move(hits_);
    }

private:
    void drop_far() {
        const auto kth = hits_.begin() + static_cast<std::ptrdiff_t>(wanted_.k - 1);
        std::nth_element(hits_.begin(), kth, hits_.end());
        bound_ = kth->distance;
        std::erase_if(hits_, [this](const auto& hit) { return hit.distance > bound_; });
        limit_ = 2 * hits_.size();
    }

    Wanted<double> wanted_;
    double bound_;
    bool full_ = false;
    std::size_t limit_ = wanted_.k;  // hits at which something is done about them
    HitList<double> hits_;
};

}  // namespace pyhash
