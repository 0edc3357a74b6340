// Sums of chosen rows, by vectors of one type of value (`Type`) that a kernel file gives: Value, Vector, width, load,
// store, add.
//
// Each level compiles this for its own instructions, in a namespace of its own: see core/kernel_table.hpp.
#ifndef PYHASH_KERNELS_ADD_CHOSEN_ROWS_HPP
#define PYHASH_KERNELS_ADD_CHOSEN_ROWS_HPP

#if !defined(PYHASH_LEVEL)
#error "define PYHASH_LEVEL, the namespace of the level, before this header"
#endif

#include <cstddef>
#include <cstdint>

#include "core/kernel_table.hpp"

namespace pyhash::PYHASH_LEVEL {

// Sums that words choose from tables, nibble by nibble in ascending order, while a row stays in registers. No tail:
// rows have sum_lanes values. Cost: a load and an addition of each vector of a row for four bits of a word.
template <class Type>
void add_chosen_rows(const std::uint64_t* words, std::size_t n, const typename Type::Value* tables,
                     typename Type::Value* sums) {
    constexpr std::size_t width = Type::width, n_vectors = sum_lanes / width;
    for (std::size_t i = 0; i < n; ++i, sums += sum_lanes) {
        typename Type::Vector row[n_vectors];
#pragma GCC unroll 8
        for (std::size_t v = 0; v < n_vectors; ++v) row[v] = Type::load(sums + v * width);
        const typename Type::Value* table = tables;
        for (std::uint64_t word = words[i]; word != 0; word >>= 4, table += 16 * sum_lanes) {
            const typename Type::Value* chosen = table + (word & 15) * sum_lanes;
#pragma GCC unroll 8
            for (std::size_t v = 0; v < n_vectors; ++v) row[v] = Type::add(row[v], Type::load(chosen + v * width));
        }
#pragma GCC unroll 8
        for (std::size_t v = 0; v < n_vectors; ++v) Type::store(sums + v * width, row[v]);
    }
}

}  // namespace pyhash::PYHASH_LEVEL

#endif
