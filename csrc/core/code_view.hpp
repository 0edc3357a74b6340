// Packed binary codes as the library sees them: n rows of n_bytes, bit l in byte l / 8 at position l % 8.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyhash {

struct CodeView {
    const std::uint8_t* data = nullptr;
    std::size_t n = 0;
    std::size_t n_bytes = 0;

    const std::uint8_t* row(std::size_t i) const { return data + i * n_bytes; }
};

}  // namespace pyhash
