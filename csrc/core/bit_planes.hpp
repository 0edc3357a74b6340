// Codes laid out for bitwise counting: by bit, 512 codes a block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/aligned_buffer.hpp"
#include "core/code_view.hpp"
#include "core/kernel_table.hpp"

namespace pyhash {

// Block b holds codes [512 b, 512 b + 512). A plane is 64 bytes: bit i of it belongs to code i of the block. First a
// plane for each bit of the codes, then the n_digits planes of N = 2^n_digits - 1 - (set bits of the code), lowest
// digit first. Codes past the last are zero. As large as the codes and n_digits bits for each.
//
// Counting N + 2 (planes where the query is 1) or N + 2 (planes where it is 0), whichever planes are fewer, tells the
// distance: see BitQuery.
class BitPlanes {
public:
    static constexpr std::size_t codes_per_block = bit_block_codes;
    static constexpr std::size_t bytes_per_plane = bit_plane_bytes;
    static constexpr std::size_t max_bytes = 512;  // of a code: 4096 bits, 13 digits

    BitPlanes(CodeView codes, std::size_t n_threads);

    std::size_t n_bits() const { return n_bits_; }
    std::size_t n_digits() const { return n_digits_; }
    std::size_t n_blocks() const { return n_blocks_; }
    std::size_t block_bytes() const { return (n_bits_ + n_digits_) * bytes_per_plane; }
    const std::uint8_t* block(std::size_t b) const { return data_.data() + b * block_bytes(); }
    std::size_t size() const { return n_blocks_ * block_bytes(); }  // bytes

private:
    std::size_t n_bits_, n_digits_, n_blocks_;
    AlignedBuffer<std::uint8_t> data_;
};

// One query as the kernels take it. With u = set bits of the query, s = set bits of a code on the chosen planes, and
// Y = N + 2 s: planes where the query is 1 give d = u + 2^n_digits - 1 - Y, where it is 0, d = u - 2^n_digits + 1 + Y.
class BitQuery {
public:
    BitQuery(const KernelTable& kernels, const BitPlanes& planes, const std::uint8_t* code);

    // Positions, from that of block `first` on, of the codes of n_blocks blocks with d < bound that the mask lets
    // through (nullptr: all; its first bit is the first block's first code). Returns how many. `positions` has space
    // for all codes of the blocks and scan_bits_slack more.
    std::size_t scan(std::size_t first, std::size_t n_blocks, std::size_t bound, const std::uint8_t* mask,
                     std::uint32_t* positions) const;

    // The k-th least distance among the first n codes from block `first` on that the mask lets through; there are at
    // least k.
    std::size_t kth_distance(std::size_t first, std::size_t n, std::size_t k, const std::uint8_t* mask,
                             std::vector<std::uint64_t>& scratch) const;

private:
    BitScan scan_of(std::size_t first, std::size_t n_blocks) const;

    const KernelTable* kernels_;
    const BitPlanes* planes_;
    std::vector<std::uint32_t> offsets_;  // of the chosen planes, and at last of N's lowest digit
    std::int64_t n_ones_ = 0;
    bool on_ones_ = false;
};

}  // namespace pyhash
