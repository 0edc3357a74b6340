// Weighted searches through tables over substrings, against distances of all codes and a sort: equal to the last bit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "check.hpp"
#include "core/cpu_level.hpp"
#include "core/distances.hpp"
#include "core/weighted_multi_index.hpp"

using namespace pyhash;

static HitList<double> by_sorting(const double* distances, std::size_t n, const Wanted<double>& wanted, RowMask mask) {
    HitList<double> hits;
    for (std::size_t i = 0; i < n; ++i) {
        if (lets_through(mask, i) && distances[i] <= wanted.radius)
            hits.push_back({distances[i], static_cast<std::uint32_t>(i)});
    }
    std::sort(hits.begin(), hits.end());
    cut(hits, wanted);
    return hits;
}

static bool same(const HitList<double>& a, const HitList<double>& b) {
    return std::ranges::equal(
        a, b, [](const auto& x, const auto& y) { return x.distance == y.distance && x.position == y.position; });
}

// Weights that make sums hard: equal, without any, of many sizes, of powers of two, one above all others, rounded each
// time, and subnormal.
constexpr std::size_t n_kinds = 9;

static double weight_of(Random& random, std::size_t kind, std::size_t bit, std::size_t n_bits) {
    const double uniform = static_cast<double>(random() >> 11) * 0x1p-53;
    switch (kind) {
        case 0: return uniform;
        case 1: return 1.0;
        case 2: return 0.1;
        case 3: return 0.0;
        case 4: return std::ldexp(1.0, -static_cast<int>(bit % 60));
        case 5: return bit == n_bits / 2 ? 1.0 : 1e-9 * uniform;
        case 6: return random() % 2 == 0 ? 0.0 : 1.0 / 3 + 1e-16 * uniform;
        case 7: return random() % 3 == 0 ? 1e300 : 1e-17;
        default: return 5e-324 * static_cast<double>(random() % 4);
    }
}

struct Case {
    std::size_t n, n_bytes, n_bits;
    TableForm form;
    std::size_t flips;  // bits in which codes differ from one of ten, about; 0: from nothing
};

// The codes and, so that they meet queries, projections of their signs but for a few.
static void agrees_with_sorting(const Case& c, std::size_t kind) {
    Random random(1000 * c.n + 10 * c.n_bytes + kind);
    auto bytes = random_bytes(random, c.n * c.n_bytes);
    if (c.flips > 0) {
        for (std::size_t i = 10; i < c.n; ++i) {
            std::copy_n(bytes.data() + i % 10 * c.n_bytes, c.n_bytes, bytes.data() + i * c.n_bytes);
            for (std::size_t flip = random() % c.flips; flip > 0; --flip) {
                const std::size_t bit = random() % (8 * c.n_bytes);
                bytes[i * c.n_bytes + bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
            }
        }
    }
    constexpr std::size_t n_queries = 5;
    std::vector<double> projections(n_queries * c.n_bits), all(n_queries * c.n);
    for (std::size_t q = 0; q < n_queries; ++q) {
        const std::size_t row = random() % std::max<std::size_t>(c.n, 1);
        for (std::size_t bit = 0; bit < c.n_bits; ++bit) {
            bool set = c.n > 0 && (bytes[row * c.n_bytes + bit / 8] >> (bit % 8) & 1) != 0;
            if (q == 1) set = !set;  // opposite to a code
            if (q > 1 && random() % 16 == 0) set = !set;
            const double weight = weight_of(random, kind, bit, c.n_bits);
            projections[q * c.n_bits + bit] = set ? weight : -weight;
        }
    }
    const ProjectionView queries{projections.data(), n_queries, c.n_bits};
    const CodeView codes{bytes.data(), c.n, c.n_bytes};
    set_cpu_level("scalar");
    weighted_distances(queries, codes, 1, all);
    const SubstringTables tables(codes, c.form, 1);
    std::vector<std::uint8_t> mask(mask_bytes(c.n));
    for (std::size_t i = 0; i < c.n; ++i) {
        if (random() % 3 == 0) mask[i / 8] |= static_cast<std::uint8_t>(1u << (i % 8));
    }

    for (const std::string& level : levels_to_test()) {
        set_cpu_level(level);
        for (const RowMask rows : {RowMask{nullptr}, RowMask{mask.data()}}) {
            for (std::size_t limits = 0; limits < 7; ++limits) {
                Wanted<double> wanted;
                if (limits < 4) wanted.k = Sizes{1, 10, 100, c.n}.begin()[limits];
                wanted.all_ties = limits == 1 || limits == 3;
                if (limits >= 4 && c.n > 0) wanted.radius = all[random() % all.size()];
                if (limits == 5) wanted.radius = std::nextafter(wanted.radius, 0.0);
                if (limits == 6) wanted.radius = 0.0;
                const auto found =
                    weighted_multi_index_search(selected_kernels(), queries, codes, tables, wanted, rows, 2);
                CHECK(found.given_up.empty());
                for (std::size_t q = 0; q < n_queries; ++q) {
                    CHECK(same(found.lists[q], by_sorting(all.data() + q * c.n, c.n, wanted, rows)));
                }
            }
        }
    }
}

// Bits in one order are summed to less than in another. A code whose distance is lower than the sum of what its
// substrings cost must not be taken for farther than it is.
static void rounding_hides_no_code() {
    for (std::size_t kind = 0; kind < 3; ++kind) {
        Random random(kind);
        constexpr std::size_t n = 400, n_bytes = 8, n_bits = 64;
        for (int round = 0; round < 20; ++round) {
            // All codes differ in the same number of bits, of equal weights or of weights near to each other.
            std::vector<std::uint8_t> bytes(n * n_bytes);
            for (std::size_t i = 0; i < n; ++i) {
                for (std::size_t flips = 0; flips < 5;) {
                    const std::size_t bit = random() % n_bits;
                    std::uint8_t& byte = bytes[i * n_bytes + bit / 8];
                    if ((byte >> (bit % 8) & 1) != 0) continue;
                    byte |= static_cast<std::uint8_t>(1u << (bit % 8));
                    ++flips;
                }
            }
            const double weight = static_cast<double>(1 + random() % 1000) / 1003;
            std::vector<double> projection(n_bits), all(n);
            for (double& p : projection) {
                p = -weight;
                if (kind == 1) p = std::nextafter(p, random() % 2 == 0 ? 0.0 : -1.0);
                if (kind == 2) p = -weight * static_cast<double>(1 + random() % 2);
            }
            const ProjectionView query{projection.data(), 1, n_bits};
            const CodeView codes{bytes.data(), n, n_bytes};
            weighted_distances(query, codes, 1, all);
            const SubstringTables tables(codes, {7, true}, 1);
            for (const std::size_t k : Sizes{1, 7, 300}) {
                const Wanted<double> wanted{.k = k};
                const auto found =
                    weighted_multi_index_search(selected_kernels(), query, codes, tables, wanted, nullptr, 1);
                CHECK(found.given_up.empty() && same(found.lists[0], by_sorting(all.data(), n, wanted, nullptr)));
            }
        }
    }
}

static void gives_up_what_costs_too_much() {
    Random random(3);
    constexpr std::size_t n = 3000, n_bytes = 8, n_bits = 64;
    const auto bytes = random_bytes(random, n * n_bytes);
    const CodeView codes{bytes.data(), n, n_bytes};
    std::vector<double> projections(2 * n_bits, 0.5), all(2 * n);
    for (std::size_t bit = 0; bit < n_bits; ++bit) {
        if ((bytes[bit / 8] >> (bit % 8) & 1) == 0) projections[bit] = -0.5;  // the first is near a code
    }
    const ProjectionView queries{projections.data(), 2, n_bits};
    const SubstringTables tables(codes, {6, true}, 1);
    const auto search = [&](double most_cost) {
        return weighted_multi_index_search(selected_kernels(), queries, codes, tables, {.k = 1}, nullptr, 1, most_cost);
    };
    weighted_distances(queries, codes, 1, all);
    const auto whole = search(std::numeric_limits<double>::infinity());
    CHECK(whole.given_up.empty() && whole.cost > 0);
    CHECK(same(whole.lists[1], by_sorting(all.data() + n, n, {.k = 1}, nullptr)));
    const auto none = search(0.0);
    CHECK(none.given_up.size() == 2 && none.lists[0].empty() && none.lists[1].empty());
    const auto first = search(whole.cost / 3);
    CHECK(first.given_up == std::vector<std::size_t>{1});
    CHECK(same(first.lists[0], whole.lists[0]));

    // More ties than a search holds.
    const std::vector<std::uint8_t> equal(70'000 * n_bytes);
    const CodeView ties{equal.data(), 70'000, n_bytes};
    const SubstringTables of_ties(ties, {6, false}, 1);
    const auto tied = weighted_multi_index_search(selected_kernels(), queries, ties, of_ties, {.k = 2}, nullptr, 1);
    CHECK(tied.given_up.size() == 2);
    const auto all_ties =
        weighted_multi_index_search(selected_kernels(), queries, ties, of_ties, {.k = 2, .all_ties = true}, nullptr, 1);
    CHECK(all_ties.given_up.empty() && all_ties.lists[0].size() == 70'000);
}

// Wrong hits or an error; a sanitizer tells what else.
static void damaged_tables_are_read_safely() {
    Random random(4);
    constexpr std::size_t n = 500, n_bytes = 4, n_bits = 32;
    const auto bytes = random_bytes(random, n * n_bytes);
    const CodeView codes{bytes.data(), n, n_bytes};
    std::vector<double> projections(n_bits);
    for (double& p : projections) p = static_cast<double>(random() % 200) / 100 - 1;
    std::size_t n_thrown = 0;
    for (const bool with_codes : {true, false}) {
        const SubstringTables built(codes, {4, with_codes}, 1);
        for (int round = 0; round < 200; ++round) {
            std::vector<std::uint8_t> damaged(built.bytes().begin(), built.bytes().end());
            const std::size_t n_bytes_damaged = round % 2 == 0 ? 3 : damaged.size();
            for (std::size_t i = 0; i < n_bytes_damaged; ++i) {
                damaged[n_bytes_damaged == 3 ? random() % damaged.size() : i] = static_cast<std::uint8_t>(random());
            }
            const SubstringTables tables(codes, {4, with_codes}, damaged);
            try {
                const auto found = weighted_multi_index_search(selected_kernels(), {projections.data(), 1, n_bits},
                                                               codes, tables, {.k = n}, nullptr, 1);
                for (const auto& hit : found.lists[0]) CHECK(hit.position < n);
            } catch (const std::runtime_error&) {
                ++n_thrown;
            }
        }
    }
    CHECK(n_thrown >= 200);
}

int main() {
    for (std::size_t kind = 0; kind < n_kinds; ++kind) {
        agrees_with_sorting({1000, 8, 64, {7, true}, 6}, kind);
        agrees_with_sorting({600, 8, 61, {8, false}, 12}, kind);
        agrees_with_sorting({500, 2, 16, {2, true}, 0}, kind);
        agrees_with_sorting({300, 16, 128, {16, true}, 20}, kind);
        agrees_with_sorting({64, 1, 1, {1, false}, 2}, kind);
        agrees_with_sorting({1, 3, 24, {2, true}, 1}, kind);
        agrees_with_sorting({0, 8, 64, {8, true}, 0}, kind);
    }
    rounding_hides_no_code();
    gives_up_what_costs_too_much();
    damaged_tables_are_read_safely();
}
