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

// Written slots of about so many bytes at a time; but not more ranges than that, for each reads all codes.
constexpr std::size_t range_bytes = std::size_t{2} << 20, most_ranges = 8;

// A length that the compiler knows takes one instruction.
void copy_code(const std::uint8_t* from, std::uint8_t* to, std::size_t n_bytes) {
    switch (n_bytes) {
        case 8: std::memcpy(to, from, 8); break;
        case 16: std::memcpy(to, from, 16); break;
        default: std::memcpy(to, from, n_bytes); break;
    }
}

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

// Counting sorts. The codes of a range of buckets go to their slots together, so that these stay in the caches: reading
// all codes once for each range costs less than writing here and there in all of the memory.
void SubstringTables::build(CodeView codes, std::size_t n_threads) {
    const std::size_t m = n_tables(), n_slot_bytes = sizeof(std::uint32_t) + (form_.with_codes ? n_bytes_ : 0);
    const std::size_t n_ranges = std::clamp<std::size_t>(n_ * n_slot_bytes / range_bytes, 1, most_ranges);
    std::vector<std::vector<std::uint32_t>> next_slots(m);  // of each bucket; before that, how many codes it has
    const auto each = [n_threads](std::size_t n_tasks, const auto& work) {
        parallel_for(n_tasks, n_threads, 1, [&](std::size_t begin, std::size_t end) {
            for (std::size_t task = begin; task < end; ++task) work(task);
        });
    };
    each(m, [&](std::size_t t) {
        std::vector<std::uint32_t>& next = next_slots[t];
        next.resize(n_buckets(t));
        for (std::size_t i = 0; i < n_; ++i) ++next[substring(t, codes.row(i))];
        std::uint8_t* offset = memory_->data() + tables_[t].offsets;
        std::uint32_t slot = 0;
        for (std::uint32_t& count : next) {
            store(offset, slot);
            offset += sizeof slot;
            slot += std::exchange(count, slot);
        }
        store(offset, slot);
    });
    std::vector<std::uint32_t> first_buckets(m * (n_ranges + 1));  // of each range; then the end of the last
    each(first_buckets.size(), [&](std::size_t i) {
        const std::vector<std::uint32_t>& firsts = next_slots[i / (n_ranges + 1)];
        const std::size_t range = i % (n_ranges + 1);
        const auto bucket = range == n_ranges ? firsts.end() : std::ranges::lower_bound(firsts, n_ * range / n_ranges);
        first_buckets[i] = static_cast<std::uint32_t>(bucket - firsts.begin());
    });
    each(m * n_ranges, [&](std::size_t task) {
        const std::size_t t = task / n_ranges;
        const std::uint32_t* const range = first_buckets.data() + t * (n_ranges + 1) + task % n_ranges;
        std::uint8_t* const positions = memory_->data() + tables_[t].positions;
        std::uint8_t* const copies = memory_->data() + tables_[t].codes;
        for (std::size_t i = 0; i < n_; ++i) {
            const std::uint32_t bucket = substring(t, codes.row(i));
            if (bucket < range[0] || bucket >= range[1]) continue;
            const std::size_t slot = next_slots[t][bucket]++;
            store(positions + slot * sizeof(std::uint32_t), static_cast<std::uint32_t>(i));
            if (form_.with_codes) copy_code(codes.row(i), copies + slot * n_bytes_, n_bytes_);
        }
    });
}

}  // namespace pyhash
