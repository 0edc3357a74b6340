#include "core/bit_planes.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

// The 8 x 8 bit matrix of a word's bytes, transposed.
std::uint64_t transposed(std::uint64_t x) {
    std::uint64_t swap = (x ^ (x >> 7)) & 0x00aa00aa00aa00aau;
    x ^= swap ^ (swap << 7);
    swap = (x ^ (x >> 14)) & 0x0000cccc0000ccccu;
    x ^= swap ^ (swap << 14);
    swap = (x ^ (x >> 28)) & 0x00000000f0f0f0f0u;
    return x ^ swap ^ (swap << 28);
}

void fill_code_planes(CodeView codes, std::size_t first, std::size_t n, std::uint8_t* block) {
    for (std::size_t group = 0; group < n; group += 8) {
        const std::size_t size = std::min<std::size_t>(8, n - group);
        for (std::size_t j = 0; j < codes.n_bytes; ++j) {
            std::uint64_t bytes = 0;
            for (std::size_t i = 0; i < size; ++i) {
                bytes |= static_cast<std::uint64_t>(codes.row(first + group + i)[j]) << (8 * i);
            }
            bytes = transposed(bytes);
            std::uint8_t* out = block + 8 * j * BitPlanes::bytes_per_plane + group / 8;
            for (std::size_t bit = 0; bit < 8; ++bit) {
                out[bit * BitPlanes::bytes_per_plane] = static_cast<std::uint8_t>(bytes >> (8 * bit));
            }
        }
    }
}

// 64 codes side by side: each plane is added to a counter whose digits are words.
void fill_count_planes(std::size_t n_bits, std::size_t n_digits, std::uint8_t* block) {
    constexpr std::size_t plane = BitPlanes::bytes_per_plane;
    for (std::size_t column = 0; column < plane; column += 8) {
        std::uint64_t digits[64] = {};
        for (std::size_t bit = 0; bit < n_bits; ++bit) {
            std::uint64_t carry;
            std::memcpy(&carry, block + bit * plane + column, 8);
            for (std::size_t d = 0; carry != 0; ++d) {
                const std::uint64_t next = digits[d] & carry;
                digits[d] ^= carry;
                carry = next;
            }
        }
        for (std::size_t d = 0; d < n_digits; ++d) {
            const std::uint64_t inverse = ~digits[d];
            std::memcpy(block + (n_bits + d) * plane + column, &inverse, 8);
        }
    }
}

}  // namespace

BitPlanes::BitPlanes(CodeView codes, std::size_t n_threads)
    : n_bits_(8 * codes.n_bytes),
      n_digits_(std::bit_width(n_bits_)),
      n_blocks_((codes.n + codes_per_block - 1) / codes_per_block),
      data_(n_blocks_ * block_bytes()) {
    const std::size_t grain = rows_worth(worth_a_thread::bit_plane_bytes, codes_per_block * codes.n_bytes);
    parallel_for(n_blocks_, n_threads, grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t b = begin; b < end; ++b) {
            std::uint8_t* block = data_.data() + b * block_bytes();
            const std::size_t first = b * codes_per_block;
            fill_code_planes(codes, first, std::min(codes_per_block, codes.n - first), block);
            fill_count_planes(n_bits_, n_digits_, block);
        }
    });
}

BitQuery::BitQuery(const KernelTable& kernels, const BitPlanes& planes, const std::uint8_t* code)
    : kernels_(&kernels), planes_(&planes) {
    const std::size_t n_bytes = planes.n_bits() / 8;
    n_ones_ = std::accumulate(code, code + n_bytes, std::int64_t{0},
                              [](std::int64_t sum, std::uint8_t byte) { return sum + std::popcount(byte); });
    on_ones_ = 2 * static_cast<std::size_t>(n_ones_) <= planes.n_bits();
    const auto n_chosen =
        on_ones_ ? static_cast<std::size_t>(n_ones_) : planes.n_bits() - static_cast<std::size_t>(n_ones_);
    offsets_.reserve(n_chosen + 1);
    for (std::size_t j = 0; j < n_bytes; ++j) {
        for (unsigned rest = on_ones_ ? code[j] : 255u - code[j]; rest != 0; rest &= rest - 1) {
            const std::size_t bit = 8 * j + static_cast<std::size_t>(std::countr_zero(rest));
            offsets_.push_back(static_cast<std::uint32_t>(bit * BitPlanes::bytes_per_plane));
        }
    }
    offsets_.push_back(static_cast<std::uint32_t>(planes.n_bits() * BitPlanes::bytes_per_plane));
}

BitScan BitQuery::scan_of(std::size_t first, std::size_t n_blocks) const {
    return {planes_->block(first),  n_blocks,
            planes_->block_bytes(), planes_->n_bits() * BitPlanes::bytes_per_plane,
            offsets_.data(),        offsets_.size() - 1,
            planes_->n_digits()};
}

std::size_t BitQuery::scan(std::size_t first, std::size_t n_blocks, std::size_t bound, const std::uint8_t* mask,
                           std::uint32_t* positions) const {
    const std::int64_t top = (std::int64_t{1} << planes_->n_digits()) - 1;
    const auto limit = static_cast<std::int64_t>(bound);
    // d < bound as a range of Y: at least `from` on planes of ones, below `from` on planes of zeros.
    const std::int64_t from = on_ones_ ? n_ones_ + top - limit + 1 : limit - n_ones_ + top;
    // The kernel compares Z = (Y - lowest digit of N) / 2. Y < 2 m + 1 holds where Z + that digit < m + 1.
    BitScan scan = scan_of(first, n_blocks);
    std::int64_t z = from >> 1;
    if (from & 1) {
        ++z;
        ++scan.n_planes;
    }
    z = std::clamp<std::int64_t>(z, 0, top);  // Z is below 2^n_digits - 1: nothing is cut off
    return kernels_->scan_bits(scan, static_cast<std::uint32_t>(z), !on_ones_, mask, positions);
}

std::size_t BitQuery::kth_distance(std::size_t first, std::size_t n, std::size_t k, const std::uint8_t* mask,
                                   std::vector<std::uint64_t>& scratch) const {
    constexpr std::size_t words = BitPlanes::codes_per_block / 64;
    const std::size_t n_blocks = (n + BitPlanes::codes_per_block - 1) / BitPlanes::codes_per_block;
    scratch.resize(words * n_blocks * (planes_->n_digits() + 2));
    const std::int64_t top = (std::int64_t{1} << planes_->n_digits()) - 1;
    const std::int64_t y = kernels_->kth_of_bits(scan_of(first, n_blocks), n, k, on_ones_, mask, scratch.data());
    return static_cast<std::size_t>(on_ones_ ? n_ones_ + top - y : n_ones_ - top + y);
}

}  // namespace pyhash
