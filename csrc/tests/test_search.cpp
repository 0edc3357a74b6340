// Sets of codes and rankings against sorting everything.
#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "check.hpp"
#include "core/code_set.hpp"
#include "core/cpu_level.hpp"
#include "core/distances.hpp"
#include "core/hamming_search.hpp"
#include "core/ranking.hpp"

using namespace pyhash;

struct Case {
    std::size_t n_queries, n, n_bytes;
    std::size_t n_distinct;  // about so many codes, each as often as the others; 0: all by themselves
};

static std::vector<std::uint8_t> codes_of(Random& random, const Case& c) {
    auto bytes = random_bytes(random, c.n * c.n_bytes);
    if (c.n_distinct == 0) return bytes;
    const auto distinct = random_bytes(random, c.n_distinct * c.n_bytes);
    for (std::size_t i = 0; i < c.n; ++i) {
        std::copy_n(distinct.data() + random() % c.n_distinct * c.n_bytes, c.n_bytes, bytes.data() + i * c.n_bytes);
    }
    return bytes;
}

template <class Distance>
static void agrees_with_sorting(const HitLists<Distance>& hits, const std::vector<Distance>& all, std::size_t n,
                                const Wanted<Distance>& wanted, RowMask mask) {
    const std::size_t n_queries = hits.offsets.size() - 1;
    for (std::size_t i = 0; i < n_queries; ++i) {
        HitList<Distance> expected;
        for (std::size_t j = 0; j < n; ++j) {
            const Distance d = all[i * n + j];
            if (lets_through(mask, j) && d <= wanted.radius) expected.push_back({d, static_cast<std::uint32_t>(j)});
        }
        std::sort(expected.begin(), expected.end());
        std::size_t size = std::min(wanted.k, expected.size());
        while (wanted.all_ties && size < expected.size() && expected[size].distance == expected[size - 1].distance)
            ++size;
        const auto first = static_cast<std::size_t>(hits.offsets[i]);
        CHECK(static_cast<std::size_t>(hits.offsets[i + 1]) == first + size);
        for (std::size_t j = 0; j < size; ++j) {
            CHECK(hits.positions[first + j] == expected[j].position);
            CHECK(hits.distances[first + j] == expected[j].distance);
        }
    }
}

// First without layouts, then with them; whole, and through masks of many and of few rows.
static void sets_agree_with_sorting(const Case& c, std::size_t k) {
    Random random(c.n * 31 + k + c.n_bytes);
    const auto bytes = codes_of(random, c), query_bytes = random_bytes(random, c.n_queries * c.n_bytes);
    const CodeView queries{query_bytes.data(), c.n_queries, c.n_bytes}, codes{bytes.data(), c.n, c.n_bytes};
    std::vector<std::uint32_t> all(c.n_queries * c.n);
    hamming_distances(queries, codes, 1, all);
    const std::size_t n_bits = 8 * c.n_bytes;
    std::vector<double> projections(c.n_queries * n_bits), weighted(c.n_queries * c.n);
    for (double& p : projections) p = static_cast<double>(random() % 9) / 4 - 1;
    weighted_distances({projections.data(), c.n_queries, n_bits}, codes, 1, weighted);
    std::vector<std::uint8_t> many = random_bytes(random, mask_bytes(c.n)), few(many.size());
    for (std::size_t i = 0; i < few.size(); ++i) few[i] = i % 20 == 0 ? 1 : 0;
    for (std::size_t i = c.n; i < 8 * many.size(); ++i) many[i / 8] &= static_cast<std::uint8_t>(~(1u << (i % 8)));
    for (std::size_t i = c.n; i < 8 * few.size(); ++i) few[i / 8] &= static_cast<std::uint8_t>(~(1u << (i % 8)));

    for (const std::string& level : levels_to_test()) {
        set_cpu_level(level);
        const CodeSet set(codes), lean(codes, true), tabled(codes, false, Layout::multi_index, 400);
        for (std::size_t threads : Sizes{1, 3}) {
            for (RowMask mask : {RowMask{nullptr}, RowMask{many.data()}, RowMask{few.data()}}) {
                for (bool ties : {false, true}) {
                    Wanted<std::uint32_t> near;
                    near.k = k;
                    near.all_ties = ties;
                    agrees_with_sorting(set.search(queries, near, mask, threads), all, c.n, near, mask);
                    agrees_with_sorting(lean.search(queries, near, mask, threads), all, c.n, near, mask);
                    agrees_with_sorting(tabled.search(queries, near, mask, threads), all, c.n, near, mask);
                    Wanted<double> light;
                    light.k = k;
                    light.all_ties = ties;
                    for (const CodeSet* one : {&set, &tabled}) {
                        agrees_with_sorting(
                            one->search_weighted({projections.data(), c.n_queries, n_bits}, light, mask, threads),
                            weighted, c.n, light, mask);
                    }
                }
                Wanted<std::uint32_t> within;
                within.radius = static_cast<std::uint32_t>(3 * c.n_bytes);
                agrees_with_sorting(set.search(queries, within, mask, threads), all, c.n, within, mask);
                agrees_with_sorting(tabled.search(queries, within, mask, threads), all, c.n, within, mask);
                within.radius = 4;
                agrees_with_sorting(tabled.search(queries, within, mask, threads), all, c.n, within, mask);
                Wanted<double> close;
                close.radius = static_cast<double>(c.n_bytes);
                agrees_with_sorting(
                    set.search_weighted({projections.data(), c.n_queries, n_bits}, close, mask, threads), weighted, c.n,
                    close, mask);
            }
        }
        CHECK(set.stats().grouped == (c.n >= 2048 && (c.n_distinct != 0 || c.n_bytes == 1)));
        CHECK(!tabled.stats().grouped && (tabled.tables() != nullptr) == (c.n > 0 && c.n_bytes < 600));
        CHECK(lean.stats().bit_plane_bytes == 0 && lean.stats().nibble_plane_bytes == 0 && !lean.stats().grouped);
    }
}

// Threads that share the rows of many queries find the same, ties included.
static void many_rows_are_shared() {
    constexpr std::size_t n = (std::size_t{1} << 21) + 700, n_queries = 16, n_bytes = 2;
    Random random(5);
    const auto bytes = random_bytes(random, n * n_bytes), query_bytes = random_bytes(random, n_queries * n_bytes);
    const CodeView queries{query_bytes.data(), n_queries, n_bytes}, codes{bytes.data(), n, n_bytes};
    const BitPlanes planes(codes, 1);
    for (const Wanted<std::uint32_t>& wanted :
         {Wanted<std::uint32_t>{.k = 50}, Wanted<std::uint32_t>{.k = 5, .all_ties = true}}) {
        const auto alone = hamming_search(selected_kernels(), queries, codes, &planes, wanted, nullptr, 1);
        const auto shared = hamming_search(selected_kernels(), queries, codes, &planes, wanted, nullptr, 2);
        for (std::size_t q = 0; q < n_queries; ++q) {
            CHECK(std::ranges::equal(alone[q], shared[q], [](const auto& a, const auto& b) {
                return a.distance == b.distance && a.position == b.position;
            }));
        }
    }
}

// A code opposite to the query is at the greatest distance that there is. It must be found where k reaches all codes,
// though sums of weights in another order may come out smaller.
static void the_farthest_code_is_found() {
    constexpr std::size_t n = 2048, n_queries = 16;
    std::normal_distribution<double> normal;
    for (std::size_t n_bits : Sizes{1, 12, 32, 61, 130}) {
        const std::size_t n_bytes = (n_bits + 7) / 8;
        for (std::uint64_t seed = 0; seed < 10; ++seed) {
            Random random(seed);
            std::vector<double> projections(n_queries * n_bits), all(n_queries * n);
            for (std::size_t bit = 0; bit < n_bits; ++bit) projections[bit] = normal(random);
            for (std::size_t i = n_bits; i < projections.size(); ++i) projections[i] = projections[i - n_bits];
            auto bytes = random_bytes(random, n * n_bytes);
            for (std::size_t bit = 0; bit < n_bits; ++bit) {
                const auto mask = static_cast<std::uint8_t>(1u << (bit % 8));
                std::uint8_t& byte = bytes[5 * n_bytes + bit / 8];
                byte = static_cast<std::uint8_t>(projections[bit] > 0 ? byte & ~mask : byte | mask);
            }
            const CodeView codes{bytes.data(), n, n_bytes};
            weighted_distances({projections.data(), n_queries, n_bits}, codes, 1, all);
            for (const std::string& level : levels_to_test()) {
                set_cpu_level(level);
                const CodeSet set(codes);
                for (bool ties : {false, true}) {
                    const Wanted<double> wanted{.k = n, .all_ties = ties};
                    agrees_with_sorting(
                        set.search_weighted({projections.data(), n_queries, n_bits}, wanted, nullptr, 2), all, n,
                        wanted, nullptr);
                }
            }
        }
    }
}

// Few distinct codes: ties everywhere.
static void rankings_agree_with_sorting(std::size_t n_queries, std::size_t n, std::size_t n_bytes,
                                        std::size_t threads) {
    Random random(n);
    auto bytes = random_bytes(random, n * n_bytes);
    for (auto& byte : bytes) byte &= 0x11;
    const auto query_bytes = random_bytes(random, n_queries * n_bytes);
    const CodeView queries{query_bytes.data(), n_queries, n_bytes}, codes{bytes.data(), n, n_bytes};
    std::vector<std::uint32_t> all(n_queries * n);
    hamming_distances(queries, codes, threads, all);
    const std::size_t n_words = relevance_words(n);
    std::vector<std::uint64_t> relevance(n_queries * n_words);
    const auto is_relevant = [&](std::size_t i, std::size_t j) {
        return ((relevance[i * n_words + j / 64] >> (j % 64)) & 1) != 0;
    };
    for (std::size_t i = 0; i < n_queries; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            relevance[i * n_words + j / 64] |= std::uint64_t{random() % 3 == 0} << (j % 64);
        }
    }
    std::vector<std::int64_t> offsets(n_queries + 1);
    count_relevant(relevance, n, offsets);
    std::vector<std::uint32_t> ranks(static_cast<std::size_t>(offsets.back()));
    rank_relevant(queries, codes, relevance, offsets, threads, ranks);
    std::vector<std::int64_t> n_all(n_queries * (8 * n_bytes + 1)), n_relevant(n_all.size());
    count_by_distance(queries, codes, relevance, threads, n_all, n_relevant);
    for (std::size_t i = 0; i < n_queries; ++i) {
        const std::uint32_t* of_query = all.data() + i * n;
        std::vector<std::size_t> order(n);
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(),
                  [&](auto a, auto b) { return std::pair(of_query[a], a) < std::pair(of_query[b], b); });
        std::vector<std::uint32_t> expected;
        for (std::size_t rank = 1; rank <= n; ++rank) {
            if (is_relevant(i, order[rank - 1])) expected.push_back(static_cast<std::uint32_t>(rank));
        }
        CHECK(std::equal(expected.begin(), expected.end(), ranks.begin() + offsets[i], ranks.begin() + offsets[i + 1]));
        for (std::size_t d = 0; d <= 8 * n_bytes; ++d) {
            std::int64_t expected_all = 0, expected_relevant = 0;
            for (std::size_t j = 0; j < n; ++j) {
                expected_all += of_query[j] == d;
                expected_relevant += of_query[j] == d && is_relevant(i, j);
            }
            CHECK(n_all[i * (8 * n_bytes + 1) + d] == expected_all);
            CHECK(n_relevant[i * (8 * n_bytes + 1) + d] == expected_relevant);
        }
    }
}

int main() {
    many_rows_are_shared();
    for (std::size_t n_bytes : Sizes{1, 3, 8, 32, 70}) {
        for (std::size_t n_distinct : Sizes{0, 40}) {
            sets_agree_with_sorting({18, 2500, n_bytes, n_distinct}, 10);
            sets_agree_with_sorting({1, 5000, n_bytes, n_distinct}, 300);
        }
    }
    sets_agree_with_sorting({40, 2100, 8, 0}, 1);
    sets_agree_with_sorting({2, 2100, 600, 0}, 5);  // codes too long for planes
    sets_agree_with_sorting({3, 100, 4, 0}, 200);
    sets_agree_with_sorting({3, 0, 4, 0}, 2);
    sets_agree_with_sorting({0, 3000, 4, 40}, 2);
    the_farthest_code_is_found();
    for (std::size_t threads : Sizes{1, 3}) {
        rankings_agree_with_sorting(7, 200, 4, threads);
        rankings_agree_with_sorting(2, 9000, 1, threads);
        rankings_agree_with_sorting(0, 10, 3, threads);
        rankings_agree_with_sorting(3, 0, 8, threads);
    }
}
