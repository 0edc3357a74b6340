// Codes in hash tables over substrings: runs of bits that together are the whole code (multi-index hashing, Norouzi,
// Punjani and Fleet, 2012). Codes at distance d from a query are within floor(d / m) of it in one of m substrings, so a
// search looks at the buckets whose number is near the query's substring, and leaves all other codes unread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "core/aligned_buffer.hpp"
#include "core/code_view.hpp"
#include "core/kernel_table.hpp"

namespace pyhash {

// How many tables there are, and whether each has a copy of the codes in the order of its buckets: a search then reads
// a bucket as one run of memory, not each code of it where it happens to be.
struct TableForm {
    std::size_t n_tables = 0;
    bool with_codes = false;

    friend bool operator==(const TableForm&, const TableForm&) = default;
};

// Bits [first, first + n) of a code.
struct BitRun {
    std::size_t first, n;
};

// Immutable. Table t has a bucket for each value of its run of bits, and `slots` numbered 0 to n - 1 in the order of
// buckets: a bucket is a range of slots, a slot holds the position of a code. In a bucket positions ascend.
//
// All is in one block of bytes, which depends on the codes and the form alone, so it can be a file. For each table,
// each part zero-padded to 64 bytes: 2^bits + 1 offsets (uint32): the first slot of each bucket, and n; n positions
// (uint32); with codes, n codes.
class SubstringTables {
public:
    static constexpr std::size_t max_run_bits = 24;

    // The size of the block. std::invalid_argument where the form has no table, more tables than bits, or a run longer
    // than max_run_bits.
    static std::size_t bytes_of(std::size_t n, std::size_t n_bytes_of_code, TableForm form);

    // The bits of table t of so many tables of codes of n_bits.
    static BitRun run_of(std::size_t n_bits, std::size_t n_tables, std::size_t t) {
        const std::size_t first = t * n_bits / n_tables;
        return {first, (t + 1) * n_bits / n_tables - first};
    }

    // Builds the tables. The codes are not kept. Fewer than 2^32.
    SubstringTables(CodeView codes, TableForm form, std::size_t n_threads);

    // A view of such a block, which is not copied. It is not trusted: damaged tables give wrong hits or
    // std::runtime_error from the functions below that check, and nothing outside of the block is read.
    // std::invalid_argument where its size is not bytes_of(codes.n, codes.n_bytes, form).
    SubstringTables(CodeView codes, TableForm form, std::span<const std::uint8_t> bytes);

    TableForm form() const { return form_; }
    std::span<const std::uint8_t> bytes() const { return {bytes_, n_table_bytes_}; }
    std::size_t n_codes() const { return n_; }

    std::size_t n_tables() const { return tables_.size(); }
    BitRun run(std::size_t table) const { return tables_[table].run; }
    std::size_t n_buckets(std::size_t table) const { return std::size_t{1} << tables_[table].run.n; }

    // The bits of a code that choose its bucket, the first bit lowest.
    std::uint32_t substring(std::size_t table, const std::uint8_t* code) const {
        const Table& t = tables_[table];
        std::uint32_t word = 0;
        if (word_bytes_ == sizeof word) {
            std::memcpy(&word, code + t.first_byte, sizeof word);
        } else {
            std::memcpy(&word, code, word_bytes_);
        }
        return (word >> t.shift) & t.mask;
    }

    // The slots of a bucket. Throws std::runtime_error where the offsets are damaged.
    CodeRun bucket(std::size_t table, std::uint32_t value) const {
        const std::uint8_t* offset = bytes_ + tables_[table].offsets + value * sizeof(std::uint32_t);
        const CodeRun slots{load(offset), load(offset + sizeof(std::uint32_t))};
        if (slots.begin > slots.end || slots.end > n_) throw_damaged();
        return slots;
    }

    // The position of the code in a slot below n. Throws std::runtime_error where it is damaged.
    std::uint32_t position(std::size_t table, std::size_t slot) const {
        const std::uint32_t position = load(bytes_ + tables_[table].positions + slot * sizeof(std::uint32_t));
        if (position >= n_) throw_damaged();
        return position;
    }

    // The codes in the order of slots, or nullptr in a form without codes.
    const std::uint8_t* codes(std::size_t table) const {
        return form_.with_codes ? bytes_ + tables_[table].codes : nullptr;
    }

    // Ask for memory that will be read soon.
    void prefetch_bucket(std::size_t table, std::uint32_t value) const {
        __builtin_prefetch(bytes_ + tables_[table].offsets + value * sizeof(std::uint32_t));
    }
    void prefetch_position(std::size_t table, std::size_t slot) const {
        __builtin_prefetch(bytes_ + tables_[table].positions + slot * sizeof(std::uint32_t));
    }

    [[noreturn]] static void throw_damaged();

private:
    struct Table {
        BitRun run;
        std::size_t first_byte, shift;  // of the four bytes of a code that hold the run
        std::uint32_t mask;
        std::size_t offsets, positions, codes;  // where they begin in the block
    };

    SubstringTables(CodeView codes, TableForm form);
    static std::uint32_t load(const std::uint8_t* from) {  // a mapped block may begin anywhere
        std::uint32_t value;
        std::memcpy(&value, from, sizeof value);
        return value;
    }
    void build(CodeView codes, std::size_t n_threads);

    TableForm form_;
    std::size_t n_, n_bytes_, word_bytes_, n_table_bytes_ = 0;
    std::vector<Table> tables_;
    std::optional<AlignedBuffer<std::uint8_t>> memory_;  // where the tables were built here
    const std::uint8_t* bytes_ = nullptr;
};

}  // namespace pyhash
