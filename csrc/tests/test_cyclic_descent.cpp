#include <cmath>
#include <string>

#include "check.hpp"
#include "core/cpu_level.hpp"
#include "core/cyclic_descent.hpp"

using namespace pyhash;

template <class Real>
struct Problem {
    std::size_t n, n_bits;
    std::vector<Real> h, q;
    std::vector<std::int8_t> signs;
};

// Integers: sums are exact, so ties are real ties and every level must agree on them too.
template <class Real>
static Problem<Real> random_problem(Random& random, std::size_t n, std::size_t n_bits) {
    Problem<Real> p{n, n_bits, std::vector<Real>(n_bits * n_bits), std::vector<Real>(n * n_bits), {}};
    for (std::size_t a = 0; a < n_bits; ++a) {
        for (std::size_t b = a; b < n_bits; ++b) {
            p.h[a * n_bits + b] = p.h[b * n_bits + a] = static_cast<Real>(static_cast<int>(random() % 7) - 3);
        }
    }
    for (Real& q : p.q) q = static_cast<Real>(static_cast<int>(random() % 9) - 4);
    for (std::size_t i = 0; i < n * n_bits; ++i) p.signs.push_back(random() % 2 ? 1 : -1);
    return p;
}

template <class Real>
static double objective(const Problem<Real>& p, const std::vector<std::int8_t>& signs) {
    double total = 0;
    for (std::size_t i = 0; i < p.n; ++i) {
        const std::int8_t* b = signs.data() + i * p.n_bits;
        for (std::size_t l = 0; l < p.n_bits; ++l) {
            for (std::size_t m = 0; m < p.n_bits; ++m)
                total += static_cast<double>(p.h[l * p.n_bits + m]) * b[l] * b[m];
            total -= 2.0 * static_cast<double>(p.q[i * p.n_bits + l]) * b[l];
        }
    }
    return total;
}

template <class Real>
static void levels_agree_and_descend() {
    Random random(3);
    for (std::size_t n_bits : Sizes{1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 130, 200}) {
        for (std::size_t n : Sizes{0, 1, 3, 4, 5, 64}) {
            if (quick() && n > 5) continue;
            for (std::size_t sweeps : Sizes{0, 1, 2, 9}) {
                const auto p = random_problem<Real>(random, n, n_bits);
                set_cpu_level("scalar");
                auto expected = p.signs;
                const auto flips = cyclic_descent<Real>(expected, p.h, p.q, n_bits, sweeps, 1);
                CHECK(flips.size() == sweeps);
                CHECK(objective(p, expected) <= objective(p, p.signs));
                for (const std::string& level : levels_to_test()) {
                    set_cpu_level(level);
                    for (std::size_t threads : Sizes{1, 3}) {
                        auto got = p.signs;
                        CHECK(cyclic_descent<Real>(got, p.h, p.q, n_bits, sweeps, threads) == flips);
                        CHECK(got == expected);
                    }
                }
            }
        }
    }
}

// Tenths are not exact: sums that are zero on paper are a rounding error in the machine, of either sign.
template <class Real>
static void ties_fall_to_minus_one() {
    for (const std::string& level : levels_to_test()) {
        set_cpu_level(level);
        for (Real unit : {Real(0.1), Real(0.3), Real(1e-3), Real(7e5)}) {
            // q_0 - H_01 b_1 - H_02 b_2 = 3u - u - 2u with b_1 = b_2 = 1: zero on paper.
            const std::vector<Real> h{0, unit, 2 * unit, unit, 0, 0, 2 * unit, 0, 0};
            const std::vector<Real> q{3 * unit, 9 * unit, 9 * unit};
            std::vector<std::int8_t> signs{1, 1, 1};
            cyclic_descent<Real>(signs, h, q, 3, 1, 1);
            CHECK((signs == std::vector<std::int8_t>{-1, 1, 1}));
        }
    }
}

static void refuses_what_is_no_sign() {
    std::vector<std::int8_t> signs(1 << 20, 1);
    signs[(1 << 20) - 3] = 0;
    const auto before = signs;
    const std::vector<float> h(16, 1), q(1 << 20, -1);
    CHECK_THROWS(cyclic_descent<float>(signs, h, q, 4, 1, 4), std::invalid_argument);
    CHECK(signs == before);
}

int main() {
    levels_agree_and_descend<float>();
    levels_agree_and_descend<double>();
    ties_fall_to_minus_one<float>();
    ties_fall_to_minus_one<double>();
    refuses_what_is_no_sign();
}
