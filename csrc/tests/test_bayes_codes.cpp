// Bayes codes: every level and number of threads gives the bits of the oracle; refusals.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "check.hpp"
#include "core/bayes_codes.hpp"
#include "core/cpu_level.hpp"

using namespace pyhash;

struct Problem {
    std::size_t n, n_sets, n_bits, n_bytes;
    std::vector<float> posterior, mean_codes;
    std::vector<double> counts;
    std::vector<std::uint8_t> sets;  // empty: each set is a class

    LabelledCodes database() const {
        return {.n_bits = n_bits,
                .mean_codes = mean_codes,
                .counts = counts,
                .sets = sets.empty() ? CodeView{} : CodeView{sets.data(), n_sets, n_bytes}};
    }
};

static float unit(Random& random) { return static_cast<float>(random() % (1 << 20)) / (1 << 20); }

static Problem random_problem(Random& random, std::size_t n, std::size_t n_sets, std::size_t n_bits, bool only_signs,
                              std::size_t n_bytes) {
    Problem p{n, n_sets, n_bits, n_bytes, {}, {}, {}, {}};
    for (std::size_t i = 0; i < n; ++i) {
        const float sharpness = 12.0f * unit(random);
        for (std::size_t c = 0; c < n_sets; ++c) p.posterior.push_back(std::exp(sharpness * unit(random)));
        if (i % 3 == 1) {  // certain of one set
            for (std::size_t c = 0; c < n_sets; ++c) p.posterior[i * n_sets + c] = c == i % n_sets ? 1.0f : 0.0f;
        }
    }
    for (std::size_t i = 0; i < n_sets * n_bits; ++i) {
        p.mean_codes.push_back((random() % 2 == 0 ? 1.0f : -1.0f) * (only_signs ? 1.0f : unit(random)));
    }
    for (std::size_t l = 0; l < n_bits && n_sets > 3; ++l) {  // equal and opposite codes
        p.mean_codes[n_bits + l] = p.mean_codes[l];
        p.mean_codes[2 * n_bits + l] = -p.mean_codes[l];
    }
    // Fractions: sums of counts must be taken in the same order too.
    for (std::size_t c = 0; c < n_sets; ++c) p.counts.push_back(0.3 + static_cast<double>(random() % 4000) / 7);
    if (n_sets > 5) {  // without rows, hence without probability where it is certain
        p.counts[5] = 0;
        for (std::size_t i = 0; i < n; ++i) p.posterior[i * n_sets] += 1e-3f;
    }
    if (n_bytes > 0) {
        for (std::size_t i = 0; i < n_sets * n_bytes; ++i) {
            const std::uint64_t bits = random();
            p.sets.push_back(static_cast<std::uint8_t>(bits & (bits >> 8) & (bits >> 16)));
        }
    }
    return p;
}

static std::vector<float> codes_of(const Problem& p, const std::string& level, std::size_t n_threads) {
    set_cpu_level(level);
    std::vector<float> out(p.n * p.n_bits, 0.0f);
    bayes_codes(p.posterior, p.database(), n_threads, out.data());
    return out;
}

static void levels_and_threads_agree() {
    Random random(11);
    for (std::size_t n_bits : Sizes{1, 4, 15, 16, 33, 64, 70}) {
        for (std::size_t n_sets : Sizes{1, 2, 5, 33}) {
            for (std::size_t n : Sizes{0, 1, 19}) {
                for (bool only_signs : {false, true}) {
                    const std::size_t n_bytes = random() % 2 == 0 ? 0 : 2;
                    const Problem p = random_problem(random, n, n_sets, n_bits, only_signs, n_bytes);
                    const auto expected = codes_of(p, "scalar", 1);
                    for (const float value : expected) CHECK(std::isfinite(value) && value != 0.0f);
                    for (const std::string& level : levels_to_test()) {
                        for (std::size_t threads : Sizes{1, 3}) {
                            const auto got = codes_of(p, level, threads);
                            CHECK(n == 0 || std::memcmp(got.data(), expected.data(), 4 * got.size()) == 0);
                        }
                    }
                }
            }
        }
    }
}

// A query has the same result whatever queries share its block.
static void queries_do_not_meet() {
    Random random(3);
    for (std::size_t n_bytes : Sizes{0, 1}) {
        const Problem all = random_problem(random, 37, 20, 24, false, n_bytes);
        const auto expected = codes_of(all, available_cpu_levels().back(), 1);
        for (std::size_t i = 0; i < all.n; ++i) {
            Problem one = all;
            one.n = 1;
            one.posterior.assign(all.posterior.begin() + static_cast<std::ptrdiff_t>(i * all.n_sets),
                                 all.posterior.begin() + static_cast<std::ptrdiff_t>((i + 1) * all.n_sets));
            const auto got = codes_of(one, available_cpu_levels().back(), 1);
            CHECK(std::memcmp(got.data(), expected.data() + i * all.n_bits, 4 * all.n_bits) == 0);
        }
    }
}

static void refuses() {
    Random random(1);
    const Problem good = random_problem(random, 20, 4, 8, true, 0);
    const auto run = [](const Problem& p) { codes_of(p, "portable", 2); };
    run(good);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1e-9f}) {
        Problem p = good;
        p.posterior[19 * 4 + 2] = bad;
        CHECK_THROWS(run(p), std::invalid_argument);
    }
    Problem p = good;
    p.counts.assign(4, 0.0);
    CHECK_THROWS(run(p), std::invalid_argument);
    p.counts[1] = 3.0;
    p.posterior[5 * 4 + 1] = 0.0f;  // all of its probability is on sets without rows
    CHECK_THROWS(run(p), std::invalid_argument);
}

int main() {
    levels_and_threads_agree();
    queries_do_not_meet();
    refuses();
}
