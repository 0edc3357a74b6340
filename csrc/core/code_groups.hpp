// Equal codes, grouped: learned codes repeat, so one distance serves all rows that have the same code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/code_view.hpp"

namespace pyhash {

class CodeGroups {
public:
    // The groups, or nullptr if a code repeats fewer than four times on average: they would not pay.
    static std::unique_ptr<CodeGroups> of(CodeView codes);

    // The distinct codes, in the order in which they first appear.
    CodeView distinct() const { return {distinct_.data(), offsets_.size() - 1, n_bytes_}; }

    // Rows of the g-th distinct code, ascending.
    std::span<const std::uint32_t> rows(std::size_t g) const {
        return {rows_.data() + offsets_[g], rows_.data() + offsets_[g + 1]};
    }

    std::size_t size() const {  // bytes
        return distinct_.size() + sizeof(std::uint32_t) * (offsets_.size() + rows_.size());
    }

private:
    CodeGroups() = default;

    std::size_t n_bytes_ = 0;
    std::vector<std::uint8_t> distinct_;
    std::vector<std::uint32_t> offsets_, rows_;
};

}  // namespace pyhash
