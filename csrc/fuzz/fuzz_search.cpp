// A differential fuzzer of search: random sets of codes, queries and limits at every CPU level, against an oracle that
// adds bit by bit and sorts everything.
//
//     fuzz_search [--seconds S] [--searches N] [--seed SEED]    until S seconds or N searches are over
//     fuzz_search --case SEED                                   one case again
//
// A search is one query against one set of codes at one level. Prints the seed, and that of the case that fails.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/code_set.hpp"
#include "core/cpu_level.hpp"
#include "core/distances.hpp"
#include "core/multi_index_search.hpp"
#include "core/search_plan.hpp"
#include "core/substring_tables.hpp"
#include "core/weighted_multi_index.hpp"

namespace {

using namespace pyhash;

class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}

    std::uint64_t bits() { return engine_(); }
    std::size_t between(std::size_t least, std::size_t most) { return least + bits() % (most - least + 1); }
    bool one_in(std::size_t n) { return bits() % n == 0; }
    double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
    double normal() { return normal_(engine_); }
    template <class T>
    T one_of(std::initializer_list<T> values) {
        return values.begin()[bits() % values.size()];
    }

private:
    std::mt19937_64 engine_;
    std::normal_distribution<double> normal_;
};

std::size_t draw_n_codes(Random& random) {
    switch (random.bits() % 8) {
        case 0: return random.between(0, 20);
        case 1:
        case 2: return random.between(21, 700);
        case 3: return random.between(2700, 5000);
        default: return random.between(2048, 2700);  // from here on sets make layouts
    }
}

double draw_projection(Random& random, unsigned kind) {
    const double sign = random.one_in(2) ? 1.0 : -1.0;
    switch (kind) {
        case 0: return random.normal();
        case 1: return sign * std::pow(10.0, 9 * random.uniform() - 8);
        case 2: return std::round(4 * random.normal()) / 4;
        default: return sign * random.one_of({0.0, 5e-324, 1e-310, 1e-40, 1e-30, 1e-9, 0.3, 1.0, 1e300});
    }
}

bool bit_of(const std::uint8_t* bits, std::size_t i) { return ((bits[i / 8] >> (i % 8)) & 1) != 0; }

void set_bit(std::uint8_t* bits, std::size_t i, bool value) {
    const unsigned bit = 1u << (i % 8);
    bits[i / 8] = static_cast<std::uint8_t>(value ? bits[i / 8] | bit : bits[i / 8] & ~bit);
}

struct Problem {
    std::size_t n_bits, n_bytes, n, n_queries;
    std::vector<std::uint8_t> codes, queries;
    std::vector<double> projections;  // their signs are the queries' bits
    std::vector<std::uint8_t> mask;   // empty: all rows
    std::size_t n_allowed;
    bool lean;

    CodeView code_view() const { return {codes.data(), n, n_bytes}; }
    CodeView query_view() const { return {queries.data(), n_queries, n_bytes}; }
    ProjectionView projection_view() const { return {projections.data(), n_queries, n_bits}; }
    RowMask row_mask() const { return mask.empty() ? nullptr : mask.data(); }
};

std::vector<std::uint8_t> draw_codes(Random& random, std::size_t n, std::size_t n_bits) {
    const std::size_t n_bytes = (n_bits + 7) / 8;
    const std::size_t n_distinct = random.one_in(3) ? random.between(1, 50) : std::max<std::size_t>(n, 1);
    const bool sparse = random.one_in(4);
    std::vector<std::uint8_t> distinct(n_distinct * n_bytes), codes(n * n_bytes);
    for (std::size_t i = 0; i < n_distinct; ++i) {
        std::uint8_t* code = distinct.data() + i * n_bytes;
        if (sparse) {
            for (std::size_t flips = random.between(0, 1 + n_bits / 16); flips > 0; --flips) {
                set_bit(code, random.between(0, n_bits - 1), true);
            }
            continue;
        }
        for (std::size_t j = 0; j < n_bytes; ++j) code[j] = static_cast<std::uint8_t>(random.bits());
        for (std::size_t bit = n_bits; bit < 8 * n_bytes; ++bit) set_bit(code, bit, false);
    }
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t source = n_distinct == n ? i : random.between(0, n_distinct - 1);
        std::copy_n(distinct.data() + source * n_bytes, n_bytes, codes.data() + i * n_bytes);
    }
    return codes;
}

void draw_mask(Random& random, Problem& problem) {
    problem.n_allowed = problem.n;
    if (random.one_in(2)) return;
    problem.mask.assign(mask_bytes(problem.n), 0);
    const double share = random.one_of({0.0, 0.002, 0.05, 0.5, 0.99});
    const std::size_t first = random.one_in(3) ? random.between(0, problem.n) : 0;
    problem.n_allowed = 0;
    for (std::size_t i = first; i < problem.n; ++i) {
        if (random.uniform() >= share) continue;
        set_bit(problem.mask.data(), i, true);
        ++problem.n_allowed;
    }
}

Problem draw_problem(Random& random) {
    Problem problem{};
    problem.n_bits = random.one_in(4) ? random.between(1, 300) : random.between(1, 80);
    problem.n_bytes = (problem.n_bits + 7) / 8;
    problem.n = draw_n_codes(random);
    problem.n_queries = random.one_in(20) ? 0 : random.between(1, 40);
    problem.lean = random.one_in(16);
    problem.codes = draw_codes(random, problem.n, problem.n_bits);

    const std::size_t n_distinct = random.one_in(3) ? 1 : std::max<std::size_t>(problem.n_queries, 1);
    const auto kind = static_cast<unsigned>(random.bits() % 4);
    std::vector<double> distinct(n_distinct * problem.n_bits);
    for (double& p : distinct) p = draw_projection(random, kind);
    problem.queries.assign(problem.n_queries * problem.n_bytes, 0);
    for (std::size_t i = 0; i < problem.n_queries; ++i) {
        const double* projection = distinct.data() + i % n_distinct * problem.n_bits;
        for (std::size_t bit = 0; bit < problem.n_bits; ++bit) {
            problem.projections.push_back(projection[bit]);
            set_bit(problem.queries.data() + i * problem.n_bytes, bit, projection[bit] > 0);
        }
    }
    // Codes that are equal to a query, opposite to it, or a few bits from that.
    for (std::size_t plant = random.between(0, 8); plant > 0 && problem.n > 0 && problem.n_queries > 0; --plant) {
        std::uint8_t* code = problem.codes.data() + random.between(0, problem.n - 1) * problem.n_bytes;
        const std::uint8_t* query = problem.queries.data() + random.between(0, problem.n_queries - 1) * problem.n_bytes;
        const bool opposite = random.one_in(2);
        for (std::size_t bit = 0; bit < problem.n_bits; ++bit) set_bit(code, bit, bit_of(query, bit) != opposite);
        for (std::size_t flips = random.one_in(2) ? random.between(1, 3) : 0; flips > 0; --flips) {
            const std::size_t bit = random.between(0, problem.n_bits - 1);
            set_bit(code, bit, !bit_of(code, bit));
        }
    }
    draw_mask(random, problem);
    return problem;
}

// --- The oracle ------------------------------------------------------------------------------------------------------

std::vector<std::uint32_t> hamming_by_definition(const Problem& problem) {
    std::vector<std::uint32_t> out(problem.n_queries * problem.n, 0);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const std::uint8_t* query = problem.query_view().row(i / problem.n);
        const std::uint8_t* code = problem.code_view().row(i % problem.n);
        for (std::size_t j = 0; j < problem.n_bytes; ++j) {
            out[i] += static_cast<std::uint32_t>(std::popcount(static_cast<unsigned>(query[j] ^ code[j])));
        }
    }
    return out;
}

// What the differing bits of a byte cost: those of a nibble are added in ascending order, then low and high nibble.
double cost_of_byte(const double* projection, std::size_t n_bits, std::size_t byte, unsigned value) {
    double nibbles[2] = {0.0, 0.0};
    for (std::size_t bit = 8 * byte; bit < std::min(8 * byte + 8, n_bits); ++bit) {
        const bool differs = (projection[bit] > 0) != (((value >> (bit % 8)) & 1) != 0);
        if (differs) nibbles[bit % 8 / 4] += std::min(std::abs(projection[bit]), 1.0);
    }
    return nibbles[0] + nibbles[1];
}

std::vector<double> weighted_by_definition(const Problem& problem) {
    std::vector<double> out(problem.n_queries * problem.n, 0.0), costs(256 * problem.n_bytes);
    for (std::size_t q = 0; q < problem.n_queries; ++q) {
        const double* projection = problem.projections.data() + q * problem.n_bits;
        if (q == 0 || !std::equal(projection - problem.n_bits, projection, projection)) {
            for (std::size_t i = 0; i < costs.size(); ++i) {
                costs[i] = cost_of_byte(projection, problem.n_bits, i / 256, static_cast<unsigned>(i % 256));
            }
        }
        for (std::size_t i = 0; i < problem.n; ++i) {
            const std::uint8_t* code = problem.code_view().row(i);
            for (std::size_t j = 0; j < problem.n_bytes; ++j) out[q * problem.n + i] += costs[256 * j + code[j]];
        }
    }
    return out;
}

// All distances, and for each query the allowed rows by distance, then position.
template <class Distance>
struct Oracle {
    std::vector<Distance> distances;
    std::vector<HitList<Distance>> rankings;

    Oracle(const Problem& problem, std::vector<Distance> all) : distances(std::move(all)), rankings(problem.n_queries) {
        for (std::size_t q = 0; q < problem.n_queries; ++q) {
            for (std::size_t i = 0; i < problem.n; ++i) {
                if (!problem.mask.empty() && !bit_of(problem.mask.data(), i)) continue;
                rankings[q].push_back({distances[q * problem.n + i], static_cast<std::uint32_t>(i)});
            }
            std::sort(rankings[q].begin(), rankings[q].end());
        }
    }

    std::size_t n_wanted(std::size_t query, const Wanted<Distance>& wanted) const {
        const HitList<Distance>& ranking = rankings[query];
        std::size_t n = 0;
        while (n < ranking.size() && ranking[n].distance <= wanted.radius) {
            if (n >= wanted.k && !(wanted.all_ties && ranking[n].distance == ranking[wanted.k - 1].distance)) break;
            ++n;
        }
        return n;
    }
};

// --- One case --------------------------------------------------------------------------------------------------------

struct Difference : std::exception {
    explicit Difference(std::string what) : message(std::move(what)) {}
    const char* what() const noexcept override { return message.c_str(); }
    std::string message;
};

template <class Distance>
Wanted<Distance> draw_wanted(Random& random, const Problem& problem, const Oracle<Distance>& oracle) {
    Wanted<Distance> wanted;
    const std::size_t n = problem.n, n_allowed = problem.n_allowed;
    if (!random.one_in(6)) {
        wanted.k = random.one_of<std::size_t>({1, 2, 10, 33, n_allowed - std::min<std::size_t>(n_allowed, 1), n_allowed,
                                               n_allowed + 1, n, n + 3, random.between(1, n + 1)});
        wanted.k = std::max<std::size_t>(wanted.k, 1);
        wanted.all_ties = random.one_in(3);
    }
    const bool bounded = random.one_in(3) || wanted.k > n + 3;
    if (!bounded || oracle.distances.empty()) return wanted;
    wanted.radius = oracle.distances[random.between(0, oracle.distances.size() - 1)];
    if constexpr (std::is_same_v<Distance, double>) {
        if (random.one_in(4)) wanted.radius = std::nextafter(wanted.radius, 0.0);
    }
    if (random.one_in(8)) wanted.radius = 0;
    return wanted;
}

template <class Distance>
std::string as_text(const Wanted<Distance>& wanted) {
    char text[100];
    std::snprintf(text, sizeof text, "k %zu%s, radius %.17g", wanted.k, wanted.all_ties ? " with ties" : "",
                  static_cast<double>(wanted.radius));
    return text;
}

template <class Distance>
void compare(const HitLists<Distance>& hits, const Problem& problem, const Oracle<Distance>& oracle,
             const Wanted<Distance>& wanted, const std::string& what) {
    if (hits.offsets.size() != problem.n_queries + 1) throw Difference(what + ": wrong number of lists");
    for (std::size_t q = 0; q < problem.n_queries; ++q) {
        const std::string where = what + ", query " + std::to_string(q) + ", " + as_text(wanted);
        const auto first = static_cast<std::size_t>(hits.offsets[q]);
        const std::size_t n = static_cast<std::size_t>(hits.offsets[q + 1]) - first,
                          expected = oracle.n_wanted(q, wanted);
        if (n != expected) {
            throw Difference(where + ": " + std::to_string(n) + " hits, not " + std::to_string(expected));
        }
        for (std::size_t i = 0; i < n; ++i) {
            const Hit<Distance>& hit = oracle.rankings[q][i];
            if (hits.positions[first + i] == hit.position && hits.distances[first + i] == hit.distance) continue;
            throw Difference(where + ": hit " + std::to_string(i) + " is row " +
                             std::to_string(hits.positions[first + i]) + ", not " + std::to_string(hit.position));
        }
    }
}

// Tables over substrings of 3 to 12 bits.
TableForm draw_form(Random& random, const Problem& problem) {
    const std::size_t n_bits = 8 * problem.n_bytes, run = random.between(3, 12);
    return {std::min(n_bits, (n_bits + run - 1) / run), random.one_in(2)};
}

MultiIndexHits search_tables(const Problem& problem, const SubstringTables& tables, const Wanted<std::uint32_t>& wanted,
                             std::size_t n_threads) {
    return multi_index_search(selected_kernels(), problem.query_view(), problem.code_view(), tables, wanted,
                              problem.row_mask(), n_threads);
}

// Tables of which some bytes changed give hits, maybe wrong ones, or std::runtime_error.
void search_damaged(Random& random, const Problem& problem, const SubstringTables& tables,
                    const Wanted<std::uint32_t>& wanted) {
    std::vector<std::uint8_t> bytes(tables.bytes().begin(), tables.bytes().end());
    for (std::size_t damages = random.between(1, 20); damages > 0; --damages) {
        bytes[random.between(0, bytes.size() - 1)] ^= static_cast<std::uint8_t>(random.bits());
    }
    try {
        search_tables(problem, {problem.code_view(), tables.form(), std::span<const std::uint8_t>(bytes)}, wanted, 1);
    } catch (const std::runtime_error&) {
        return;
    }
}

// Returns how many searches were compared.
std::size_t run_case(std::uint64_t seed) {
    Random random(seed);
    const Problem problem = draw_problem(random);
    const Oracle<std::uint32_t> hamming(problem, hamming_by_definition(problem));
    const Oracle<double> weighted(problem, weighted_by_definition(problem));
    const CodeSet set(problem.code_view(), problem.lean);
    std::vector<std::string> levels = available_cpu_levels();
    if (!random.one_in(4)) levels.erase(levels.begin());  // "scalar" takes ten times as long as the others together
    std::rotate(levels.begin(), levels.begin() + static_cast<std::ptrdiff_t>(random.between(0, levels.size() - 1)),
                levels.end());  // the first search of a set may be without layouts

    for (const std::string& level : levels) {
        set_cpu_level(level);
        std::vector<std::uint32_t> plain(hamming.distances.size());
        hamming_distances(problem.query_view(), problem.code_view(), 1, plain);
        if (plain != hamming.distances) throw Difference("hamming_distances at " + level);
        std::vector<double> real(weighted.distances.size());
        weighted_distances(problem.projection_view(), problem.code_view(), 1, real);
        if (real != weighted.distances) throw Difference("weighted_distances at " + level);
    }
    const SubstringTables tables(problem.code_view(), draw_form(random, problem), 1);
    std::size_t n_searches = 0;
    for (int limits = 0; limits < 12; ++limits) {
        const auto near = draw_wanted(random, problem, hamming);
        const auto light = draw_wanted(random, problem, weighted);
        const std::size_t n_threads = random.one_in(8) ? random.between(2, 3) : 1;
        for (const std::string& level : levels) {
            set_cpu_level(level);
            compare(set.search(problem.query_view(), near, problem.row_mask(), n_threads), problem, hamming, near,
                    "search at " + level);
            compare(set.search_weighted(problem.projection_view(), light, problem.row_mask(), n_threads), problem,
                    weighted, light, "search_weighted at " + level);
            const auto through_tables =
                weighted_multi_index_search(selected_kernels(), problem.projection_view(), problem.code_view(), tables,
                                            light, problem.row_mask(), n_threads);
            compare(joined(through_tables.lists), problem, weighted, light, "weighted_multi_index_search at " + level);
            compare(joined(search_tables(problem, tables, near, n_threads).lists), problem, hamming, near,
                    "multi_index_search at " + level);
            n_searches += 4 * problem.n_queries;
        }
        search_damaged(random, problem, tables, near);
    }
    return n_searches;
}

bool passes(std::uint64_t seed, std::size_t& n_searches) {
    try {
        n_searches += run_case(seed);
        return true;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\nagain: fuzz_search --case %llu\n", error.what(),
                     static_cast<unsigned long long>(seed));
        return false;
    }
}

struct Options {
    std::optional<double> seconds;
    std::optional<std::size_t> n_searches;
    std::optional<std::uint64_t> seed, only_case;
};

Options options_of(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i += 2) {
        const std::string name = argv[i];
        const char* value = i + 1 < argc ? argv[i + 1] : "";
        char* end = nullptr;
        if (name == "--seconds") {
            options.seconds = std::strtod(value, &end);
        } else if (name == "--searches") {
            options.n_searches = std::strtoull(value, &end, 10);
        } else if (name == "--seed") {
            options.seed = std::strtoull(value, &end, 10);
        } else if (name == "--case") {
            options.only_case = std::strtoull(value, &end, 10);
        }
        if (end == nullptr || end == value || *end != '\0') {
            std::fprintf(stderr, "usage: fuzz_search [--seconds S] [--searches N] [--seed SEED] | --case SEED\n");
            std::exit(2);
        }
    }
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = options_of(argc, argv);
    std::size_t n_searches = 0, n_cases = 0;
    if (options.only_case) return passes(*options.only_case, n_searches) ? 0 : 1;

    const std::uint64_t seed = options.seed ? *options.seed : std::random_device()();
    std::printf("fuzz_search: seed %llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    const auto start = std::chrono::steady_clock::now();
    const auto elapsed = [start] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const double seconds = options.seconds.value_or(options.n_searches ? std::numeric_limits<double>::max() : 10.0);
    const std::size_t most = options.n_searches.value_or(std::numeric_limits<std::size_t>::max());
    Random case_seeds(seed);
    for (; n_searches < most && elapsed() < seconds; ++n_cases) {
        if (!passes(case_seeds.bits(), n_searches)) return 1;
    }
    std::printf("fuzz_search: %zu searches in %zu cases, %.1f s, no difference\n", n_searches, n_cases, elapsed());
    return 0;
}
