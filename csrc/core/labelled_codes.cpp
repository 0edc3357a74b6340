#include "core/labelled_codes.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace pyhash {
namespace {

constexpr std::size_t n_steps = 60;
constexpr float ridge = 0.01f;

// The signs of rows (n, n_values), as LogLinearProblem has them.
std::vector<std::uint8_t> nibbles_of(const std::vector<float>& rows, std::size_t n, std::size_t n_values) {
    const std::size_t n_nibbles = (n_values + 3) / 4;
    std::vector<std::uint8_t> nibbles(n * n_nibbles, 0);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t l = 0; l < n_values; ++l) {
            const unsigned bit = rows[i * n_values + l] > 0 ? 16u << (l % 4) : 0u;
            nibbles[i * n_nibbles + l / 4] = static_cast<std::uint8_t>(nibbles[i * n_nibbles + l / 4] | bit);
        }
    }
    return nibbles;
}

}  // namespace

PreparedCodes::PreparedCodes(const LabelledCodes& given) : n_bits_(given.n_bits) {
    for (std::size_t c = 0; c < given.counts.size(); ++c) {
        if (!(given.counts[c] > 0)) continue;
        places_.push_back(c);
        counts_.push_back(static_cast<float>(given.counts[c]));
    }
    if (places_.empty()) throw std::invalid_argument("counts must be above 0 for a label set");
    take_codes(given.mean_codes);
    if (given.sets.data != nullptr) take_labels(given.sets);
}

void PreparedCodes::take_codes(std::span<const float> mean_codes) {
    codes_.resize(n_sets() * n_bits_);
    columns_.resize(n_sets() * n_bits_);
    signs_.assign(n_sets() * n_words(), 0);
    bool only_signs = true;
    for (std::size_t c = 0; c < n_sets(); ++c) {
        for (std::size_t l = 0; l < n_bits_; ++l) {
            const float value = mean_codes[places_[c] * n_bits_ + l];
            codes_[c * n_bits_ + l] = columns_[l * n_sets() + c] = value;
            only_signs &= std::abs(value) == 1.0f;
            if (value > 0) signs_[c * n_words() + l / 32] |= std::uint32_t{1} << (l % 32);
        }
    }
    if (only_signs) {
        code_signs_ = nibbles_of(codes_, n_sets(), n_bits_);
        column_signs_ = nibbles_of(columns_, n_bits_, n_sets());
    }
    log_linear_ = {.n_codes = n_sets(),
                   .n_bits = n_bits_,
                   .codes = only_signs ? nullptr : codes_.data(),
                   .columns = only_signs ? nullptr : columns_.data(),
                   .code_signs = code_signs_.data(),
                   .column_signs = column_signs_.data(),
                   .step = 1.0f / (0.75f * static_cast<float>(n_bits_) + ridge),
                   .ridge = ridge,
                   .n_steps = n_steps};
}

void PreparedCodes::take_labels(CodeView sets) {
    sets_with_.assign(8 * sets.n_bytes * mask_words(), 0);
    label_starts_.push_back(0);
    for (std::size_t c = 0; c < n_sets(); ++c) {
        const std::uint8_t* set = sets.row(places_[c]);
        for (std::size_t label = 0; label < 8 * sets.n_bytes; ++label) {
            if (((set[label / 8] >> (label % 8)) & 1) == 0) continue;
            labels_.push_back(label);
            sets_with_[label * mask_words() + c / 32] |= std::uint32_t{1} << (c % 32);
        }
        label_starts_.push_back(labels_.size());
    }
}

void PreparedCodes::mark_similar(std::size_t set, std::span<std::uint32_t> mask) const {
    std::ranges::fill(mask, 0);
    for (std::size_t i = label_starts_[set]; i < label_starts_[set + 1]; ++i) {
        const std::uint32_t* column = sets_with_.data() + labels_[i] * mask_words();
        for (std::size_t w = 0; w < mask_words(); ++w) mask[w] |= column[w];
    }
}

}  // namespace pyhash
