#include "core/bayes_codes.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/aligned_buffer.hpp"
#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

constexpr double kept_mass = 0.999;
constexpr std::size_t n_steps = 60;
constexpr float ridge = 0.01f;
constexpr double flattening = 0.3;      // exponent of the counts in the target
constexpr float least_weight = 0.001f;  // of the mean weight
constexpr float no_weight = 1e-6f;      // a mean weight that is rounding
constexpr float least_gain = 1e-6f;     // of average precision, for which a bit is flipped
constexpr std::size_t most_flips = 2;

std::size_t rounded_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// The signs of rows (n, n_values), four to a byte, as LogLinearProblem has them.
std::vector<std::uint8_t> nibbles_of(const float* rows, std::size_t n, std::size_t n_values) {
    const std::size_t n_nibbles = (n_values + 3) / 4;
    std::vector<std::uint8_t> nibbles(n * n_nibbles, 0);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t l = 0; l < n_values; ++l) {
            if (rows[i * n_values + l] > 0) nibbles[i * n_nibbles + l / 4] |= static_cast<std::uint8_t>(16u << (l % 4));
        }
    }
    return nibbles;
}

// What all queries share: the sets that have rows, in the forms that the kernels read.
class Database {
public:
    Database(const LabelledCodes& given) : n_bits_(given.n_bits) {
        for (std::size_t c = 0; c < given.counts.size(); ++c) {
            if (given.counts[c] > 0) places_.push_back(c);
        }
        if (places_.empty()) throw std::invalid_argument("counts must be above 0 for a label set");
        const std::size_t n = places_.size();
        codes_.resize(n * n_bits_);
        columns_.resize(n * n_bits_);
        bool only_signs = true;
        for (std::size_t c = 0; c < n; ++c) {
            for (std::size_t l = 0; l < n_bits_; ++l) {
                const float value = given.mean_codes[places_[c] * n_bits_ + l];
                codes_[c * n_bits_ + l] = columns_[l * n + c] = value;
                only_signs &= std::abs(value) == 1.0f;
            }
        }
        make_words();
        for (const std::size_t c : places_) {
            counts_.push_back(static_cast<float>(given.counts[c]));
            flattened_.push_back(static_cast<float>(std::pow(given.counts[c], -flattening)));
        }
        if (only_signs) {
            code_signs_ = nibbles_of(codes_.data(), n, n_bits_);
            column_signs_ = nibbles_of(columns_.data(), n_bits_, n);
        }
        if (given.sets.data != nullptr) take_labels(given.sets);
        log_linear_ = {.n_codes = n,
                       .n_bits = n_bits_,
                       .codes = only_signs ? nullptr : codes_.data(),
                       .columns = only_signs ? nullptr : columns_.data(),
                       .code_signs = code_signs_.data(),
                       .column_signs = column_signs_.data(),
                       .step = 1.0f / (0.75f * static_cast<float>(n_bits_) + ridge),
                       .ridge = ridge,
                       .n_steps = n_steps};
    }

    std::size_t n_bits() const { return n_bits_; }
    std::size_t n_words() const { return (n_bits_ + 31) / 32; }
    std::size_t n_sets() const { return places_.size(); }
    const std::vector<std::size_t>& places() const { return places_; }
    const std::vector<float>& counts() const { return counts_; }
    const std::vector<float>& flattened() const { return flattened_; }
    const std::uint32_t* signs() const { return signs_.data(); }
    const LogLinearProblem& log_linear() const { return log_linear_; }
    bool has_labels() const { return !label_offsets_.empty(); }

    // Bits of the sets that have a label in common with a set, padded to whole rows of lanes.
    std::size_t mask_words() const { return rounded_up(n_sets(), 32) / 32; }
    void mark_similar(std::size_t set, std::vector<std::uint32_t>& mask) const {
        std::fill(mask.begin(), mask.end(), 0);
        for (std::size_t i = label_offsets_[set]; i < label_offsets_[set + 1]; ++i) {
            const std::uint32_t* column = sets_with_.data() + labels_[i] * mask_words();
            for (std::size_t w = 0; w < mask_words(); ++w) mask[w] |= column[w];
        }
    }

private:
    void make_words() {
        signs_.assign(n_sets() * n_words(), 0);
        for (std::size_t c = 0; c < n_sets(); ++c) {
            for (std::size_t l = 0; l < n_bits_; ++l) {
                if (codes_[c * n_bits_ + l] > 0) signs_[c * n_words() + l / 32] |= std::uint32_t{1} << (l % 32);
            }
        }
    }

    void take_labels(CodeView sets) {
        sets_with_.assign(8 * sets.n_bytes * mask_words(), 0);
        label_offsets_.push_back(0);
        for (std::size_t c = 0; c < n_sets(); ++c) {
            for (std::size_t label = 0; label < 8 * sets.n_bytes; ++label) {
                if (((sets.row(places_[c])[label / 8] >> (label % 8)) & 1) == 0) continue;
                labels_.push_back(label);
                sets_with_[label * mask_words() + c / 32] |= std::uint32_t{1} << (c % 32);
            }
            label_offsets_.push_back(labels_.size());
        }
    }

    std::size_t n_bits_;
    std::vector<std::size_t> places_;  // of the sets that have rows, among all
    std::vector<float> codes_, columns_, counts_, flattened_;
    std::vector<std::uint8_t> code_signs_, column_signs_;
    std::vector<std::uint32_t> signs_;
    std::vector<std::size_t> labels_, label_offsets_;  // those of set c: labels_[label_offsets_[c]] and on
    std::vector<std::uint32_t> sets_with_;             // (n_labels, mask_words): the sets that have a label
    LogLinearProblem log_linear_{};
};

// Works on bayes_lanes queries at a time; a thread has one of its own.
class Worker {
public:
    Worker(const Database& database, const KernelTable& kernels)
        : database_(database),
          kernels_(kernels),
          n_sets_(database.n_sets()),
          n_bits_(database.n_bits()),
          stride_(rounded_up(n_bits_, bayes_lanes)),
          posteriors_(n_sets_ * bayes_lanes),
          targets_(n_sets_ * bayes_lanes),
          expected_(n_bits_ * bayes_lanes),
          weights_(n_bits_ * bayes_lanes),
          target_(n_bits_ * bayes_lanes),
          scratch_(std::max(database.log_linear().scratch(), 2 * (n_bits_ + 4) * stride_)),
          gains_(stride_),
          relevances_(32 * database.mask_words()),
          mask_(database.mask_words()),
          likely_(bayes_lanes),
          relevant_(database.has_labels() ? bayes_lanes * n_sets_ : 0),
          relevant_rows_(bayes_lanes),
          distances_(n_sets_),
          depths_(n_sets_),
          rows_(n_bits_ + 1),
          relevant_at_(n_bits_ + 1),
          within_(n_bits_ + 1) {}

    // Queries [begin, begin + n), n <= bayes_lanes.
    void run(const float* posterior, std::size_t n_given, std::size_t begin, std::size_t n, float* out) {
        std::array<double, bayes_lanes> totals{};
        for (std::size_t lane = 0; lane < bayes_lanes; ++lane) {
            if (lane < n) {
                totals[lane] = take(posterior + (begin + lane) * n_given, begin + lane, lane);
            } else {  // lanes without a query repeat the first
                totals[lane] = totals[0];
                for (std::size_t c = 0; c < n_sets_; ++c) {
                    posteriors_[c * bayes_lanes + lane] = posteriors_[c * bayes_lanes];
                    targets_[c * bayes_lanes + lane] = targets_[c * bayes_lanes];
                }
            }
        }
        const LogLinearProblem& problem = database_.log_linear();
        const BayesKernels& bayes = *kernels_.bayes;
        bayes.code_sums(problem, posteriors_.data(), scratch_.data(), expected_.data());
        bayes.code_sums(problem, targets_.data(), scratch_.data(), target_.data());
        for (std::size_t i = 0; i < n_bits_ * bayes_lanes; ++i) {
            target_[i] = static_cast<float>(static_cast<double>(target_[i]) / totals[i % bayes_lanes]);
        }
        bayes.log_linear(problem, target_.data(), scratch_.data(), weights_.data());
        for (std::size_t lane = 0; lane < n; ++lane) write(lane, out + (begin + lane) * n_bits_);
    }

private:
    // Reads the posterior of a query; returns the sum of its target.
    double take(const float* posterior, std::size_t query, std::size_t lane) {
        double total = 0.0;
        for (const std::size_t place : database_.places()) {
            const float p = posterior[place];
            if (!(p >= 0.0f && p <= std::numeric_limits<float>::max())) {
                throw std::invalid_argument("posterior must be finite and not negative, row " + std::to_string(query) +
                                            " holds " + std::to_string(p));
            }
            total += static_cast<double>(p);
        }
        if (total == 0.0) {
            throw std::invalid_argument("posterior must be above 0 for a set that has rows, row " +
                                        std::to_string(query) + " is 0 for all");
        }
        for (std::size_t c = 0; c < n_sets_; ++c) {
            posteriors_[c * bayes_lanes + lane] =
                static_cast<float>(static_cast<double>(posterior[database_.places()[c]]) / total);
        }
        keep_likely(lane);
        return database_.has_labels() ? take_relevances(lane) : take_flattened(lane);
    }

    // The likeliest sets that have 0.999 of the posterior.
    void keep_likely(std::size_t lane) {
        std::vector<LikelySet>& likely = likely_[lane];
        likely.clear();
        // All those below this have less than 0.001 together.
        const float least = static_cast<float>((1.0 - kept_mass) / static_cast<double>(n_sets_)) * 0.99f;
        for (std::size_t c = 0; c < n_sets_; ++c) {
            const float p = posteriors_[c * bayes_lanes + lane];
            const float count = database_.counts()[c];
            if (p >= least) likely.push_back({static_cast<std::uint32_t>(c), p, count, 1.0f + 1.0f / count});
        }
        std::sort(likely.begin(), likely.end(), [](const LikelySet& a, const LikelySet& b) {
            return a.probability != b.probability ? a.probability > b.probability : a.set < b.set;
        });
        double mass = 0.0;
        std::size_t n = 0;
        while (n < likely.size() && mass < kept_mass) mass += static_cast<double>(likely[n++].probability);
        likely.resize(n);
    }

    double take_flattened(std::size_t lane) {
        double total = 0.0;
        for (std::size_t c = 0; c < n_sets_; ++c) {
            const float target = posteriors_[c * bayes_lanes + lane] * database_.flattened()[c];
            targets_[c * bayes_lanes + lane] = target;
            total += static_cast<double>(target);
        }
        return total;
    }

    double take_relevances(std::size_t lane) {
        std::fill_n(relevances_.data(), 32 * mask_.size(), 0.0f);
        for (const LikelySet& likely : likely_[lane]) {
            database_.mark_similar(likely.set, mask_);
            kernels_.bayes->add_at(mask_.data(), 32 * mask_.size(), likely.probability, relevances_.data());
        }
        double total = 0.0, rows = 0.0;
        for (std::size_t c = 0; c < n_sets_; ++c) {
            const float relevant = database_.counts()[c] * relevances_[c];
            const float target = relevant * relevances_[c];
            relevant_[lane * n_sets_ + c] = relevant;
            targets_[c * bayes_lanes + lane] = target;
            total += static_cast<double>(target);
            rows += static_cast<double>(relevant);
        }
        relevant_rows_[lane] = static_cast<float>(rows);
        if (total > 0.0) return total;
        // Sets without labels: nothing is relevant, and the posterior itself is the target.
        total = 0.0;
        for (std::size_t c = 0; c < n_sets_; ++c) {
            targets_[c * bayes_lanes + lane] = posteriors_[c * bayes_lanes + lane];
            total += static_cast<double>(targets_[c * bayes_lanes + lane]);
        }
        return total;
    }

    using Code = std::vector<std::uint32_t>;

    Code signs_of(const float* values, std::size_t lane) const {
        Code code(database_.n_words(), 0);
        for (std::size_t l = 0; l < n_bits_; ++l) {
            if (values[l * bayes_lanes + lane] > 0) code[l / 32] |= std::uint32_t{1} << (l % 32);
        }
        return code;
    }

    // Distances of the sets from a code, rows by distance, and the expected average precision.
    float measure(const Code& code, std::size_t lane) {
        const std::size_t n_bytes = 4 * database_.n_words();
        kernels_.hamming(reinterpret_cast<const std::uint8_t*>(code.data()),
                         reinterpret_cast<const std::uint8_t*>(database_.signs()), n_sets_, n_bytes, distances_.data());
        std::fill(rows_.begin(), rows_.end(), 0.0f);
        for (std::size_t c = 0; c < n_sets_; ++c) rows_[distances_[c]] += database_.counts()[c];
        float within = 0.0f;
        for (std::size_t d = 0; d <= n_bits_; ++d) within_[d] = within += rows_[d];
        if (!database_.has_labels()) {
            const std::vector<LikelySet>& likely = likely_[lane];
            for (std::size_t i = 0; i < likely.size(); ++i) {
                const std::size_t d = distances_[likely[i].set];
                const float nearer = within_[d] - rows_[d];
                depths_[i] = 1.0f / (((nearer + nearer) + rows_[d]) + 1.0f);
            }
            return kernels_.bayes->precision(likely.data(), depths_.data(), likely.size());
        }
        std::fill(relevant_at_.begin(), relevant_at_.end(), 0.0f);
        const float* relevant = relevant_.data() + lane * n_sets_;
        for (std::size_t c = 0; c < n_sets_; ++c) relevant_at_[distances_[c]] += relevant[c];
        return kernels_.bayes->graded_precision(rows_.data(), relevant_at_.data(), n_bits_ + 1);
    }

    void measure_flips(const Code& code, std::size_t lane) {
        const RankingProblem problem{.n_sets = n_sets_,
                                     .n_bits = n_bits_,
                                     .n_words = database_.n_words(),
                                     .stride = stride_,
                                     .code = code.data(),
                                     .signs = database_.signs(),
                                     .distances = distances_.data(),
                                     .counts = database_.counts().data(),
                                     .rows_within = within_.data()};
        if (database_.has_labels()) {
            kernels_.bayes->flip_graded_precisions(problem, relevant_.data() + lane * n_sets_, scratch_.data(),
                                                   gains_.data());
        } else {
            const std::vector<LikelySet>& likely = likely_[lane];
            kernels_.bayes->flip_precisions(problem, likely.data(), likely.size(), scratch_.data(), gains_.data());
        }
    }

    float mean_weight(std::size_t lane) const {
        float sum = 0.0f;
        for (std::size_t l = 0; l < n_bits_; ++l) sum += std::abs(weights_[l * bayes_lanes + lane]);
        return sum / static_cast<float>(n_bits_);
    }

    Code best_code(std::size_t lane) {
        const std::uint32_t* likeliest = database_.signs() + likely_[lane][0].set * database_.n_words();
        Code best = signs_of(mean_weight(lane) > no_weight ? weights_.data() : expected_.data(), lane);
        float most = measure(best, lane);
        for (const Code& code : {signs_of(expected_.data(), lane), Code(likeliest, likeliest + database_.n_words())}) {
            if (code == best) continue;
            const float precision = measure(code, lane);
            if (precision > most) {
                best = code;
                most = precision;
            }
        }
        const float gain = least_gain * (database_.has_labels() ? relevant_rows_[lane] : 1.0f);
        for (std::size_t flip = 0; flip < most_flips; ++flip) {
            measure(best, lane);
            measure_flips(best, lane);
            const float* top = std::max_element(gains_.data(), gains_.data() + n_bits_);
            if (!(*top > most + gain)) break;
            const auto bit = static_cast<std::size_t>(top - gains_.data());
            best[bit / 32] ^= std::uint32_t{1} << (bit % 32);
            most = *top;
        }
        return best;
    }

    void write(std::size_t lane, float* out) {
        const Code code = best_code(lane);
        const float mean = mean_weight(lane);
        const float floor = mean > no_weight ? least_weight * mean : 1.0f;
        for (std::size_t l = 0; l < n_bits_; ++l) {
            const float sign = ((code[l / 32] >> (l % 32)) & 1) != 0 ? 1.0f : -1.0f;
            out[l] = sign * std::max(sign * weights_[l * bayes_lanes + lane], floor);
        }
    }

    const Database& database_;
    const KernelTable& kernels_;
    std::size_t n_sets_, n_bits_, stride_;
    AlignedBuffer<float> posteriors_, targets_, expected_, weights_, target_, scratch_, gains_, relevances_;
    std::vector<std::uint32_t> mask_;
    std::vector<std::vector<LikelySet>> likely_;  // by lane
    std::vector<float> relevant_;                 // (lanes, n_sets): expected relevant rows of each set
    std::vector<float> relevant_rows_;            // by lane: of all sets
    std::vector<std::uint32_t> distances_;
    std::vector<float> depths_, rows_, relevant_at_, within_;
};

}  // namespace

void bayes_codes(std::span<const float> posterior, const LabelledCodes& given, std::size_t n_threads, float* out) {
    const Database database(given);
    const KernelTable& kernels = selected_kernels();
    const std::size_t n_given = given.counts.size(), n = posterior.size() / n_given;
    const std::size_t n_blocks = (n + bayes_lanes - 1) / bayes_lanes;
    const std::size_t work = bayes_lanes * n_steps * database.n_sets() * database.n_bits();
    parallel_for(n_blocks, n_threads, rows_worth(worth_a_thread::log_linear_terms, work),
                 [&](std::size_t begin, std::size_t end) {
                     Worker worker(database, kernels);
                     for (std::size_t block = begin; block < end; ++block) {
                         const std::size_t first = block * bayes_lanes;
                         worker.run(posterior.data(), n_given, first, std::min(bayes_lanes, n - first), out);
                     }
                 });
}

}  // namespace pyhash
