// The code from which rows rank best: start at one of several codes, then flip single bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "core/aligned_buffer.hpp"
#include "core/kernel_table.hpp"
#include "core/labelled_codes.hpp"

namespace pyhash {

// A set that a query may have.
struct Likely {
    std::uint32_t set;
    float probability;
};

// Holds scratch memory; each thread has one of its own.
class BestCode {
public:
    using Code = std::vector<std::uint32_t>;  // packed, in words of 32 bits

    BestCode(const PreparedCodes& database, const KernelTable& kernels);

    // The next queries have one set each, with these probabilities: expected average precision of classes.
    void rank_by(const std::vector<Likely>& likely);

    // The next queries have sets of several labels; relevant (n_sets): expected relevant rows of each set.
    void rank_by(const float* relevant);

    // The best of the starts by expected average precision, the first of equals; then the best flip of a bit, the
    // lowest of equals, twice at most and while it gains.
    Code find(std::initializer_list<Code> starts);

private:
    float measure(const Code& code);
    void sort_by_distance(const Code& code);
    const float* measure_flips();

    const PreparedCodes& database_;
    const KernelTable& kernels_;
    std::size_t n_sets_, n_bits_;
    const std::vector<Likely>* likely_ = nullptr;
    const float* relevant_ = nullptr;
    float least_gain_ = 0;

    std::vector<std::uint32_t> distances_, level_starts_, next_, equal_;
    std::vector<float> rows_, rows_within_, relevant_rows_;  // by distance
    std::vector<float> depths_, counts_, sorted_relevant_;   // the last two by position
    std::vector<std::uint32_t> positions_;                   // of each set, among the sets sorted by distance
    std::vector<LikelySet> likely_sets_;
    AlignedBuffer<float> scratch_, flips_;
};

}  // namespace pyhash
