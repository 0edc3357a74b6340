#include "core/code_groups.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

namespace pyhash {
namespace {

// On average a code must repeat so often before scanning the distinct ones beats scanning all.
constexpr std::size_t least_repeats = 4;
constexpr std::size_t sample_size = 65'536;

std::uint64_t hash_of(const std::uint8_t* code, std::size_t n_bytes) {
    std::uint64_t hash = n_bytes;
    for (std::size_t j = 0; j < n_bytes; j += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, code + j, std::min<std::size_t>(8, n_bytes - j));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return hash * 0xd6e8feb86659fd93u;
}

// An open table of the numbers of the distinct codes that were seen, each known by its first row.
class DistinctCodes {
public:
    DistinctCodes(CodeView codes, std::size_t most)
        : codes_(codes),
          shift_(64 - static_cast<int>(std::bit_width(2 * most))),
          slots_(std::size_t{1} << (64 - shift_), none) {}

    std::size_t size() const { return first_rows_.size(); }
    const std::vector<std::uint32_t>& first_rows() const { return first_rows_; }

    // The number of a row's code, which is new where it equals size() before the call.
    std::uint32_t number_of(std::size_t row) {
        const std::uint8_t* code = codes_.row(row);
        const std::size_t last = slots_.size() - 1;
        for (std::size_t slot = hash_of(code, codes_.n_bytes) >> shift_;; slot = (slot + 1) & last) {
            if (slots_[slot] == none) {
                slots_[slot] = static_cast<std::uint32_t>(first_rows_.size());
                first_rows_.push_back(static_cast<std::uint32_t>(row));
                return slots_[slot];
            }
            if (std::memcmp(codes_.row(first_rows_[slots_[slot]]), code, codes_.n_bytes) == 0) return slots_[slot];
        }
    }

private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    CodeView codes_;
    int shift_;
    std::vector<std::uint32_t> slots_, first_rows_;
};

// Whether a sample, evenly spaced, repeats about as it would if codes repeated often enough.
bool may_repeat(CodeView codes) {
    const std::size_t n = std::min(sample_size, codes.n);
    DistinctCodes seen(codes, n);
    for (std::size_t i = 0; i < n; ++i) seen.number_of(codes.n / n * i);
    const double most = static_cast<double>(codes.n) / least_repeats, size = static_cast<double>(n);
    const double expected = most * -std::expm1(-size / most);  // of n draws from `most` codes
    return static_cast<double>(seen.size()) <= 1.02 * expected;
}

}  // namespace

std::unique_ptr<CodeGroups> CodeGroups::of(CodeView codes) {
    const std::size_t most = codes.n / least_repeats;
    if (most == 0 || !may_repeat(codes)) return nullptr;
    DistinctCodes seen(codes, most + 1);
    std::vector<std::uint32_t> group_of(codes.n);
    for (std::size_t i = 0; i < codes.n; ++i) {
        group_of[i] = seen.number_of(i);
        if (seen.size() > most) return nullptr;
    }

    std::unique_ptr<CodeGroups> groups(new CodeGroups);
    groups->n_bytes_ = codes.n_bytes;
    groups->distinct_.resize(seen.size() * codes.n_bytes);
    for (std::size_t g = 0; g < seen.size(); ++g) {
        std::copy_n(codes.row(seen.first_rows()[g]), codes.n_bytes, groups->distinct_.data() + g * codes.n_bytes);
    }
    groups->offsets_.assign(seen.size() + 1, 0);
    for (const std::uint32_t g : group_of) ++groups->offsets_[g + 1];
    std::partial_sum(groups->offsets_.begin(), groups->offsets_.end(), groups->offsets_.begin());
    std::vector<std::uint32_t> next(groups->offsets_.begin(), groups->offsets_.end() - 1);
    groups->rows_.resize(codes.n);
    for (std::size_t i = 0; i < codes.n; ++i) groups->rows_[next[group_of[i]]++] = static_cast<std::uint32_t>(i);
    return groups;
}

}  // namespace pyhash
