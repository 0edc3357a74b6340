// The label sets of a database and their mean codes, in the forms that the kernels of Bayes codes read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/code_view.hpp"
#include "core/kernel_table.hpp"

namespace pyhash {

// u label sets.
struct LabelledCodes {
    std::size_t n_bits;                 // r
    std::span<const float> mean_codes;  // (u, r): mean signs of the rows of each set, from -1 to 1
    std::span<const double> counts;     // (u): rows of each set; sets without rows are left out of everything
    CodeView sets;                      // (u, n_bytes): packed labels; no data where each set is a class of its own
};

// The sets that have rows. Throws std::invalid_argument where there is none.
class PreparedCodes {
public:
    explicit PreparedCodes(const LabelledCodes& given);
    ~PreparedCodes() = default;
    PreparedCodes(const PreparedCodes&) = delete;  // log_linear() points into it
    PreparedCodes& operator=(const PreparedCodes&) = delete;

    std::size_t n_sets() const { return places_.size(); }
    std::size_t n_bits() const { return n_bits_; }

    // Which of the given sets they are, ascending.
    const std::vector<std::size_t>& places() const { return places_; }
    const std::vector<float>& counts() const { return counts_; }

    // The mean codes, for log-linear models, whose steps and ridge are those of bayes_codes.hpp.
    const LogLinearProblem& log_linear() const { return log_linear_; }

    // Signs of the mean codes, packed, in whole words of 32 bits.
    std::size_t n_words() const { return (n_bits_ + 31) / 32; }
    const std::uint32_t* signs(std::size_t set = 0) const { return signs_.data() + set * n_words(); }

    bool has_labels() const { return !label_starts_.empty(); }

    // mask (mask_words): 1 for the sets that have a label in common with a set.
    std::size_t mask_words() const { return (n_sets() + 31) / 32; }
    void mark_similar(std::size_t set, std::span<std::uint32_t> mask) const;

private:
    void take_codes(std::span<const float> mean_codes);
    void take_labels(CodeView sets);

    std::size_t n_bits_;
    std::vector<std::size_t> places_;
    std::vector<float> counts_, codes_, columns_;
    std::vector<std::uint8_t> code_signs_, column_signs_;
    std::vector<std::uint32_t> signs_;
    LogLinearProblem log_linear_{};
    std::vector<std::size_t> labels_,
        label_starts_;                      // set c has labels_[label_starts_[c]] to labels_[label_starts_[c + 1]]
    std::vector<std::uint32_t> sets_with_;  // (n_labels, mask_words): 1 for the sets that have a label
};

}  // namespace pyhash
