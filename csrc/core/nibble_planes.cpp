#include "core/nibble_planes.hpp"

#include <algorithm>
#include <cstring>

#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {

NibblePlanes::NibblePlanes(CodeView codes, std::size_t n_threads)
    : n_codes_(codes.n), n_bytes_(codes.n_bytes), data_(n_blocks() * codes_per_block * codes.n_bytes) {
    constexpr std::size_t half = codes_per_block / 2;
    parallel_for(n_blocks(), n_threads, rows_worth(worth_a_thread::nibble_plane_bytes, codes_per_block * n_bytes_),
                 [&](std::size_t begin, std::size_t end) {
                     for (std::size_t b = begin; b < end; ++b) {
                         std::uint8_t* planes = data_.data() + b * n_planes() * bytes_per_plane;
                         const std::size_t first = b * codes_per_block;
                         const std::size_t n = std::min(codes_per_block, n_codes_ - first);
                         for (std::size_t i = 0; i < n; ++i) {
                             const std::uint8_t* code = codes.row(first + i);
                             const unsigned shift = i < half ? 0 : 4;
                             for (std::size_t j = 0; j < n_bytes_; ++j) {
                                 std::uint8_t* pair = planes + 2 * j * bytes_per_plane + i % half;
                                 pair[0] = static_cast<std::uint8_t>(pair[0] | (code[j] & 15) << shift);
                                 pair[bytes_per_plane] =
                                     static_cast<std::uint8_t>(pair[bytes_per_plane] | (code[j] >> 4) << shift);
                             }
                         }
                     }
                 });
}

}  // namespace pyhash
