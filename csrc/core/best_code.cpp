#include "core/best_code.hpp"

#include <algorithm>

namespace pyhash {
namespace {

constexpr float least_gain = 1e-6f;  // of average precision
constexpr std::size_t most_flips = 2;

}  // namespace

BestCode::BestCode(const PreparedCodes& database, const KernelTable& kernels)
    : database_(database),
      kernels_(kernels),
      n_sets_(database.n_sets()),
      n_bits_(database.n_bits()),
      distances_(n_sets_),
      level_starts_(n_bits_ + 2),
      equal_(n_sets_ * database.n_words()),
      rows_(n_bits_ + 1),
      rows_within_(n_bits_ + 1),
      relevant_rows_(n_bits_ + 1),
      depths_(n_sets_),
      counts_(n_sets_),
      sorted_relevant_(n_sets_),
      positions_(n_sets_),
      scratch_((n_bits_ + 3) * bayes_lanes),
      flips_((n_bits_ + bayes_lanes - 1) / bayes_lanes * bayes_lanes) {}

void BestCode::rank_by(const std::vector<Likely>& likely) {
    likely_ = &likely;
    relevant_ = nullptr;
    least_gain_ = least_gain;
    likely_sets_.clear();
    for (const Likely& one : likely) {
        const float count = database_.counts()[one.set];
        likely_sets_.push_back({.position = 0,
                                .distance = 0,
                                .probability = one.probability,
                                .count = count,
                                .factor = 1.0f + 1.0f / count});
    }
}

void BestCode::rank_by(const float* relevant) {
    likely_ = nullptr;
    relevant_ = relevant;
    double total = 0.0;
    for (std::size_t c = 0; c < n_sets_; ++c) total += static_cast<double>(relevant[c]);
    least_gain_ = least_gain * static_cast<float>(total);  // its measure is a sum over all relevant rows
}

// The expected average precision of a code; leaves the distances of the sets from it, and the rows by distance.
float BestCode::measure(const Code& code) {
    kernels_.hamming(reinterpret_cast<const std::uint8_t*>(code.data()),
                     reinterpret_cast<const std::uint8_t*>(database_.signs()), n_sets_, 4 * database_.n_words(),
                     distances_.data());
    std::ranges::fill(rows_, 0.0f);
    for (std::size_t c = 0; c < n_sets_; ++c) rows_[distances_[c]] += database_.counts()[c];
    float within = 0.0f;
    for (std::size_t d = 0; d <= n_bits_; ++d) rows_within_[d] = within += rows_[d];

    if (likely_ == nullptr) {
        std::ranges::fill(relevant_rows_, 0.0f);
        for (std::size_t c = 0; c < n_sets_; ++c) relevant_rows_[distances_[c]] += relevant_[c];
        return kernels_.bayes->graded_precision(rows_.data(), relevant_rows_.data(), n_bits_ + 1);
    }
    for (std::size_t i = 0; i < likely_sets_.size(); ++i) {
        const std::size_t d = distances_[(*likely_)[i].set];
        const float nearer = d == 0 ? 0.0f : rows_within_[d - 1];
        depths_[i] = 1.0f / (((nearer + nearer) + rows_[d]) + 1.0f);
    }
    return kernels_.bayes->precision(likely_sets_.data(), depths_.data(), likely_sets_.size());
}

// After measure(code): the sets in the order of their distance, those at one distance in their own order.
void BestCode::sort_by_distance(const Code& code) {
    std::ranges::fill(level_starts_, 0);
    for (const std::uint32_t d : distances_) ++level_starts_[d + 1];
    for (std::size_t d = 0; d <= n_bits_; ++d) level_starts_[d + 1] += level_starts_[d];
    next_ = level_starts_;
    for (std::size_t c = 0; c < n_sets_; ++c) {
        const std::uint32_t position = next_[distances_[c]]++;
        positions_[c] = position;
        counts_[position] = database_.counts()[c];
        if (relevant_ != nullptr) sorted_relevant_[position] = relevant_[c];
        for (std::size_t w = 0; w < code.size(); ++w) {
            equal_[w * n_sets_ + position] = ~(code[w] ^ database_.signs(c)[w]);
        }
    }
}

// The same after each flip of a bit of the code that was sorted by.
const float* BestCode::measure_flips() {
    const RankingProblem problem{.n_sets = n_sets_,
                                 .n_bits = n_bits_,
                                 .equal = equal_.data(),
                                 .counts = counts_.data(),
                                 .level_starts = level_starts_.data(),
                                 .rows_within = rows_within_.data()};
    if (likely_ == nullptr) {
        kernels_.bayes->flip_graded_precisions(problem, sorted_relevant_.data(), flips_.data());
        return flips_.data();
    }
    for (std::size_t i = 0; i < likely_sets_.size(); ++i) {
        likely_sets_[i].position = positions_[(*likely_)[i].set];
        likely_sets_[i].distance = distances_[(*likely_)[i].set];
    }
    kernels_.bayes->flip_precisions(problem, likely_sets_.data(), likely_sets_.size(), scratch_.data(), flips_.data());
    return flips_.data();
}

BestCode::Code BestCode::find(std::initializer_list<Code> starts) {
    Code best = *starts.begin();
    float most = measure(best);
    bool is_measured = true;
    for (const Code& code : starts) {
        if (code == best) continue;
        const float precision = measure(code);
        is_measured = precision > most;
        if (!is_measured) continue;
        best = code;
        most = precision;
    }
    for (std::size_t flip = 0; flip < most_flips; ++flip) {
        if (!is_measured) measure(best);
        sort_by_distance(best);
        const float* flips = measure_flips();
        const float* top = std::max_element(flips, flips + n_bits_);
        if (!(*top > most + least_gain_)) break;
        const auto bit = static_cast<std::size_t>(top - flips);
        best[bit / 32] ^= std::uint32_t{1} << (bit % 32);
        most = *top;
        is_measured = false;
    }
    return best;
}

}  // namespace pyhash
