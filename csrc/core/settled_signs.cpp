#include "core/settled_signs.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

constexpr std::size_t lanes = 16;           // sums side by side, which compilers keep in vectors
constexpr float longest_row = 1e15f;        // squares of its values are in the range of float32
constexpr std::size_t settled_per_row = 4;  // from here on, products of whole blocks in float64 are cheaper

float length_of(const float* x, std::size_t n) {
    float sums[lanes] = {};
    std::size_t j = 0;
    for (; j + lanes <= n; j += lanes) {
        for (std::size_t k = 0; k < lanes; ++k) sums[k] += x[j + k] * x[j + k];
    }
    for (; j < n; ++j) sums[0] += x[j] * x[j];
    float total = 0;
    for (const float sum : sums) total += sum;
    return std::sqrt(total);
}

enum class Sign : std::uint8_t { below, above, in_doubt };

// The sign of p = (x - mean)'w for values x with a relative error.
Sign settle(const float* x, float relative_error, const double* mean, const double* w, std::size_t n) {
    constexpr std::size_t n_sums = lanes / 2;
    double sums[n_sums] = {}, magnitudes[n_sums] = {}, squares[n_sums] = {}, of_values[n_sums] = {};
    const auto add = [&](std::size_t j, std::size_t k) {
        const double value = static_cast<double>(x[j]) * w[j], term = (static_cast<double>(x[j]) - mean[j]) * w[j];
        sums[k] += term;
        magnitudes[k] += std::abs(term);
        of_values[k] += value;
        squares[k] += value * value;
    };
    std::size_t j = 0;
    for (; j + n_sums <= n; j += n_sums) {
        for (std::size_t k = 0; k < n_sums; ++k) add(j + k, k);
    }
    for (; j < n; ++j) add(j, 0);
    double p = 0, magnitude = 0, square = 0, of_all = 0;
    for (std::size_t k = 0; k < n_sums; ++k) {
        p += sums[k];
        magnitude += magnitudes[k];
        square += squares[k];
        of_all += of_values[k];
    }
    // Rounding of both orders of summation; then errors of single values, and the one that all share: a few epsilon.
    double error = static_cast<double>(n + 8) * DBL_EPSILON * magnitude;
    if (relative_error > 0) error += relative_error * std::sqrt(square) + 4 * FLT_EPSILON * std::abs(of_all);
    if (relative_error == 0 && magnitude == 0) return Sign::below;
    if (!(std::abs(p) > error && std::abs(p) > static_cast<double>(FLT_MIN))) return Sign::in_doubt;
    return p > 0 ? Sign::above : Sign::below;
}

// Eight values that are 0 or 1 as the bits of a byte.
std::uint8_t packed(const std::uint32_t* values) {
    std::uint8_t flags[8];
    for (std::size_t k = 0; k < 8; ++k) flags[k] = static_cast<std::uint8_t>(values[k]);
    std::uint64_t bytes;
    std::memcpy(&bytes, flags, sizeof bytes);
    return static_cast<std::uint8_t>((bytes * 0x0102040810204080u) >> 56);
}

}  // namespace

void pack_settled_signs(const Directions& directions, const SignedRows& rows, std::size_t n_threads,
                        std::uint8_t* codes, std::uint8_t* doubtful) {
    const std::size_t n_features = directions.n_features, n_bits = directions.n_bits, n_bytes = (n_bits + 7) / 8;
    // Bounds of the error by Cauchy and Schwarz: a rounding, of half an epsilon, for each product and sum, one for w,
    // and a few for the length of the row; the intercept is rounded twice, after its sum in float64. The last keeps
    // clear of the least numbers.
    const float of_length = 0.51f * FLT_EPSILON * static_cast<float>(n_features + 8);
    float largest = 0;
    for (std::size_t l = 0; l < n_bits; ++l) largest = std::max(largest, std::abs(directions.intercepts[l]));
    double mean_square = 0;
    for (std::size_t j = 0; j < n_features; ++j) mean_square += directions.mean[j] * directions.mean[j];
    const double of_sum = static_cast<double>(n_features + 8) * DBL_EPSILON * std::sqrt(mean_square);
    const float of_intercept = 4 * FLT_EPSILON * largest + static_cast<float>(of_sum) + 1e-20f;

    const std::size_t grain = rows_worth(worth_a_thread::packed_values, n_features);
    parallel_for(rows.n, n_threads, grain, [&](std::size_t begin, std::size_t end) {
        std::vector<std::uint32_t> above(8 * n_bytes);
        std::size_t n_open = 0;
        for (std::size_t i = begin; i < end; ++i) {
            const float* x = rows.rows + i * n_features;
            const float* product = rows.products + i * n_bits;
            const float error = rows.errors == nullptr ? 0 : rows.errors[i];
            const float length = length_of(x, n_features);
            const float bound = (of_length + error) * length + of_intercept;
            std::uint32_t open = 0;
            for (std::size_t l = 0; l < n_bits; ++l) {  // values of one size, which compilers keep in vectors
                const float p = product[l] + directions.intercepts[l];
                above[l] = p > 0 ? 1 : 0;
                open += std::abs(p) > bound ? 0u : 1u;
            }
            bool is_settled = length <= longest_row && n_open <= settled_per_row * (i - begin + lanes);
            n_open += open;
            for (std::size_t l = 0; is_settled && open != 0 && l < n_bits; ++l) {
                if (std::abs(product[l] + directions.intercepts[l]) > bound) continue;
                const Sign sign = settle(x, error, directions.mean, directions.weights + l * n_features, n_features);
                above[l] = sign == Sign::above ? 1 : 0;
                is_settled = sign != Sign::in_doubt;
            }
            for (std::size_t b = 0; b < n_bytes; ++b) codes[i * n_bytes + b] = packed(above.data() + 8 * b);
            doubtful[i] = is_settled ? 0 : 1;
        }
    });
}

}  // namespace pyhash
