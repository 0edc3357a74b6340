#include "core/cyclic_descent.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "core/aligned_buffer.hpp"
#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

void check_signs(std::span<const std::int8_t> signs, std::size_t n_bits, std::size_t n_threads) {
    parallel_for(signs.size() / n_bits, n_threads, rows_worth(worth_a_thread::checked_signs, n_bits),
                 [&](std::size_t begin, std::size_t end) {
                     for (std::size_t i = begin; i < end; ++i) {
                         const std::span<const std::int8_t> row = signs.subspan(i * n_bits, n_bits);
                         bool good = true;
                         for (const std::int8_t sign : row) good &= sign == 1 || sign == -1;
                         if (good) continue;
                         const auto bad =
                             std::ranges::find_if(row, [](std::int8_t sign) { return sign != 1 && sign != -1; });
                         throw std::invalid_argument("signs must hold only -1 and +1, row " + std::to_string(i) +
                                                     " holds " + std::to_string(*bad));
                     }
                 });
}

}  // namespace

template <std::floating_point Real>
std::vector<std::int64_t> cyclic_descent(std::span<std::int8_t> signs, std::span<const Real> h, std::span<const Real> q,
                                         std::size_t n_bits, std::size_t max_sweeps, std::size_t n_threads) {
    std::vector<std::int64_t> flips(max_sweeps, 0);
    if (signs.empty()) return flips;
    check_signs(signs, n_bits, n_threads);

    const std::size_t stride = (n_bits + descent_lanes - 1) / descent_lanes * descent_lanes;
    AlignedBuffer<Real> h_padded(n_bits * stride), h_abs_sum(stride);
    for (std::size_t l = 0; l < n_bits; ++l) {
        for (std::size_t other = 0; other < n_bits; ++other) {
            if (other == l) continue;
            h_padded[other * stride + l] = h[l * n_bits + other];
            h_abs_sum[l] += std::abs(h[l * n_bits + other]);
        }
    }

    const DescentProblem<Real> problem{.n_bits = n_bits,
                                       .stride = stride,
                                       .h = h_padded.data(),
                                       .h_abs_sum = h_abs_sum.data(),
                                       .q = q.data(),
                                       .signs = signs.data(),
                                       .max_sweeps = max_sweeps};
    const KernelTable& kernels = selected_kernels();
    std::mutex flips_lock;
    const std::size_t grain = rows_worth(worth_a_thread::descent_products, n_bits * n_bits);
    parallel_for(signs.size() / n_bits, n_threads, grain, [&](std::size_t begin, std::size_t end) {
        AlignedBuffer<Real> values(descent_rows * 2 * stride);
        AlignedBuffer<std::uint64_t> words(descent_rows * ((n_bits + 63) / 64));
        std::vector<std::int64_t> own(max_sweeps, 0);
        if constexpr (std::is_same_v<Real, float>) {
            kernels.descend_f32(problem, begin, end, values.data(), words.data(), own.data());
        } else {
            kernels.descend_f64(problem, begin, end, values.data(), words.data(), own.data());
        }
        const std::scoped_lock guard(flips_lock);
        std::transform(own.begin(), own.end(), flips.begin(), flips.begin(), std::plus<>());
    });
    return flips;
}

template std::vector<std::int64_t> cyclic_descent<float>(std::span<std::int8_t>, std::span<const float>,
                                                         std::span<const float>, std::size_t, std::size_t, std::size_t);
template std::vector<std::int64_t> cyclic_descent<double>(std::span<std::int8_t>, std::span<const double>,
                                                          std::span<const double>, std::size_t, std::size_t,
                                                          std::size_t);

}  // namespace pyhash
