// Every level against the scalar oracle, to the last bit.
#include <algorithm>
#include <string>
#include <utility>

#include "check.hpp"
#include "core/cpu_level.hpp"
#include "core/distances.hpp"
#include "core/nibble_planes.hpp"

using namespace pyhash;

static void hamming_agrees(Random& random) {
    for (std::size_t n_bytes = 1; n_bytes <= 70; ++n_bytes) {
        for (std::size_t n : {0, 1, 3, 4, 7, 8, 9, 33}) {
            const auto query = random_bytes(random, n_bytes), codes = random_bytes(random, n * n_bytes);
            std::vector<std::uint32_t> expected(n + 1, 77), got(n + 1, 77);
            set_cpu_level("scalar");
            kernels().hamming(query.data(), codes.data(), n, n_bytes, expected.data());
            for (const std::string& level : available_cpu_levels()) {
                set_cpu_level(level);
                kernels().hamming(query.data(), codes.data(), n, n_bytes, got.data());
                CHECK(got == expected);  // the value behind the last is untouched
            }
        }
    }
}

static void nibble_scans_agree(Random& random) {
    const auto hits_of = [](const NibbleHits& hits) {
        return std::pair{std::vector<std::uint16_t>(hits.positions, hits.positions + hits.n),
                         std::vector<std::uint8_t>(hits.distances, hits.distances + hits.n)};
    };
    for (std::size_t n_bytes : {1, 2, 3, 8, 16, 33, 70, 200}) {
        for (std::size_t n : {1, 64, 65, 2048}) {
            const auto bytes = random_bytes(random, n * n_bytes);
            const NibblePlanes planes({bytes.data(), n, n_bytes}, 1);
            AlignedBuffer<std::uint8_t> tables(nibble_queries * planes.n_planes() * 16);
            for (std::size_t i = 0; i < nibble_queries * planes.n_planes() * 16; ++i) tables[i] = random() % 5;
            // Near the mean of the sums, below all of them, and above all that a byte can say.
            const auto mean = static_cast<std::uint8_t>(std::min<std::size_t>(4 * n_bytes, 254));
            const std::uint8_t bounds[nibble_queries] = {mean, 1, 255, static_cast<std::uint8_t>(mean + 1)};
            std::vector<NibbleHits> expected(nibble_queries), got(nibble_queries);
            scalar_kernels()->scan_nibbles(planes.block(0), planes.n_blocks(), planes.n_planes(), tables.data(), bounds,
                                           expected.data());
            for (const std::string& level : available_cpu_levels()) {
                set_cpu_level(level);
                if (kernels().scan_nibbles == nullptr) continue;
                kernels().scan_nibbles(planes.block(0), planes.n_blocks(), planes.n_planes(), tables.data(), bounds,
                                       got.data());
                for (std::size_t q = 0; q < nibble_queries; ++q) CHECK(hits_of(got[q]) == hits_of(expected[q]));
            }
        }
    }
}

static void weighted_agrees(Random& random) {
    std::normal_distribution<double> normal;
    for (std::size_t n_bits : {1, 7, 8, 9, 16, 63, 64, 65, 200}) {
        const std::size_t n_bytes = (n_bits + 7) / 8;
        std::vector<double> projection(n_bits), costs(256 * n_bytes);
        for (double& p : projection) p = normal(random);
        weighted_costs(projection.data(), n_bits, costs.data());
        for (std::size_t n : {0, 1, 3, 4, 5, 50}) {
            const auto codes = random_bytes(random, n * n_bytes);
            std::vector<double> expected(n + 1, -1), got(n + 1, -1);
            set_cpu_level("scalar");
            kernels().weighted_hamming(costs.data(), codes.data(), n, n_bytes, expected.data());
            for (const std::string& level : available_cpu_levels()) {
                set_cpu_level(level);
                kernels().weighted_hamming(costs.data(), codes.data(), n, n_bytes, got.data());
                CHECK(got == expected);
            }
        }
    }
}

static void levels_are_named() {
    const auto levels = available_cpu_levels();
    CHECK(levels.size() >= 2 && levels[0] == "scalar" && levels[1] == "portable");
    CHECK_THROWS(set_cpu_level("vax"), std::invalid_argument);
}

int main() {
    Random random(1);
    hamming_agrees(random);
    nibble_scans_agree(random);
    weighted_agrees(random);
    levels_are_named();
}
