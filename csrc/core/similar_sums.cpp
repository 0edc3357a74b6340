#include "core/similar_sums.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/aligned_buffer.hpp"
#include "core/cpu_level.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

constexpr std::size_t sets_per_block = 64;  // one bit each of a word
constexpr std::size_t sets_per_table = 4;
constexpr std::size_t tables_per_block = sets_per_block / sets_per_table;
constexpr std::size_t subsets = std::size_t{1} << sets_per_table;

// The labels of some packed sets, as numbers: those of set i are [offsets[i], offsets[i + 1]).
struct LabelLists {
    explicit LabelLists(CodeView sets) {
        offsets.reserve(sets.n + 1);
        offsets.push_back(0);
        for (std::size_t i = 0; i < sets.n; ++i) {
            for (std::size_t j = 0; j < sets.n_bytes; ++j) {
                for (unsigned rest = sets.row(i)[j]; rest != 0; rest &= rest - 1) {
                    labels.push_back(static_cast<std::uint32_t>(8 * j) +
                                     static_cast<std::uint32_t>(std::countr_zero(rest)));
                }
            }
            offsets.push_back(labels.size());
        }
    }

    std::vector<std::size_t> offsets;
    std::vector<std::uint32_t> labels;
};

// The columns of 64 sets: bit i of word l says whether set i has label l.
void fill_columns(CodeView sets, std::size_t first, std::size_t n, std::vector<std::uint64_t>& columns) {
    std::fill(columns.begin(), columns.end(), 0);
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint8_t* set = sets.row(first + i);
        for (std::size_t j = 0; j < sets.n_bytes; ++j) {
            for (unsigned rest = set[j]; rest != 0; rest &= rest - 1) {
                columns[8 * j + static_cast<std::size_t>(std::countr_zero(rest))] |= std::uint64_t{1} << i;
            }
        }
    }
}

// Of each four sets, the sums of all sixteen subsets: set s of the four belongs to those whose bit s is 1.
template <class Value>
void fill_tables(const double* values, std::size_t n_values, std::size_t n_sets, std::size_t n_lanes, Value* tables) {
    std::fill_n(tables, tables_per_block * subsets * sum_lanes, Value{0});
    for (std::size_t i = 0; i < n_sets; ++i) {
        Value* table = tables + i / sets_per_table * subsets * sum_lanes;
        const std::size_t bit = std::size_t{1} << (i % sets_per_table);
        const double* row = values + i * n_values;
        for (std::size_t rest = 0; rest < bit; ++rest) {
            for (std::size_t lane = 0; lane < n_lanes; ++lane) {
                table[(bit + rest) * sum_lanes + lane] = table[rest * sum_lanes + lane] + static_cast<Value>(row[lane]);
            }
        }
    }
}

// Queries [begin, end): for each 64 sets, which of them are similar is one word a query, made of the columns of its
// labels; four bits of it at a time choose a sum.
template <class Value>
void sum_range(const KernelTable& kernels, CodeView queries, CodeView sets, const double* values, std::size_t n_values,
               std::size_t begin, std::size_t end, double* out) {
    const LabelLists lists({queries.row(begin), end - begin, queries.n_bytes});
    const std::size_t n = end - begin, n_chunks = (n_values + sum_lanes - 1) / sum_lanes;
    std::vector<std::uint64_t> columns(8 * sets.n_bytes), similar(n);
    AlignedBuffer<Value> tables(tables_per_block * subsets * sum_lanes), sums(n * n_chunks * sum_lanes);
    for (std::size_t first = 0; first < sets.n; first += sets_per_block) {
        const std::size_t n_sets = std::min(sets_per_block, sets.n - first);
        fill_columns(sets, first, n_sets, columns);
        for (std::size_t i = 0; i < n; ++i) {
            similar[i] = 0;
            for (std::size_t l = lists.offsets[i]; l < lists.offsets[i + 1]; ++l) {
                similar[i] |= columns[lists.labels[l]];
            }
        }
        for (std::size_t chunk = 0; chunk < n_chunks; ++chunk) {
            const std::size_t lane = chunk * sum_lanes;
            fill_tables(values + first * n_values + lane, n_values, n_sets, std::min(sum_lanes, n_values - lane),
                        tables.data());
            Value* of_chunk = sums.data() + chunk * n * sum_lanes;
            if constexpr (std::is_same_v<Value, double>) {
                kernels.add_chosen_f64(similar.data(), n, tables.data(), of_chunk);
            } else {
                kernels.add_chosen_i32(similar.data(), n, tables.data(), of_chunk);
            }
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t l = 0; l < n_values; ++l) {
            out[(begin + i) * n_values + l] =
                static_cast<double>(sums[(l / sum_lanes * n + i) * sum_lanes + l % sum_lanes]);
        }
    }
}

// Whether no sum of some of the rows leaves int32, or has a fraction.
bool fits_int32(const double* values, std::size_t n, std::size_t n_values) {
    std::vector<double> magnitudes(n_values, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t l = 0; l < n_values; ++l) {
            const double value = values[i * n_values + l];
            if (value != std::trunc(value)) return false;
            magnitudes[l] += std::abs(value);
        }
    }
    return std::all_of(magnitudes.begin(), magnitudes.end(),
                       [](double sum) { return sum <= std::numeric_limits<std::int32_t>::max(); });
}

}  // namespace

void sum_similar(CodeView queries, CodeView sets, const double* values, std::size_t n_values, std::size_t n_threads,
                 double* out) {
    const KernelTable& kernels = selected_kernels();
    const bool small = fits_int32(values, sets.n, n_values);
    parallel_for(queries.n, n_threads, worth_a_thread::summed_queries, [&](std::size_t begin, std::size_t end) {
        (small ? sum_range<std::int32_t> : sum_range<double>)(kernels, queries, sets, values, n_values, begin, end,
                                                              out);
    });
}

}  // namespace pyhash
