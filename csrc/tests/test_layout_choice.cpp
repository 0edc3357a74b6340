// Which sets of codes get tables, and which searches go through them. All is decided by models, so it is the same on
// every machine.
#include <algorithm>
#include <cmath>
#include <string>

#include "check.hpp"
#include "core/code_set.hpp"
#include "core/cpu_level.hpp"
#include "core/layout_choice.hpp"
#include "core/multi_index_search.hpp"
#include "core/table_forecast.hpp"

using namespace pyhash;

// Codes around centres, each bit flipped with probability 1/16.
static std::vector<std::uint8_t> around_centres(std::size_t n, std::size_t n_bytes, std::size_t n_centres) {
    Random random(n + n_centres);
    const auto centres = random_bytes(random, n_centres * n_bytes);
    auto bytes = random_bytes(random, n * n_bytes);
    for (auto& byte : bytes) {
        for (int j = 0; j < 3; ++j) byte &= static_cast<std::uint8_t>(random());
    }
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint8_t* centre = centres.data() + random() % n_centres * n_bytes;
        for (std::size_t j = 0; j < n_bytes; ++j) bytes[i * n_bytes + j] ^= centre[j];
    }
    return bytes;
}

static SearchSize searches(CodeView codes, std::size_t n_queries) {
    SearchSize size;
    size.n_queries = n_queries;
    size.scan = scan_cost(codes, true, n_queries);
    return size;
}

static void tables_are_built_where_they_pay() {
    constexpr std::size_t n = 400'000;
    const auto near = around_centres(n, 8, 2000);
    const CodeView codes{near.data(), n, 8};
    const LayoutChoice choice(codes, false, Layout::automatic, 64);
    CHECK(!choice.worth_building(searches(codes, 1)));  // one search does not pay for them
    CHECK(choice.explain(searches(codes, 1), nullptr).second.starts_with("The scans so far took"));
    std::size_t n_searches = 1;
    while (n_searches < 10'000 && !choice.worth_building(searches(codes, 1))) ++n_searches;
    CHECK(n_searches > 100 && n_searches < 3000);
    CHECK(choice.form().value_or(TableForm{}).with_codes);
    CHECK(LayoutChoice(codes, false, Layout::automatic, 64).worth_building(searches(codes, 5000)));

    CHECK(!LayoutChoice(codes, true, Layout::automatic, 64).worth_building(searches(codes, 5000)));
    CHECK(!LayoutChoice(codes, false, Layout::scan, 64).worth_building(searches(codes, 5000)));
    CHECK(!LayoutChoice(codes, false, Layout::automatic, 64).worth_building({.n_queries = 5000, .rank = n}));
    CHECK(LayoutChoice(codes, false, Layout::multi_index, 64).worth_building(searches(codes, 1)));

    const CodeView few{near.data(), 4000, 8};
    const LayoutChoice of_few(few, false, Layout::automatic, 64);
    CHECK(!of_few.worth_building(searches(few, 1'000'000)));
    CHECK(of_few.explain(searches(few, 1), nullptr) ==
          std::pair(false, std::string("4,000 codes are too few for tables to be faster.")));
}

static void tables_are_not_built_for_codes_without_clusters() {
    constexpr std::size_t n = 100'000;
    Random random(3);
    const auto bytes = random_bytes(random, n * 16);
    const CodeView codes{bytes.data(), n, 16};
    const LayoutChoice choice(codes, false, Layout::automatic, 1000);
    CHECK(!choice.worth_building(searches(codes, 1'000'000)));
    const auto [multi_index, reason] = choice.explain(searches(codes, 1), nullptr);
    CHECK(!multi_index && reason.starts_with("A query for the 10 nearest is predicted to take about "));
    CHECK(reason.ends_with(" in a scan."));
}

static void forms_fit_the_budget() {
    constexpr std::size_t n = 400'000;
    const auto bytes = around_centres(n, 8, 2000);
    const CodeView codes{bytes.data(), n, 8};
    for (const double budget : {1000.0, 64.0, 52.0, 30.0, 20.0}) {
        const auto forms = possible_forms(n, 8, budget);
        CHECK(!forms.empty());
        for (const TableForm& form : forms) {
            CHECK(form.with_codes == (budget >= 50));
            CHECK(static_cast<double>(SubstringTables::bytes_of(n, 8, form)) <= budget * n);
        }
    }
    CHECK(possible_forms(n, 8, 4).empty() && possible_forms(n, 8, 0).empty() && possible_forms(0, 8, 64).empty());
    const CodeSet set(codes, false, Layout::multi_index, 4);
    set.build_tables(1);
    CHECK(set.tables() == nullptr && !set.stats().multi_index);
    CHECK(set.stats().reason == "Tables do not fit in 4 bytes a code.");
    for (const std::size_t n_bytes : Sizes{1, 2, 3, 5, 16, 64, 600}) {
        for (const std::size_t few : Sizes{1, 2, 100, 5000}) {
            for (const TableForm& form : possible_forms(few, n_bytes, 1e9)) {
                CHECK(SubstringTables::bytes_of(few, n_bytes, form) > 0);
            }
        }
    }
}

// What is predicted from 16 rows against what other rows take.
static void predictions_are_within_a_factor_of_two() {
    constexpr std::size_t n = 300'000, n_queries = 100;
    const KernelTable& kernels = selected_kernels();
    for (const std::size_t n_centres : Sizes{0, 64, 2000}) {
        Random random(n);
        const auto bytes =
            n_centres == 0 ? random_bytes(random, (n + n_queries) * 8) : around_centres(n + n_queries, 8, n_centres);
        const CodeView codes{bytes.data(), n, 8}, queries{bytes.data() + 8 * n, n_queries, 8};
        const TableForecast forecast(kernels, codes, {{4, true}});
        const SubstringTables tables(codes, {4, true}, 2);
        for (const std::size_t k : Sizes{1, 10, 100}) {
            const auto found = multi_index_search(kernels, queries, codes, tables, {.k = k}, nullptr, 2);
            const double cost =
                (found.cost + TableForecast::ns_per_hit * static_cast<double>(k * n_queries)) / n_queries;
            const double predicted = forecast.search_cost(static_cast<double>(k), 64, 1e18);
            CHECK(predicted > cost / 2 && predicted < 2 * cost);
        }
        double before = 0;
        for (std::size_t radius = 0; radius <= 64; ++radius) {
            const double cost = forecast.search_cost(INFINITY, radius, 1e18);
            CHECK(cost >= before);
            before = cost;
        }
        CHECK(forecast.search_cost(n, 64, 1e6) == 2e6);  // given up by all
    }
}

static void what_was_measured_decides() {
    constexpr std::size_t n = 50'000;
    const auto bytes = around_centres(n, 8, 2000);
    const CodeView codes{bytes.data(), n, 8};
    const LayoutChoice choice(codes, false, Layout::multi_index, 64);
    const SearchSize size = searches(codes, 1);
    CHECK(choice.n_to_try(size) > 1);
    choice.learn(size, 50, 0, 500, 1000);
    CHECK(choice.n_to_try(size) > 1);
    for (int i = 0; i < 10; ++i) choice.learn(size, 10, 10, 0, 10 * choice.most_cost(size));
    std::size_t n_tried = 0;
    for (int i = 0; i < 6400; ++i) n_tried += choice.n_to_try(size);
    CHECK(n_tried == 100);  // one query of 64 searches, to learn whether it is still so
    SearchSize other = size;
    other.rank = 1000;
    CHECK(choice.n_to_try(other) > 1);  // other searches are judged for themselves
    for (int i = 0; i < 10; ++i) choice.learn(size, 50, 0, 500, 1000);
    CHECK(choice.n_to_try(size) > 1);
    CHECK(LayoutChoice(codes, false, Layout::scan, 64).n_to_try(size) == 0);
}

// The whole of it: searches until there are tables, and the same hits before and after.
static void sets_go_over_to_tables() {
    constexpr std::size_t n = 200'000, n_queries = 40;
    const auto bytes = around_centres(n + n_queries, 8, 1000);
    const CodeView codes{bytes.data(), n, 8}, queries{bytes.data() + 8 * n, n_queries, 8};
    const Wanted<std::uint32_t> wanted{.k = 10};
    const CodeSet scanned(codes, false, Layout::scan);
    const auto expected = scanned.search(queries, wanted, nullptr, 1);
    const CodeSet set(codes);
    std::size_t n_searches = 0;
    for (; n_searches < 200 && set.stats().n_tables == 0; ++n_searches) {
        const auto hits = set.search(queries, wanted, nullptr, 2);
        CHECK(hits.positions == expected.positions && hits.distances == expected.distances);
    }
    CHECK(n_searches > 1 && n_searches < 200);
    const CodeSet::Stats stats = set.stats();
    CHECK(stats.multi_index && stats.table_bytes == set.tables()->bytes().size());
    CHECK(scanned.stats().n_tables == 0 && !scanned.stats().multi_index);
    CHECK_THROWS(scanned.build_tables(1), std::invalid_argument);

    CodeSet mapped(codes, true);
    mapped.use_tables(set.tables()->form(), set.tables()->bytes());
    CHECK_THROWS(mapped.use_tables(set.tables()->form(), set.tables()->bytes()), std::invalid_argument);
    CodeSet other(codes, true);
    CHECK_THROWS(other.use_tables({3, true}, set.tables()->bytes()), std::invalid_argument);
    for (const std::size_t k : Sizes{10, n}) {
        const auto hits = mapped.search(queries, {.k = k}, nullptr, 2);
        CHECK(hits.positions == scanned.search(queries, {.k = k}, nullptr, 2).positions);
    }
    CHECK(mapped.stats().bit_plane_bytes == 0 && mapped.stats().multi_index);
}

int main() {
    tables_are_built_where_they_pay();
    tables_are_not_built_for_codes_without_clusters();
    forms_fit_the_budget();
    predictions_are_within_a_factor_of_two();
    what_was_measured_decides();
    sets_go_over_to_tables();
}
