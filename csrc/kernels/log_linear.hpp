// Log-linear models over codes, for bayes_lanes queries side by side, by vectors of `Lanes` (float_lanes.hpp).
//
// A gradient is two products of a matrix M and one vector for each query: with M itself, and with M transposed. Where M
// holds only -1 and +1, four terms at a time are looked up: of four values x the sums of all sixteen signs,
// (+-x_0 +-x_1) + (+-x_2 +-x_3), are made once for all rows of M. That costs a quarter of the additions and no
// products.
//
// Cost of a step: 2 n_codes n_bits multiplications and additions, or an eighth of it by look-ups, and n_codes
// exponentials.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_LOG_LINEAR_HPP
#define PYHASH_KERNELS_LOG_LINEAR_HPP

#include "core/kernel_table.hpp"
#include "kernels/float_lanes.hpp"

namespace pyhash::PYHASH_LEVEL {

template <class Lanes>
struct LogLinear {
    using Vector = typename Lanes::Vector;
    static constexpr std::size_t n_vectors = bayes_lanes / Lanes::width;
    static constexpr std::size_t table_size = 16 * bayes_lanes;
    static constexpr std::size_t tables_at_a_time = LogLinearProblem::nibbles_at_a_time;

    // A row of bayes_lanes values.
    struct Row {
        Vector v[n_vectors];

        static Row load(const float* from) {
            Row row;
            for (std::size_t k = 0; k < n_vectors; ++k) row.v[k] = Lanes::load(from + k * Lanes::width);
            return row;
        }
        static Row set(float x) {
            Row row;
            for (std::size_t k = 0; k < n_vectors; ++k) row.v[k] = Lanes::set(x);
            return row;
        }
        void store(float* to) const {
            for (std::size_t k = 0; k < n_vectors; ++k) Lanes::store(to + k * Lanes::width, v[k]);
        }
        friend Row operator+(const Row& a, const Row& b) {
            Row row;
            for (std::size_t k = 0; k < n_vectors; ++k) row.v[k] = a.v[k] + b.v[k];
            return row;
        }
        friend Row operator-(const Row& a, const Row& b) {
            Row row;
            for (std::size_t k = 0; k < n_vectors; ++k) row.v[k] = a.v[k] - b.v[k];
            return row;
        }
        friend Row operator*(const Row& a, const Row& b) {
            Row row;
            for (std::size_t k = 0; k < n_vectors; ++k) row.v[k] = a.v[k] * b.v[k];
            return row;
        }
        friend Row operator*(float a, const Row& b) {
            Row row;
            for (std::size_t k = 0; k < n_vectors; ++k) row.v[k] = a * b.v[k];
            return row;
        }
        static Row largest(const Row& a, const Row& b) {
            Row row;
            for (std::size_t k = 0; k < n_vectors; ++k) row.v[k] = Lanes::choose(a.v[k] > b.v[k], a.v[k], b.v[k]);
            return row;
        }
    };

    static void fill_table(const float* x, std::size_t n, float* table) {
        Row of[4];
        for (std::size_t i = 0; i < 4; ++i) of[i] = i < n ? Row::load(x + i * bayes_lanes) : Row::set(0.0f);
        const Row low_sum = of[0] + of[1], low_difference = of[0] - of[1];
        const Row high_sum = of[2] + of[3], high_difference = of[2] - of[3];
        const Row zero = Row::set(0.0f);
        const Row low[4] = {zero - low_sum, low_difference, zero - low_difference, low_sum};
        const Row high[4] = {zero - high_sum, high_difference, zero - high_difference, high_sum};
        for (std::size_t signs = 0; signs < 16; ++signs) {
            (low[signs % 4] + high[signs / 4]).store(table + signs * bayes_lanes);
        }
    }

    template <std::size_t N>
    static Row add_chosen(Row sum, const std::uint8_t* signs, const float* tables) {
#pragma GCC unroll 16
        for (std::size_t j = 0; j < N; ++j) sum = sum + Row::load(tables + j * table_size + signs[j]);
        return sum;
    }

    // out (n_rows, lanes) = sum over i < n of the i-th sign of a row times x_i; x (n, lanes).
    static void signed_sums(const std::uint8_t* signs, std::size_t n_rows, std::size_t n, const float* x, float* tables,
                            float* out) {
        const std::size_t n_nibbles = (n + 3) / 4;
        for (std::size_t first = 0; first < n_nibbles; first += tables_at_a_time) {
            const std::size_t count = n_nibbles - first < tables_at_a_time ? n_nibbles - first : tables_at_a_time;
            for (std::size_t j = 0; j < count; ++j) {
                const std::size_t i = 4 * (first + j);
                fill_table(x + i * bayes_lanes, n - i, tables + j * table_size);
            }
            for (std::size_t row = 0; row < n_rows; ++row) {
                const std::uint8_t* chosen = signs + row * n_nibbles + first;
                float* to = out + row * bayes_lanes;
                Row sum = first == 0 ? Row::set(0.0f) : Row::load(to);
                if (count == tables_at_a_time) {
                    sum = add_chosen<tables_at_a_time>(sum, chosen, tables);
                } else {
                    for (std::size_t j = 0; j < count; ++j)
                        sum = add_chosen<1>(sum, chosen + j, tables + j * table_size);
                }
                sum.store(to);
            }
        }
    }

    // N rows at a time, so that each x_i is read once for all and additions do not wait for each other.
    template <std::size_t N>
    static void product_of(const float* matrix, std::size_t n, const float* x, float* out) {
        Row sums[N];
        for (std::size_t k = 0; k < N; ++k) sums[k] = Row::set(0.0f);
        for (std::size_t i = 0; i < n; ++i) {
            const Row row = Row::load(x + i * bayes_lanes);
#pragma GCC unroll 4
            for (std::size_t k = 0; k < N; ++k) sums[k] = sums[k] + matrix[k * n + i] * row;
        }
        for (std::size_t k = 0; k < N; ++k) sums[k].store(out + k * bayes_lanes);
    }

    // out (n_rows, lanes) = matrix (n_rows, n) times x (n, lanes).
    static void product(const float* matrix, std::size_t n_rows, std::size_t n, const float* x, float* out) {
        std::size_t row = 0;
        for (; row + 4 <= n_rows; row += 4) product_of<4>(matrix + row * n, n, x, out + row * bayes_lanes);
        for (; row < n_rows; ++row) product_of<1>(matrix + row * n, n, x, out + row * bayes_lanes);
    }

    static void code_sums(const LogLinearProblem& problem, const float* values, float* scratch, float* out) {
        if (problem.columns != nullptr) {
            product(problem.columns, problem.n_bits, problem.n_codes, values, out);
        } else {
            signed_sums(problem.column_signs, problem.n_bits, problem.n_codes, values, scratch, out);
        }
    }

    static void inner_products(const LogLinearProblem& problem, const float* f, float* scratch, float* out) {
        if (problem.codes != nullptr) {
            product(problem.codes, problem.n_codes, problem.n_bits, f, out);
        } else {
            signed_sums(problem.code_signs, problem.n_codes, problem.n_bits, f, scratch, out);
        }
    }

    // Exponentials of z (n, lanes), less the largest of each lane; returns their sums.
    static Row exponentials(float* z, std::size_t n) {
        Row largest = Row::load(z);
        for (std::size_t c = 1; c < n; ++c) largest = Row::largest(largest, Row::load(z + c * bayes_lanes));
        const Row least = Row::set(-87.0f);
        Row sum = Row::set(0.0f);
        for (std::size_t c = 0; c < n; ++c) {
            Row e = Row::largest(Row::load(z + c * bayes_lanes) - largest, least);
            for (std::size_t k = 0; k < n_vectors; ++k) e.v[k] = exp_of<Lanes>(e.v[k]);
            e.store(z + c * bayes_lanes);
            sum = sum + e;
        }
        return sum;
    }

    static void solve(const LogLinearProblem& problem, const float* target, float* scratch, float* weights) {
        const std::size_t n_values = problem.n_bits * bayes_lanes;
        float* tables = scratch;
        float* exponents = tables + tables_at_a_time * table_size;
        float* ahead = exponents + problem.n_codes * bayes_lanes;  // where the gradient is taken
        float* gradient = ahead + n_values;
        for (std::size_t i = 0; i < n_values; ++i) weights[i] = ahead[i] = 0.0f;
        for (std::size_t step = 0; step < problem.n_steps; ++step) {
            inner_products(problem, ahead, tables, exponents);
            const Row sum = exponentials(exponents, problem.n_codes);
            code_sums(problem, exponents, tables, gradient);
            Row scale;
            for (std::size_t k = 0; k < n_vectors; ++k) scale.v[k] = 1.0f / sum.v[k];
            const float momentum = static_cast<float>(step) / static_cast<float>(step + 3);
            for (std::size_t i = 0; i < n_values; i += bayes_lanes) {
                const Row at = Row::load(ahead + i);
                const Row slope = (Row::load(gradient + i) * scale - Row::load(target + i)) + problem.ridge * at;
                const Row next = at - problem.step * slope;
                (next + momentum * (next - Row::load(weights + i))).store(ahead + i);
                next.store(weights + i);
            }
        }
    }
};

}  // namespace pyhash::PYHASH_LEVEL

#endif
