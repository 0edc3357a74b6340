// What an index does from several threads: searches of a snapshot while others make the next. For ThreadSanitizer above
// all.
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "check.hpp"
#include "core/code_set.hpp"
#include "core/cpu_level.hpp"

using namespace pyhash;

// Codes of one generation are all alike, so that each distance tells which generation a search has seen.
struct Snapshot {
    std::vector<std::uint8_t> bytes;
    std::uint8_t generation;
    CodeSet set;

    Snapshot(std::size_t n, std::uint8_t g) : bytes(n * 8, g), generation(g), set({bytes.data(), n, 8}) {}
};

class Index {
public:
    std::shared_ptr<const Snapshot> current() const {
        const std::scoped_lock guard(lock_);
        return snapshot_;
    }
    void replace(std::shared_ptr<const Snapshot> next) {
        const std::scoped_lock guard(lock_);
        snapshot_.swap(next);
    }

private:
    mutable std::mutex lock_;
    std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>(2500, std::uint8_t{0});
};

static void search_all_ways(const Snapshot& snapshot) {
    const std::vector<std::uint8_t> bytes(20 * 8, snapshot.generation);
    const std::vector<double> projections(20 * 64, -0.5);
    Wanted<std::uint32_t> near;
    near.k = 3;
    const auto hits = snapshot.set.search({bytes.data(), 20, 8}, near, nullptr, 2);
    CHECK(hits.positions.size() == 60);
    for (std::size_t i = 0; i < 60; ++i) {
        CHECK(hits.distances[i] == 0 && hits.positions[i] == static_cast<std::int64_t>(i % 3));
    }
    Wanted<double> light;
    light.k = 3;
    const auto weighted = snapshot.set.search_weighted({projections.data(), 20, 64}, light, nullptr, 2);
    for (std::size_t i = 0; i < 60; ++i) CHECK(weighted.positions[i] == static_cast<std::int64_t>(i % 3));
    CHECK(snapshot.set.stats().n_distinct <= snapshot.bytes.size() / 8);
}

// Many threads meet at a set that has no layout yet.
static void layouts_are_made_once_for_all() {
    for (int round = 0; round < 10; ++round) {
        Random random(static_cast<std::uint64_t>(round));
        const auto bytes = random_bytes(random, 10'000 * 8);
        const CodeSet set({bytes.data(), 3000, 8}, false, round % 2 == 0 ? Layout::automatic : Layout::multi_index,
                          1e6);
        std::vector<std::thread> threads;
        threads.reserve(4);
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                Wanted<std::uint32_t> near;
                near.k = 1;
                const auto hits = set.search({bytes.data(), 40, 8}, near, nullptr, 1);
                for (std::size_t i = 0; i < 40; ++i) CHECK(hits.distances[i] == 0);
                CHECK(!set.stats().reason.empty());
                if (round % 2 == 1) set.build_tables(1);
            });
        }
        for (auto& thread : threads) thread.join();
        CHECK((set.tables() != nullptr) == (round % 2 == 1));
    }
}

// Automatic tables: some threads search without them while another builds them, and what is learned is shared.
static void tables_are_built_beside_searches() {
    constexpr std::size_t n = 150'000, n_queries = 300;
    Random random(5);
    const auto centres = random_bytes(random, 1000 * 8);
    auto bytes = random_bytes(random, n * 8);
    for (std::size_t i = 0; i < n * 8; ++i) {
        for (int j = 0; j < 3; ++j) bytes[i] &= static_cast<std::uint8_t>(random());
        bytes[i] ^= centres[i / 8 % 1000 * 8 + i % 8];
    }
    const CodeView codes{bytes.data(), n, 8}, queries{bytes.data(), n_queries, 8};
    const auto expected = CodeSet(codes, false, Layout::scan).search(queries, {.k = 3}, nullptr, 1);
    const CodeSet set(codes);
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int round = 0; round < 8; ++round) {
                const auto hits = set.search(queries, {.k = 3}, nullptr, 1);
                CHECK(hits.positions == expected.positions && hits.distances == expected.distances);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(set.tables() != nullptr);
}

static void searches_see_one_generation() {
    Index index;
    std::atomic<bool> stop{false};
    std::vector<std::thread> readers;
    readers.reserve(3);
    for (int t = 0; t < 3; ++t) {
        readers.emplace_back([&] {
            while (!stop) search_all_ways(*index.current());
        });
    }
    for (int g = 1; g < 40; ++g) {
        index.replace(std::make_shared<Snapshot>(std::size_t{2000} + 50 * static_cast<std::size_t>(g),
                                                 static_cast<std::uint8_t>(g)));
        search_all_ways(*index.current());
    }
    stop = true;
    for (auto& reader : readers) reader.join();
}

// Searches, distances and descents go on with the level that they began with.
static void the_level_changes_meanwhile() {
    constexpr std::size_t n = 4000, n_queries = 20, n_bytes = 8;
    Random random(7);
    const auto bytes = random_bytes(random, n * n_bytes), query_bytes = random_bytes(random, n_queries * n_bytes);
    const CodeView codes{bytes.data(), n, n_bytes}, queries{query_bytes.data(), n_queries, n_bytes};
    std::normal_distribution<double> normal;
    std::vector<double> projections(n_queries * 8 * n_bytes);
    for (double& p : projections) p = normal(random);
    const Wanted<std::uint32_t> near{.k = 10};
    const Wanted<double> light{.k = 10};
    const auto expected = CodeSet(codes).search(queries, near, nullptr, 1);
    const auto expected_weighted =
        CodeSet(codes).search_weighted({projections.data(), n_queries, 8 * n_bytes}, light, nullptr, 1);

    const std::string before(selected_kernels().level);
    std::atomic<bool> stop{false};
    std::thread changer([&] {
        const auto levels = available_cpu_levels();
        for (std::size_t i = 0; !stop; ++i) set_cpu_level(levels[i % levels.size()]);
    });
    for (int round = 0; round < 30; ++round) {
        const CodeSet set(codes);
        for (std::size_t threads : Sizes{1, 2}) {
            const auto hits = set.search(queries, near, nullptr, threads);
            CHECK(hits.positions == expected.positions && hits.distances == expected.distances);
            const auto weighted =
                set.search_weighted({projections.data(), n_queries, 8 * n_bytes}, light, nullptr, threads);
            CHECK(weighted.positions == expected_weighted.positions);
            CHECK(weighted.distances == expected_weighted.distances);
        }
    }
    stop = true;
    changer.join();
    set_cpu_level(before);
}

int main() {
    the_level_changes_meanwhile();
    layouts_are_made_once_for_all();
    tables_are_built_beside_searches();
    searches_see_one_generation();
}
