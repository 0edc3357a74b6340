// Tables over substrings, and searches through them against distances counted bit by bit and sorted.
#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "check.hpp"
#include "core/cpu_level.hpp"
#include "core/multi_index_search.hpp"
#include "core/substring_tables.hpp"

using namespace pyhash;

struct Codes {
    std::size_t n, n_bytes;
    std::vector<std::uint8_t> bytes;

    Codes(std::vector<std::uint8_t> data, std::size_t code_bytes)
        : n(data.size() / code_bytes), n_bytes(code_bytes), bytes(std::move(data)) {}
    CodeView view() const { return {bytes.data(), n, n_bytes}; }
    std::uint8_t* row(std::size_t i) { return bytes.data() + i * n_bytes; }
};

static bool bit_of(const std::uint8_t* code, std::size_t bit) { return ((code[bit / 8] >> (bit % 8)) & 1) != 0; }

static HitList<std::uint32_t> by_definition(const std::uint8_t* query, CodeView codes,
                                            const Wanted<std::uint32_t>& wanted, RowMask mask) {
    HitList<std::uint32_t> hits;
    for (std::size_t i = 0; i < codes.n; ++i) {
        std::uint32_t distance = 0;
        for (std::size_t bit = 0; bit < 8 * codes.n_bytes; ++bit)
            distance += bit_of(query, bit) != bit_of(codes.row(i), bit);
        const bool allowed = mask == nullptr || bit_of(mask, i);
        if (allowed && distance <= wanted.radius) hits.push_back({distance, static_cast<std::uint32_t>(i)});
    }
    std::sort(hits.begin(), hits.end());
    std::size_t n = std::min(hits.size(), wanted.k);
    while (wanted.all_ties && n > 0 && n < hits.size() && hits[n].distance == hits[n - 1].distance) ++n;
    hits.resize(n);
    return hits;
}

static bool same(const HitList<std::uint32_t>& a, const HitList<std::uint32_t>& b) {
    return std::ranges::equal(
        a, b, [](const auto& x, const auto& y) { return x.distance == y.distance && x.position == y.position; });
}

// Codes that differ from a few in about one bit of `one_in`: with one, equal codes.
static Codes clustered(Random& random, std::size_t n, std::size_t n_bytes, std::size_t n_centres, std::size_t one_in) {
    const auto centres = random_bytes(random, n_centres * n_bytes);
    Codes codes(std::vector<std::uint8_t>(n * n_bytes), n_bytes);
    for (std::size_t i = 0; i < n; ++i) {
        std::copy_n(centres.data() + random() % n_centres * n_bytes, n_bytes, codes.row(i));
        for (std::size_t bit = 0; bit < 8 * n_bytes && one_in > 0; ++bit) {
            if (random() % one_in == 0) codes.row(i)[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
        }
    }
    return codes;
}

// A row of the codes, one nearby, one opposite to a row, and two that have nothing to do with them.
static Codes queries_for(Random& random, const Codes& codes) {
    Codes queries(random_bytes(random, 5 * codes.n_bytes), codes.n_bytes);
    if (codes.n == 0) return queries;
    for (std::size_t q = 0; q < 3; ++q)
        std::copy_n(codes.view().row(random() % codes.n), codes.n_bytes, queries.row(q));
    queries.row(1)[0] ^= 5;
    for (std::size_t j = 0; j < codes.n_bytes; ++j) queries.row(2)[j] = static_cast<std::uint8_t>(~queries.row(2)[j]);
    return queries;
}

static std::vector<std::uint8_t> mask_of(Random& random, std::size_t n, std::size_t one_in) {
    std::vector<std::uint8_t> mask(mask_bytes(n));
    for (std::size_t i = 0; i < n; ++i) {
        if (one_in > 0 && random() % one_in == 0) mask[i / 8] |= static_cast<std::uint8_t>(1u << (i % 8));
    }
    return mask;
}

static Wanted<std::uint32_t> wanted_of(std::size_t k, std::uint32_t radius, bool all_ties) {
    Wanted<std::uint32_t> wanted;
    wanted.k = k;
    wanted.radius = radius;
    wanted.all_ties = all_ties;
    return wanted;
}

static void agrees_with_definition(const Codes& codes, TableForm form, Random& random) {
    const SubstringTables tables(codes.view(), form, 2);
    CHECK(tables.bytes().size() == SubstringTables::bytes_of(codes.n, codes.n_bytes, form));
    // A view that begins at an odd address, on memory of the very size.
    std::vector<std::uint8_t> copy(tables.bytes().size() + 1);
    std::ranges::copy(tables.bytes(), copy.begin() + 1);
    const SubstringTables view(codes.view(), form, std::span<const std::uint8_t>(copy).subspan(1));

    const Codes queries = queries_for(random, codes);
    constexpr auto no_radius = std::numeric_limits<std::uint32_t>::max();
    constexpr auto no_k = std::numeric_limits<std::size_t>::max();
    const auto n_bits = static_cast<std::uint32_t>(8 * codes.n_bytes);
    std::vector<std::vector<std::uint8_t>> masks;
    for (const std::size_t one_in : Sizes{0, 1, 2, 100}) masks.push_back(mask_of(random, codes.n, one_in));
    masks.push_back(mask_of(random, codes.n, 0));  // one row alone
    if (codes.n > 0) masks.back()[(codes.n - 1) / 8] |= static_cast<std::uint8_t>(1u << ((codes.n - 1) % 8));
    std::vector<Wanted<std::uint32_t>> limits;
    for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{10}, codes.n, codes.n + 5}) {
        limits.push_back(wanted_of(k, no_radius, k % 2 == 1));
        limits.push_back(wanted_of(k, 3, false));
    }
    limits.push_back(wanted_of(3, n_bits / 2, true));
    for (const std::uint32_t radius : {0u, 1u, n_bits / 4, n_bits}) limits.push_back(wanted_of(no_k, radius, false));

    for (std::size_t i = 0; i < limits.size(); ++i) {
        for (std::size_t m = 0; m <= masks.size(); ++m) {
            if (quick() && (i + m) % 3 != 0) continue;
            const RowMask mask = m == masks.size() ? nullptr : masks[m].data();
            std::vector<HitList<std::uint32_t>> expected;
            expected.reserve(queries.n);
            for (std::size_t q = 0; q < queries.n; ++q) {
                expected.push_back(by_definition(queries.view().row(q), codes.view(), limits[i], mask));
            }
            const auto levels = levels_to_test();
            set_cpu_level(levels[(i + m) % levels.size()]);
            const MultiIndexHits found = multi_index_search(selected_kernels(), queries.view(), codes.view(),
                                                            m % 2 == 0 ? tables : view, limits[i], mask, 1 + i % 3);
            CHECK(found.given_up.empty() && std::ranges::equal(found.lists, expected, same));
        }
    }
}

// Few codes and many, by themselves and repeated, few bits and many, divisible by the number of tables or not.
static void searches_agree_with_definition() {
    Random random(1);
    for (const bool with_codes : {false, true}) {
        for (const std::size_t n : Sizes{0, 1, 2, 300}) {
            for (const TableForm form :
                 {TableForm{1, with_codes}, TableForm{3, with_codes}, TableForm{8, with_codes}}) {
                agrees_with_definition(clustered(random, n, 1, n, 8), form, random);
            }
            agrees_with_definition(clustered(random, n, 3, 5, 12), {5, with_codes}, random);
            agrees_with_definition(clustered(random, n, 8, 3, 12), {7, with_codes}, random);
            agrees_with_definition(clustered(random, n, 17, 3, 20), {12, with_codes}, random);
        }
        agrees_with_definition(clustered(random, 6000, 2, 2, 0), {2, with_codes}, random);  // equal codes
        agrees_with_definition(clustered(random, 5000, 4, 30, 15), {3, with_codes}, random);
        agrees_with_definition(clustered(random, 2500, 8, 2500, 4), {8, with_codes}, random);
        agrees_with_definition(clustered(random, 1500, 16, 5, 10), {12, with_codes}, random);
    }
    for (const std::uint8_t ones : std::vector<std::uint8_t>{1, 3, 7}) {  // one to three bits
        Codes codes = clustered(random, 2000, 1, 200, 2);
        for (auto& byte : codes.bytes) byte &= ones;
        agrees_with_definition(codes, {2, true}, random);
    }
}

// A bucket whose k hits are enough of it does not hide a code as far away and with a lower position in another bucket.
static void ties_of_other_buckets_are_kept() {
    Codes codes(std::vector<std::uint8_t>(2 * 1000), 2);
    for (std::size_t i = 0; i < codes.n; ++i) codes.row(i)[0] = i == 0 ? 2 : 1;
    for (std::size_t i = 0; i < codes.n; ++i) codes.row(i)[1] = 3;
    const std::vector<std::uint8_t> zero(2);
    for (const std::size_t k : Sizes{1, 10, 100, 999}) {
        const auto found =
            multi_index_search(selected_kernels(), {zero.data(), 1, 2}, codes.view(),
                               SubstringTables(codes.view(), {2, true}, 1), wanted_of(k, 16, false), nullptr, 1);
        CHECK(same(found.lists[0], by_definition(zero.data(), codes.view(), wanted_of(k, 16, false), nullptr)));
    }
}

// The k-th distance was found in a bucket that stands behind the long one: what is left of the long one comes before.
static void ties_of_a_long_bucket_are_kept() {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < 2000; ++i) bytes.insert(bytes.end(), {0, 255});
    bytes.insert(bytes.end(), {0, 3, 1, 7});  // rows 2000 and 2001, as far from the query
    const CodeView codes{bytes.data(), 2002, 2};
    const std::vector<std::uint8_t> query{1, 0};
    for (const bool with_codes : {true, false}) {
        for (const std::size_t k : Sizes{1, 2, 3}) {
            const auto wanted = wanted_of(k, 16, false);
            const auto found = multi_index_search(selected_kernels(), {query.data(), 1, 2}, codes,
                                                  SubstringTables(codes, {2, with_codes}, 1), wanted, nullptr, 1);
            CHECK(same(found.lists[0], by_definition(query.data(), codes, wanted, nullptr)));
        }
    }
}

// What the tables hold, by their definition; the bytes do not depend on the threads.
static void tables_are_complete(const Codes& codes, std::initializer_list<TableForm> forms) {
    for (const TableForm form : forms) {
        const SubstringTables tables(codes.view(), form, 1);
        std::size_t first_bit = 0;
        for (std::size_t t = 0; t < tables.n_tables(); ++t) {
            const BitRun run = tables.run(t);
            CHECK(run.first == first_bit);
            first_bit += run.n;
            std::uint32_t slot = 0;
            for (std::uint32_t value = 0; value < tables.n_buckets(t); ++value) {
                const CodeRun slots = tables.bucket(t, value);
                CHECK(slots.begin == slot);
                for (; slot < slots.end; ++slot) {
                    const std::uint8_t* code = codes.view().row(tables.position(t, slot));
                    for (std::size_t bit = 0; bit < run.n; ++bit) {
                        CHECK(bit_of(code, run.first + bit) == (((value >> bit) & 1) != 0));
                    }
                    CHECK(tables.substring(t, code) == value);
                    CHECK(slot == slots.begin || tables.position(t, slot - 1) < tables.position(t, slot));
                    CHECK(!form.with_codes ||
                          std::equal(code, code + codes.n_bytes, tables.codes(t) + slot * codes.n_bytes));
                }
            }
            CHECK(slot == codes.n);
        }
        CHECK(first_bit == 8 * codes.n_bytes);
        for (const std::size_t threads : Sizes{2, 7}) {
            CHECK(std::ranges::equal(SubstringTables(codes.view(), form, threads).bytes(), tables.bytes()));
        }
    }
}

// A query is given up or its list is whole, whatever the limit; those that cost more than the limit are given up.
static void costly_queries_are_given_up() {
    Random random(3);
    const Codes codes = clustered(random, 4000, 8, 50, 10), queries = queries_for(random, codes);
    const SubstringTables tables(codes.view(), {4, true}, 1);
    const auto wanted = wanted_of(10, 64, false);
    std::size_t n_given_up = 0;
    for (const double most_cost : {0.0, 1e3, 1e4, 1e5, 1e6, 1e9}) {
        const auto found =
            multi_index_search(selected_kernels(), queries.view(), codes.view(), tables, wanted, nullptr, 1, most_cost);
        CHECK(found.cost <= most_cost * static_cast<double>(queries.n));
        for (std::size_t q = 0; q < queries.n; ++q) {
            const bool given_up = std::ranges::binary_search(found.given_up, q);
            CHECK(given_up ? found.lists[q].empty()
                           : same(found.lists[q], by_definition(queries.view().row(q), codes.view(), wanted, nullptr)));
        }
        CHECK(most_cost > 0 || found.given_up.size() == queries.n);
        CHECK(most_cost < 1e9 || found.given_up.empty());
        n_given_up += found.given_up.size();
    }
    CHECK(n_given_up < 6 * queries.n);
}

// Whatever the bytes of a view: hits, maybe wrong ones, or std::runtime_error. Where all of it is damaged, the error.
static void damaged_tables_are_found() {
    Random random(4);
    for (const bool with_codes : {false, true}) {
        const Codes codes = clustered(random, 500, 4, 10, 10), queries = queries_for(random, codes);
        const TableForm form{3, with_codes};
        const SubstringTables tables(codes.view(), form, 1);
        const std::vector<std::uint8_t> whole(tables.bytes().begin(), tables.bytes().end());
        const auto search = [&](const std::vector<std::uint8_t>& bytes, RowMask mask) {
            const SubstringTables view(codes.view(), form, std::span(bytes));
            multi_index_search(selected_kernels(), queries.view(), codes.view(), view, wanted_of(500, 32, true), mask,
                               2);
        };
        const auto mask = mask_of(random, codes.n, 2);
        search(whole, nullptr);
        for (const std::uint8_t byte : std::vector<std::uint8_t>{0x7f, 0xff}) {
            CHECK_THROWS(search(std::vector<std::uint8_t>(whole.size(), byte), nullptr), std::runtime_error);
        }
        std::size_t n_thrown = 0;
        for (std::size_t round = 0; round < 300; ++round) {
            std::vector<std::uint8_t> bytes = whole;
            const std::size_t n_damaged = round % 3 == 0 ? 1 : random() % (bytes.size() / 8);
            for (std::size_t i = 0; i < n_damaged; ++i)
                bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(random());
            try {
                search(bytes, round % 2 == 0 ? nullptr : mask.data());
            } catch (const std::runtime_error&) {
                ++n_thrown;
            }
        }
        CHECK(n_thrown > 100);
        CHECK_THROWS(search({whole.begin(), whole.end() - 64}, nullptr), std::invalid_argument);
        // Buckets of the first table that overlap: every second is all of it.
        std::vector<std::uint8_t> bytes = whole;
        for (std::size_t value = 0; value <= tables.n_buckets(0); ++value) {
            const auto offset = static_cast<std::uint32_t>(value % 2 * codes.n);
            std::memcpy(bytes.data() + sizeof offset * value, &offset, sizeof offset);
        }
        CHECK_THROWS(search(bytes, nullptr), std::runtime_error);
    }
}

static void forms_are_checked() {
    CHECK_THROWS(SubstringTables::bytes_of(10, 8, {0, true}), std::invalid_argument);
    CHECK_THROWS(SubstringTables::bytes_of(10, 8, {2, true}), std::invalid_argument);  // 32 bits a table
    CHECK_THROWS(SubstringTables::bytes_of(10, 1, {9, true}), std::invalid_argument);
    CHECK_THROWS(SubstringTables::bytes_of(10, 0, {1, true}), std::invalid_argument);
    CHECK(SubstringTables::bytes_of(10, 1, {1, true}) == 1088 + 64 + 64);
}

int main() {
    searches_agree_with_definition();
    ties_of_other_buckets_are_kept();
    ties_of_a_long_bucket_are_kept();
    Random random(2);
    tables_are_complete(clustered(random, 20'000, 5, 40, 6), {{3, true}, {4, false}});
    Codes many({random_bytes(random, 3 * 1'000'000)}, 3);  // so many that tables are built in parts
    std::fill_n(many.bytes.begin(), many.bytes.size() / 2, std::uint8_t{9});
    tables_are_complete(many, {{2, true}});
    costly_queries_are_given_up();
    damaged_tables_are_found();
    forms_are_checked();
}
