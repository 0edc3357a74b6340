// Every level against the scalar oracle, to the last bit: all that this machine runs or, given its name, one alone.
#include <algorithm>
#include <string>
#include <utility>

#include "check.hpp"
#include "core/aligned_buffer.hpp"
#include "core/bit_planes.hpp"
#include "core/cpu_level.hpp"
#include "core/distances.hpp"
#include "core/nibble_planes.hpp"

using namespace pyhash;

static std::vector<std::string> tested_levels;

static void hamming_agrees(Random& random) {
    for (std::size_t n_bytes = 1; n_bytes <= 70; ++n_bytes) {
        for (std::size_t n : Sizes{0, 1, 3, 4, 7, 8, 9, 33}) {
            const auto query = random_bytes(random, n_bytes), codes = random_bytes(random, n * n_bytes);
            std::vector<std::uint32_t> expected(n + 1, 77), got(n + 1, 77);
            set_cpu_level("scalar");
            selected_kernels().hamming(query.data(), codes.data(), n, n_bytes, expected.data());
            for (const std::string& level : tested_levels) {
                set_cpu_level(level);
                selected_kernels().hamming(query.data(), codes.data(), n, n_bytes, got.data());
                CHECK(got == expected);  // the value behind the last is untouched
            }
        }
    }
}

static void hamming_at_agrees(Random& random) {
    for (std::size_t n_bytes = 1; n_bytes <= 70; ++n_bytes) {
        const auto query = random_bytes(random, n_bytes), codes = random_bytes(random, 50 * n_bytes);
        const std::vector<std::uint32_t> positions{49, 0, 7, 7, 12};
        std::vector<std::uint32_t> expected(6, 77), got(6, 77);
        scalar_kernels()->hamming_at(query.data(), codes.data(), positions.data(), 5, n_bytes, expected.data());
        for (const std::string& level : tested_levels) {
            set_cpu_level(level);
            selected_kernels().hamming_at(query.data(), codes.data(), positions.data(), 5, n_bytes, got.data());
            CHECK(got == expected);
        }
    }
}

// Runs of all lengths, empty ones among them, and bounds that none, some and all codes are below.
static void near_codes_agree(Random& random) {
    const std::vector<CodeRun> runs{{199, 200}, {0, 67}, {5, 5}, {100, 103}, {70, 198}};
    constexpr std::size_t n_of_runs = 1 + 67 + 3 + 128;
    const auto pairs_of = [](const std::vector<NearCode>& near) {
        std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
        pairs.reserve(near.size());
        for (const NearCode& code : near) pairs.emplace_back(code.index, code.distance);
        return pairs;
    };
    for (std::size_t n_bytes = 1; n_bytes <= 70; ++n_bytes) {
        const auto query = random_bytes(random, n_bytes), codes = random_bytes(random, 200 * n_bytes);
        for (const std::size_t bound : {std::size_t{0}, std::size_t{1}, 4 * n_bytes, 8 * n_bytes + 1}) {
            const auto found = [&](const KernelTable& kernels) {
                std::vector<NearCode> near(n_of_runs);
                near.resize(kernels.near_codes(query.data(), codes.data(), n_bytes, runs.data(), runs.size(),
                                               static_cast<std::uint32_t>(bound), near.data()));
                return pairs_of(near);
            };
            const auto expected = found(*scalar_kernels());
            CHECK(expected.size() == n_of_runs || bound <= 8 * n_bytes);
            for (const std::string& level : tested_levels) {
                set_cpu_level(level);
                CHECK(found(selected_kernels()) == expected);
            }
        }
    }
}

// Few and many distances, each level's own way for them, all codes at one distance, all or none relevant.
static void ranks_agree(Random& random) {
    for (std::size_t n : Sizes{0, 1, 63, 64, 65, 700, 5000}) {
        for (std::uint32_t n_distances : {1u, 9u, 96u, 97u, 260u}) {
            for (std::uint64_t share : {0u, 1u, 4u, 32u}) {
                std::vector<std::uint32_t> distances(n);
                for (auto& d : distances) d = static_cast<std::uint32_t>(random() % n_distances) + 3;
                std::vector<std::uint64_t> relevant((n + 63) / 64);
                for (std::size_t i = 0; i < n; ++i) {
                    relevant[i / 64] |= std::uint64_t{share != 0 && random() % share == 0} << (i % 64);
                }
                const RankedCodes codes{n, distances.data(), n_distances + 3, relevant.data()};
                AlignedBuffer<std::uint8_t> scratch(codes.scratch());
                std::vector<std::uint32_t> expected(n + rank_slack), got(n + rank_slack);
                expected.resize(scalar_kernels()->rank_relevant(codes, scratch.data(), expected.data()));
                for (const std::string& level : tested_levels) {
                    set_cpu_level(level);
                    got.resize(n + rank_slack);
                    got.resize(selected_kernels().rank_relevant(codes, scratch.data(), got.data()));
                    CHECK(got == expected);
                }
            }
        }
    }
}

// All bounds, both directions, with and without a mask; the last block is not full.
static void bit_scans_agree(Random& random) {
    for (std::size_t n_bytes : Sizes{1, 2, 3, 8, 16, 33, 70, 200, 512}) {
        const std::size_t n = 1100;
        const auto bytes = random_bytes(random, n * n_bytes), mask = random_bytes(random, 3 * bit_plane_bytes);
        const BitPlanes planes({bytes.data(), n, n_bytes}, 1);
        std::vector<std::uint32_t> chosen;
        for (std::size_t bit = 0; bit < planes.n_bits(); ++bit) {
            if (random() % 2 == 0) chosen.push_back(static_cast<std::uint32_t>(bit * bit_plane_bytes));
        }
        chosen.resize(std::min(chosen.size(), planes.n_bits() / 2));
        BitScan scan{
            planes.block(0),  3, planes.block_bytes(), planes.n_bits() * bit_plane_bytes, chosen.data(), chosen.size(),
            planes.n_digits()};
        const auto middle =
            static_cast<std::uint32_t>(planes.n_bits() / 4 + (std::size_t{1} << (planes.n_digits() - 2)));
        const std::size_t n_masked = 500;  // surely fewer than the mask lets through of 1100
        std::vector<std::uint64_t> scratch(8 * 3 * (planes.n_digits() + 2));
        for (const std::uint8_t* rows : {static_cast<const std::uint8_t*>(nullptr), mask.data()}) {
            for (std::uint32_t bound : {0u, 1u, middle - 1, middle, middle + 1, (1u << planes.n_digits()) - 1}) {
                for (bool below : {false, true}) {
                    std::vector<std::uint32_t> expected(1536 + scan_bits_slack), got(expected.size());
                    expected.resize(scalar_kernels()->scan_bits(scan, bound, below, rows, expected.data()));
                    for (const std::string& level : tested_levels) {
                        set_cpu_level(level);
                        got.resize(1536 + scan_bits_slack);
                        got.resize(selected_kernels().scan_bits(scan, bound, below, rows, got.data()));
                        CHECK(got == expected);
                    }
                }
            }
            for (std::size_t k : {std::size_t{1}, std::size_t{7}, rows == nullptr ? n : n_masked}) {
                for (bool largest : {false, true}) {
                    const auto expected = scalar_kernels()->kth_of_bits(scan, n, k, largest, rows, scratch.data());
                    for (const std::string& level : tested_levels) {
                        set_cpu_level(level);
                        CHECK(selected_kernels().kth_of_bits(scan, n, k, largest, rows, scratch.data()) == expected);
                    }
                }
            }
        }
    }
}

static void nibble_scans_agree(Random& random) {
    const auto positions_of = [](const NibbleHits& hits) {
        return std::vector<std::uint16_t>(hits.positions, hits.positions + hits.n);
    };
    for (std::size_t n_bytes : Sizes{1, 2, 3, 8, 16, 33, 70, 200}) {
        for (std::size_t n : Sizes{1, 64, 65, 2048}) {
            const auto bytes = random_bytes(random, n * n_bytes);
            const NibblePlanes planes({bytes.data(), n, n_bytes}, 1);
            AlignedBuffer<std::uint8_t> tables(nibble_queries * planes.n_planes() * 16);
            for (std::size_t i = 0; i < nibble_queries * planes.n_planes() * 16; ++i) {
                tables[i] = static_cast<std::uint8_t>(random() % (random() % 50 == 0 ? 256 : 5));
            }
            // Near the mean of the sums, below all of them, and above all that a byte can say.
            const auto mean = static_cast<std::uint8_t>(std::min<std::size_t>(4 * n_bytes, 254));
            const std::uint8_t bounds[nibble_queries] = {mean, 1, 255, static_cast<std::uint8_t>(mean + 1)};
            std::vector<NibbleHits> expected(nibble_queries), got(nibble_queries);
            std::vector<std::uint8_t> expected_sums(64 * planes.n_blocks()), sums(expected_sums.size());
            scalar_kernels()->nibbles->scan(planes.block(0), planes.n_blocks(), planes.n_planes(), tables.data(),
                                            bounds, nibble_queries, expected.data());
            scalar_kernels()->nibbles->sum(planes.block(0), planes.n_blocks(), planes.n_planes(), tables.data(),
                                           expected_sums.data());
            for (const std::string& level : tested_levels) {
                set_cpu_level(level);
                const NibbleKernels* nibbles = selected_kernels().nibbles;
                if (nibbles == nullptr) continue;
                for (std::size_t n_queries : {std::size_t{1}, nibble_queries}) {
                    nibbles->scan(planes.block(0), planes.n_blocks(), planes.n_planes(), tables.data(), bounds,
                                  n_queries, got.data());
                    for (std::size_t q = 0; q < n_queries; ++q) {
                        CHECK(positions_of(got[q]) == positions_of(expected[q]));
                    }
                }
                nibbles->sum(planes.block(0), planes.n_blocks(), planes.n_planes(), tables.data(), sums.data());
                CHECK(sums == expected_sums);
            }
        }
    }
}

static void weighted_agrees(Random& random) {
    std::normal_distribution<double> normal;
    for (std::size_t n_bits : Sizes{1, 7, 8, 9, 16, 63, 64, 65, 200}) {
        const std::size_t n_bytes = (n_bits + 7) / 8;
        std::vector<double> projection(n_bits), by_nibble(32 * n_bytes), costs(256 * n_bytes);
        for (double& p : projection) p = normal(random);
        nibble_costs(projection, by_nibble);
        byte_costs(by_nibble, costs);
        for (std::size_t n : Sizes{0, 1, 3, 4, 5, 50}) {
            const auto codes = random_bytes(random, n * n_bytes);
            std::vector<double> expected(n + 1, -1), got(n + 1, -1);
            set_cpu_level("scalar");
            selected_kernels().weighted_hamming(costs.data(), codes.data(), n, n_bytes, expected.data());
            for (const std::string& level : tested_levels) {
                set_cpu_level(level);
                selected_kernels().weighted_hamming(costs.data(), codes.data(), n, n_bytes, got.data());
                CHECK(got == expected);
            }
        }
    }
}

static void levels_are_named() {
    const auto levels = available_cpu_levels();
    CHECK(levels.size() >= 2 && levels[0] == "scalar" && levels[1] == "portable");
    CHECK_THROWS(set_cpu_level("vax"), std::invalid_argument);
    for (const std::string& level : unavailable_cpu_levels()) {
        CHECK(std::find(levels.begin(), levels.end(), level) == levels.end());
        CHECK_THROWS(set_cpu_level(level), std::invalid_argument);
    }
}

int main(int argc, char** argv) {
    tested_levels = available_cpu_levels();
    if (argc > 1) {
        const std::string level = argv[1];
        if (std::find(tested_levels.begin(), tested_levels.end(), level) == tested_levels.end()) {
            std::printf("this machine cannot run the CPU level '%s': its kernels are not tested\n", argv[1]);
            return skipped;
        }
        tested_levels = {level};
    }
    Random random(1);
    hamming_agrees(random);
    hamming_at_agrees(random);
    near_codes_agree(random);
    ranks_agree(random);
    bit_scans_agree(random);
    nibble_scans_agree(random);
    weighted_agrees(random);
    levels_are_named();
}
