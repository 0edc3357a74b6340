#include "core/table_forecast.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>

#include "core/multi_index_search.hpp"

namespace pyhash {
namespace {

constexpr std::size_t n_probes = 16;
// Shells are counted in a sample of so many rows, distances in a larger one: the nearest rows are few. Both are small
// parts of all rows, so that a forecast is cheap beside the scans it is to save.
constexpr std::size_t rows_for_shells = 65'536, rows_for_distances = 262'144;
constexpr std::size_t least_rows_per_shell_row = 8, least_rows_per_distance_row = 4;
// In short runs: a run costs one or two accesses to memory, and rows side by side may be alike.
constexpr std::size_t rows_per_run = 16;

// The least sampled rows within a distance that tell their share, and those that tell how it falls below.
constexpr double few_rows = 3, more_rows = 16;

// Forms are compared by this many searches for so many hits.
constexpr double usual_k = 10, usual_searches = 100'000;
constexpr std::size_t most_forms = 4;  // that are compared
constexpr double ns_per_sampled_byte = 15;

// Counting sorts of many buckets miss the caches.
constexpr double ns_per_built_position = 20, ns_per_built_byte = 1, ns_per_missed_bucket = 150;
constexpr std::size_t bits_of_cached_buckets = 17;

// Codes of runs of rows, evenly spaced. The rows after a run are not in the sample.
struct Sample {
    std::size_t first_row(std::size_t run) const { return all.n / n_runs * run; }
    CodeView view() const { return {bytes.data(), bytes.size() / all.n_bytes, all.n_bytes}; }

    Sample(CodeView codes, std::size_t most) : all(codes), n_runs(std::max<std::size_t>(most / rows_per_run, 1)) {
        for (std::size_t run = 0; run < n_runs; ++run) {
            const std::size_t n = std::min(rows_per_run, codes.n - first_row(run));
            bytes.insert(bytes.end(), codes.row(first_row(run)), codes.row(first_row(run)) + n * codes.n_bytes);
        }
    }

    CodeView all;
    std::size_t n_runs;
    std::vector<std::uint8_t> bytes;
};

// How many of the distances are 0, 1, ...
std::vector<double> counts_of(std::span<const std::uint32_t> distances, std::size_t most) {
    std::array<std::vector<std::uint32_t>, 4>
        counts;  // several: equal distances that follow do not wait for each other
    for (auto& part : counts) part.assign(most + 1, 0);
    for (std::size_t i = 0; i < distances.size(); ++i) ++counts[i % 4][distances[i]];
    std::vector<double> sums(most + 1);
    for (std::size_t d = 0; d <= most; ++d) {
        for (const auto& part : counts) sums[d] += part[d];
    }
    return sums;
}

std::vector<double> binomials(std::size_t n) {
    std::vector<double> row{1.0};
    for (std::size_t i = 0; i < n; ++i) {
        row.push_back(row.back() * static_cast<double>(n - i) / static_cast<double>(i + 1));
    }
    return row;
}

// For distances of a Gaussian, these fall by equal steps from distance to distance in the lower tail.
double deviation(double share) { return std::sqrt(-2.0 * std::log(std::min(share, 0.99))); }

// The distance, between whole ones, within which there are `count` of the rows.
double distance_of(const std::vector<double>& rows_within, double count) {
    const auto after = std::ranges::lower_bound(rows_within, count);
    const auto d = static_cast<double>(after - rows_within.begin());
    if (after == rows_within.begin() || after == rows_within.end()) return d;
    const double below = std::max(*(after - 1), 0.5);
    return count <= below ? d : d - std::log(*after / count) / std::log(*after / below);
}

// One substring of some codes.
class Substrings {
public:
    Substrings(CodeView codes, BitRun run) : run_(run), words_(codes.n) {
        for (std::size_t row = 0; row < codes.n; ++row) words_[row] = of(codes, row);
    }

    // How many of them are at each distance from a row's.
    std::vector<double> shells(const KernelTable& kernels, CodeView codes, std::size_t row) const {
        const std::uint32_t word = of(codes, row);
        std::vector<std::uint32_t> distances(words_.size());
        kernels.hamming(reinterpret_cast<const std::uint8_t*>(&word),
                        reinterpret_cast<const std::uint8_t*>(words_.data()), words_.size(), sizeof word,
                        distances.data());
        return counts_of(distances, run_.n);
    }

private:
    std::uint32_t of(CodeView codes, std::size_t row) const {
        const std::size_t byte = run_.first / 8;
        std::uint64_t word = 0;
        std::memcpy(&word, codes.row(row) + byte, std::min<std::size_t>(sizeof word, codes.n_bytes - byte));
        return static_cast<std::uint32_t>(word >> (run_.first % 8) & ((std::uint64_t{1} << run_.n) - 1));
    }

    BitRun run_;
    std::vector<std::uint32_t> words_;
};

using Shells = std::vector<double>;

// What the first s shells cost, s = 0, 1, ..., where each is the cheapest of the next ones of all tables.
std::vector<double> costs_of(const std::vector<Shells>& tables, double rows_per_sampled, TableForm form) {
    const MultiIndexCosts cost = MultiIndexCosts::of(form);
    std::vector<std::vector<double>> costs;
    std::size_t n_shells = 0;
    for (const Shells& shells : tables) {
        std::vector<double> of_table = binomials(shells.size() - 1);
        for (std::size_t r = 0; r < shells.size(); ++r) {
            of_table[r] = cost.lookup * of_table[r] + cost.candidate * rows_per_sampled * shells[r];
        }
        n_shells += shells.size();
        costs.push_back(std::move(of_table));
    }
    std::vector<double> sums{0.0};
    std::vector<std::size_t> next(costs.size());
    while (sums.size() <= n_shells) {
        double least = std::numeric_limits<double>::infinity();
        std::size_t cheapest = 0;
        for (std::size_t t = 0; t < costs.size(); ++t) {
            if (next[t] == costs[t].size() || costs[t][next[t]] >= least) continue;
            least = costs[t][next[t]];
            cheapest = t;
        }
        sums.push_back(sums.back() + least);
        ++next[cheapest];
    }
    return sums;
}

}  // namespace

std::vector<TableForm> possible_forms(std::size_t n, std::size_t n_bytes, double bytes_per_code) {
    std::vector<TableForm> forms;
    if (n == 0) return forms;
    const auto rows = static_cast<double>(n);
    const std::size_t n_bits = 8 * n_bytes;
    // Bits of a run: buckets hold from one code in two to 256.
    const std::size_t most = std::min<std::size_t>(std::bit_width(n), SubstringTables::max_run_bits);
    const std::size_t least = std::clamp<std::size_t>(std::bit_width(n / 256), 1, most);
    const std::size_t first = (n_bits + most - 1) / most, last = std::min((n_bits + least - 1) / least, n_bits);
    const std::size_t step = 1 + (last - first) / most_forms;
    for (const bool with_codes : {true, false}) {
        for (std::size_t m = first; m <= last; m += step) {
            const TableForm form{m, with_codes};
            const std::size_t bytes = m * sizeof(std::uint32_t) + (with_codes ? m * n_bytes : 0);  // and offsets
            if (static_cast<double>(bytes) > bytes_per_code) break;
            if (static_cast<double>(SubstringTables::bytes_of(n, n_bytes, form)) > bytes_per_code * rows) continue;
            forms.push_back(form);
        }
        if (!forms.empty()) break;
    }
    return forms;
}

double TableForecast::own_cost(CodeView codes) {
    const std::size_t rows = std::min(rows_for_distances, codes.n / least_rows_per_distance_row);
    return ns_per_sampled_byte * static_cast<double>(rows * codes.n_bytes);
}

double TableForecast::build_cost(CodeView codes, TableForm form) {
    const double of_code = form.with_codes ? static_cast<double>(codes.n_bytes) * ns_per_built_byte : 0;
    const double missed = 8 * codes.n_bytes > bits_of_cached_buckets * form.n_tables ? ns_per_missed_bucket : 0;
    return static_cast<double>(codes.n * form.n_tables) * (ns_per_built_position + of_code + missed);
}

double TableForecast::kth_distance(const Probe& probe, double rank) const {
    const std::vector<double>& within = probe.sampled_within;
    const double count = rank * n_sampled_ / n_, last = static_cast<double>(within.size() - 1);
    if (count >= within.back()) return last;
    if (count >= few_rows || within.back() < more_rows) return std::ceil(distance_of(within, count));
    const double near = distance_of(within, few_rows), far = distance_of(within, more_rows);
    const double few = deviation(few_rows / n_sampled_), more = deviation(more_rows / n_sampled_);
    const double steps = (deviation(count / n_sampled_) - few) / (few - more);
    return std::ceil(std::clamp(near - steps * (far - near), 0.0, last));
}

double TableForecast::search_cost(double rank, std::size_t radius, double most) const {
    double sum = 0;
    for (const Probe& probe : probes_) {
        const double kth = kth_distance(probe, rank), last = static_cast<double>(probe.sampled_within.size() - 1);
        const double distance = std::min({kth, static_cast<double>(radius), last});
        double n_hits = probe.sampled_within[static_cast<std::size_t>(distance)] * n_ / n_sampled_;
        if (kth <= static_cast<double>(radius)) n_hits = std::max(n_hits, std::min(rank, n_));
        const double n_shells = std::min(distance + 1, static_cast<double>(probe.costs.size() - 1));
        const double cost = probe.costs[static_cast<std::size_t>(n_shells)] + ns_per_hit * n_hits;
        sum += cost <= most ? cost : 2 * most;
    }
    return sum / static_cast<double>(probes_.size());
}

TableForecast::TableForecast(const KernelTable& kernels, CodeView codes, const std::vector<TableForm>& forms)
    : n_(static_cast<double>(codes.n)) {
    const std::size_t n_bits = 8 * codes.n_bytes;
    const Sample far(codes, std::min(rows_for_distances, codes.n / least_rows_per_distance_row));
    n_sampled_ = static_cast<double>(far.view().n);
    std::vector<std::size_t> own(n_probes);  // rows, not in the sample
    std::vector<std::vector<double>> within(n_probes);
    std::vector<std::uint32_t> distances(far.view().n);
    for (std::size_t p = 0; p < n_probes; ++p) {
        own[p] = std::min(far.first_row(far.n_runs * p / n_probes) + rows_per_run, codes.n - 1);
        kernels.hamming(codes.row(own[p]), far.bytes.data(), distances.size(), codes.n_bytes, distances.data());
        within[p] = counts_of(distances, n_bits);
        std::partial_sum(within[p].begin(), within[p].end(), within[p].begin());
    }

    const Sample near(codes, std::min(rows_for_shells, codes.n / least_rows_per_shell_row));
    const double rows_per_sampled = n_ / static_cast<double>(near.view().n);
    double least = std::numeric_limits<double>::infinity();
    for (const TableForm& form : forms) {
        std::vector<std::vector<Shells>> shells(n_probes);
        for (std::size_t t = 0; t < form.n_tables; ++t) {
            const Substrings substrings(near.view(), SubstringTables::run_of(n_bits, form.n_tables, t));
            for (std::size_t p = 0; p < n_probes; ++p) shells[p].push_back(substrings.shells(kernels, codes, own[p]));
        }
        TableForecast of_form(n_, n_sampled_, form);
        for (std::size_t p = 0; p < n_probes; ++p) {
            of_form.probes_.push_back({within[p], costs_of(shells[p], rows_per_sampled, form)});
        }
        const double cost = of_form.search_cost(usual_k, n_bits, std::numeric_limits<double>::infinity()) +
                            build_cost(codes, form) / usual_searches;
        if (cost >= least) continue;
        least = cost;
        *this = std::move(of_form);
    }
}

}  // namespace pyhash
