// Top-k, radius and rankings against sorting everything.
#include <algorithm>
#include <numeric>
#include <string>

#include "check.hpp"
#include "core/cpu_level.hpp"
#include "core/distances.hpp"
#include "core/nibble_top_k.hpp"
#include "core/radius.hpp"
#include "core/ranking.hpp"
#include "core/top_k.hpp"

using namespace pyhash;

template <class Distance>
static std::vector<std::int64_t> order_of(const Distance* distances, std::size_t n) {
    std::vector<std::int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return distances[a] < distances[b]; });
    return order;
}

// Few distinct codes: ties everywhere. More codes than one block holds, once.
static void agrees_with_sorting(std::size_t n_queries, std::size_t n, std::size_t n_bytes, std::size_t k,
                                std::size_t threads) {
    Random random(n * 31 + k);
    auto bytes = random_bytes(random, n * n_bytes);
    for (auto& byte : bytes) byte &= 0x11;
    const auto query_bytes = random_bytes(random, n_queries * n_bytes);
    const CodeView queries{query_bytes.data(), n_queries, n_bytes}, codes{bytes.data(), n, n_bytes};
    const std::size_t columns = std::min(k, n);

    std::vector<std::uint32_t> all(n_queries * n);
    hamming_distances(queries, codes, threads, all.data());
    std::vector<std::int64_t> positions(n_queries * columns);
    std::vector<std::uint32_t> distances(n_queries * columns);
    hamming_top_k(queries, codes, k, threads, positions.data(), distances.data());
    const auto near = hamming_radius(queries, codes, static_cast<std::uint32_t>(2 * n_bytes), threads);

    std::vector<std::uint8_t> relevance(n_queries * n), ranked(n_queries * n);
    for (auto& r : relevance) r = random() % 3 == 0;
    rank_relevance(queries, codes, relevance.data(), threads, ranked.data());
    std::vector<std::int64_t> n_all(n_queries * (8 * n_bytes + 1)), n_relevant(n_all.size());
    count_by_distance(queries, codes, relevance.data(), threads, n_all.data(), n_relevant.data());

    CHECK(near.offsets.size() == n_queries + 1);
    for (std::size_t i = 0; i < n_queries; ++i) {
        const std::uint32_t* of_query = all.data() + i * n;
        const auto order = order_of(of_query, n);
        for (std::size_t j = 0; j < columns; ++j) {
            CHECK(positions[i * columns + j] == order[j]);
            CHECK(distances[i * columns + j] == of_query[order[j]]);
        }
        const auto within =
            static_cast<std::size_t>(std::count_if(of_query, of_query + n, [&](auto d) { return d <= 2 * n_bytes; }));
        const auto first = static_cast<std::size_t>(near.offsets[i]);
        CHECK(static_cast<std::size_t>(near.offsets[i + 1]) == first + within);
        for (std::size_t j = 0; j < within; ++j) {
            CHECK(near.positions[first + j] == order[j]);
            CHECK(near.distances[first + j] == of_query[order[j]]);
        }
        for (std::size_t j = 0; j < n; ++j)
            CHECK(ranked[i * n + j] == relevance[i * n + static_cast<std::size_t>(order[j])]);
        for (std::size_t d = 0; d <= 8 * n_bytes; ++d) {
            std::int64_t expected_all = 0, expected_relevant = 0;
            for (std::size_t j = 0; j < n; ++j) {
                expected_all += of_query[j] == d;
                expected_relevant += of_query[j] == d && relevance[i * n + j];
            }
            CHECK(n_all[i * (8 * n_bytes + 1) + d] == expected_all);
            CHECK(n_relevant[i * (8 * n_bytes + 1) + d] == expected_relevant);
        }
    }

    const std::size_t n_bits = 8 * n_bytes;
    std::vector<double> projections(n_queries * n_bits), weighted(n_queries * n), nearest(n_queries * columns);
    for (double& p : projections) p = static_cast<double>(random() % 9) / 4 - 1;
    weighted_distances(projections.data(), n_queries, n_bits, codes, threads, weighted.data());
    weighted_top_k(projections.data(), n_queries, n_bits, codes, k, threads, positions.data(), nearest.data());
    for (std::size_t i = 0; i < n_queries; ++i) {
        const auto order = order_of(weighted.data() + i * n, n);
        for (std::size_t j = 0; j < columns; ++j) {
            CHECK(positions[i * columns + j] == order[j]);
            CHECK(nearest[i * columns + j] == weighted[i * n + static_cast<std::size_t>(order[j])]);
        }
    }
}

// At every level; distances beyond a byte too, and planes whose last block is not full.
static void planes_agree_with_codes(std::size_t n_queries, std::size_t n, std::size_t n_bytes, std::size_t k,
                                    bool few) {
    Random random(n + n_bytes + k);
    auto bytes = random_bytes(random, n * n_bytes), query_bytes = random_bytes(random, n_queries * n_bytes);
    if (few) {
        for (auto& byte : bytes) byte &= 0x11;
    }
    const CodeView queries{query_bytes.data(), n_queries, n_bytes}, codes{bytes.data(), n, n_bytes};
    const std::size_t size = n_queries * std::min(k, n);
    std::vector<std::int64_t> expected_positions(size), positions(size);
    std::vector<std::uint32_t> expected_distances(size), distances(size);
    hamming_top_k(queries, codes, k, 1, expected_positions.data(), expected_distances.data());
    for (const std::string& level : available_cpu_levels()) {
        set_cpu_level(level);
        for (std::size_t threads : {1, 3}) {
            const NibblePlanes planes(codes, threads);
            nibble_top_k(queries, codes, planes, k, threads, positions.data(), distances.data());
            CHECK(positions == expected_positions && distances == expected_distances);
        }
    }
}

int main() {
    for (std::size_t n_bytes : {1, 2, 3, 8, 31, 32, 64, 90, 200}) {
        for (bool few : {false, true}) {
            planes_agree_with_codes(9, 5003, n_bytes, 10, few);
            planes_agree_with_codes(4, 2048, n_bytes, 1, few);
            planes_agree_with_codes(1, 9000, n_bytes, 700, few);
        }
    }
    planes_agree_with_codes(0, 3000, 4, 3, false);
    planes_agree_with_codes(5, 0, 4, 3, false);
    planes_agree_with_codes(5, 100, 4, 200, false);
    for (std::size_t k : {1, 5, 100, 5000}) {
        for (std::size_t threads : {1, 3}) {
            agrees_with_sorting(7, 200, 4, k, threads);
            agrees_with_sorting(2, 9000, 1, k, threads);
            agrees_with_sorting(3, 1, 8, k, threads);
            agrees_with_sorting(3, 0, 8, k, threads);
            agrees_with_sorting(0, 10, 3, k, threads);
        }
    }
}
