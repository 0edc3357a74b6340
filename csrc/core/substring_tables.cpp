#include "core/substring_tables.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/parallel_for.hpp"

namespace pyhash {
namespace {

std::size_t padded(std::size_t n_bytes) { return (n_bytes + 63) / 64 * 64; }

void store(std::uint8_t* to, std::uint32_t value) { std::memcpy(to, &value, sizeof value); }

}  // namespace

SubstringTables::SubstringTables(CodeView codes, TableForm form)
    : form_(form), n_(codes.n), n_bytes_(codes.n_bytes), word_bytes_(std::min(codes.n_bytes, sizeof(std::uint32_t))) {
    const std::size_t n_bits = 8 * codes.n_bytes, m = form.n_tables;
    if (m == 0 || m > n_bits || (n_bits + m - 1) / m > max_run_bits) {
        throw std::invalid_argument("tables over substrings of 1 to " + std::to_string(max_run_bits) + " bits of " +
                                    std::to_string(n_bits) + " are possible, got " + std::to_string(m) + " tables");
    }
    tables_.reserve(m);
    for (std::size_t t = 0; t < m; ++t) {
        Table table{};
        table.run = run_of(n_bits, m, t);
        table.first_byte = std::min(table.run.first / 8, codes.n_bytes - word_bytes_);
        table.shift = table.run.first - 8 * table.first_byte;
        table.mask = (1u << table.run.n) - 1;
        const auto place = [this](std::size_t n_part_bytes) {
            const std::size_t begin = n_table_bytes_;
            n_table_bytes_ += padded(n_part_bytes);
            return begin;
        };
        table.offsets = place(((std::size_t{1} << table.run.n) + 1) * sizeof(std::uint32_t));
        table.positions = place(n_ * sizeof(std::uint32_t));
        table.codes = place(form.with_codes ? n_ * n_bytes_ : 0);
        tables_.push_back(table);
    }
}

std::size_t SubstringTables::bytes_of(std::size_t n, std::size_t n_bytes_of_code, TableForm form) {
    return SubstringTables(CodeView{nullptr, n, n_bytes_of_code}, form).n_table_bytes_;
}

SubstringTables::SubstringTables(CodeView codes, TableForm form, std::span<const std::uint8_t> bytes)
    : SubstringTables(codes, form) {
    if (bytes.size() != n_table_bytes_) {
        throw std::invalid_argument("the tables of these codes have " + std::to_string(n_table_bytes_) +
                                    " bytes, got " + std::to_string(bytes.size()));
    }
    bytes_ = bytes.data();
}

SubstringTables::SubstringTables(CodeView codes, TableForm form, std::size_t n_threads) : SubstringTables(codes, form) {
    memory_.emplace(n_table_bytes_);
    bytes_ = memory_->data();
    build(codes, n_threads);
}

void SubstringTables::throw_damaged() { throw std::runtime_error("the tables of the codes are damaged"); }

// Counting sorts, of the rows in slices where there are more threads than tables.
void SubstringTables::build(CodeView codes, std::size_t n_threads) {
    const std::size_t m = n_tables(), n_slices = std::clamp<std::size_t>((n_threads + m - 1) / m, 1, 1 + n_ / 65'536);
    std::vector<std::vector<std::uint32_t>> counts(m * n_slices);
    const auto each_row = [&](std::size_t task, const auto& visit) {
        const std::size_t slice = task % n_slices;
        for (std::size_t i = n_ * slice / n_slices; i < n_ * (slice + 1) / n_slices; ++i) {
            visit(i, counts[task][substring(task / n_slices, codes.row(i))]);
        }
    };
    const auto each = [n_threads](std::size_t n_tasks, const auto& work) {
        parallel_for(n_tasks, n_threads, 1, [&](std::size_t begin, std::size_t end) {
            for (std::size_t task = begin; task < end; ++task) work(task);
        });
    };
    each(counts.size(), [&](std::size_t task) {
        counts[task].resize(n_buckets(task / n_slices));
        each_row(task, [](std::size_t, std::uint32_t& count) { ++count; });
    });
    each(m, [&](std::size_t t) {
        std::uint8_t* offset = memory_->data() + tables_[t].offsets;
        std::uint32_t slot = 0;
        for (std::size_t value = 0; value < n_buckets(t); ++value, offset += sizeof slot) {
            store(offset, slot);
            for (std::size_t slice = 0; slice < n_slices; ++slice) {
                slot += std::exchange(counts[t * n_slices + slice][value], slot);
            }
        }
        store(offset, slot);
    });
    each(counts.size(), [&](std::size_t task) {
        const Table& table = tables_[task / n_slices];
        std::uint8_t* const positions = memory_->data() + table.positions;
        std::uint8_t* const copies = memory_->data() + table.codes;
        each_row(task, [&](std::size_t i, std::uint32_t& next) {
            const std::size_t slot = next++;
            store(positions + slot * sizeof(std::uint32_t), static_cast<std::uint32_t>(i));
            if (form_.with_codes) std::memcpy(copies + slot * n_bytes_, codes.row(i), n_bytes_);
        });
    });
}

TableForm best_form(std::size_t n, std::size_t n_bits, double bytes_per_code) {
    if (n == 0 || n_bits == 0) return {};
    // Buckets that hold a few dozen codes on average.
    const std::size_t n_bytes = (n_bits + 7) / 8;
    const std::size_t run_bits = n < 1'000'000 ? std::clamp<std::size_t>(std::bit_width(n) - 5, 4, 14) : 16;
    const TableForm form{std::max<std::size_t>(1, (8 * n_bytes + run_bits - 1) / run_bits), true};
    for (const bool with_codes : {true, false}) {
        const TableForm tried{form.n_tables, with_codes};
        const auto bytes = static_cast<double>(SubstringTables::bytes_of(n, n_bytes, tried));
        if (bytes <= bytes_per_code * static_cast<double>(n)) return tried;
    }
    return {};
}

}  // namespace pyhash
