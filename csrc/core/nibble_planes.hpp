// Codes laid out for table look-ups: by nibble, 64 codes a block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/aligned_buffer.hpp"
#include "core/code_view.hpp"

namespace pyhash {

// Block b holds codes [64 b, 64 b + 64); plane p of a block, 32 bytes, their nibbles p: byte i has code i's in its low
// and code 32 + i's in its high half. Nibble p is half p % 2 of a code's byte p / 2. Codes past the last are zero. As
// large as the codes, up to whole blocks.
class NibblePlanes {
public:
    static constexpr std::size_t codes_per_block = 64;
    static constexpr std::size_t bytes_per_plane = 32;

    NibblePlanes(CodeView codes, std::size_t n_threads);

    std::size_t n_planes() const { return 2 * n_bytes_; }
    std::size_t n_blocks() const { return (n_codes_ + codes_per_block - 1) / codes_per_block; }
    std::size_t size() const { return n_blocks() * n_planes() * bytes_per_plane; }  // bytes
    const std::uint8_t* block(std::size_t b) const { return data_.data() + b * n_planes() * bytes_per_plane; }

private:
    std::size_t n_codes_, n_bytes_;
    AlignedBuffer<std::uint8_t> data_;
};

}  // namespace pyhash
