#include "core/layout_choice.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "core/cpu_level.hpp"
#include "core/search_plan.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

// In smaller sets a scan takes a few microseconds, and tables are no faster.
constexpr std::size_t least_rows_of_tables = 8192;

// A prediction may be wrong by a factor of two. What was measured is nearer to the truth, though it is counts of what
// was done times what each takes.
constexpr double margin_of_prediction = 2.0, margin_of_measurement = 1.5;

// A forecast is made when the scans so far took so many times as long.
constexpr double scans_per_forecast = 20;

// Where scans are preferred, one query of one search in so many tells whether this is still right.
constexpr std::uint32_t searches_per_trial = 64;

// Queries that are tried at first, and how many later ones weigh as much as all before.
constexpr std::size_t first_trial = 32;
constexpr double memory_of_queries = 16;

// Measured on one core of an AMD EPYC (Zen 2). A byte costs more where planes are larger than the nearest caches, and
// more again where they are larger than all.
constexpr double ns_per_call = 4'000, ns_per_code = 0.5, ns_per_code_byte = 0.06, ns_per_plane_byte = 0.0155;
constexpr double near_cache_bytes = 0.5e6, cache_bytes = 20e6, ns_per_cached_byte = 0.018, ns_per_far_byte = 0.11;
constexpr double most_given_up = 65'535;

double as_double(std::size_t n) { return static_cast<double>(n); }

std::string with_commas(double value) {
    char digits[40];
    const int n = std::snprintf(digits, sizeof digits, "%.0f", value);
    std::string text;
    for (int i = 0; i < n; ++i) {
        if (i > 0 && (n - i) % 3 == 0) text += ',';
        text += digits[i];
    }
    return text;
}

std::string microseconds(double ns) { return with_commas(std::max(1.0, ns / 1000)) + " us"; }

}  // namespace

double scan_cost(CodeView codes, bool planes, std::size_t n_queries) {
    const double rows = as_double(codes.n), bytes = as_double(codes.n_bytes);
    if (!planes) return ns_per_call + rows * (ns_per_code + ns_per_code_byte * bytes);
    // One query reads the planes that it adds up, about half of them; several together read all once.
    const double together = as_double(std::clamp<std::size_t>(n_queries, 1, queries_per_tile));
    const double read = rows * std::min((bytes + 1) / together, bytes / 2 + 1);
    const double planes_bytes = rows * (bytes + 1);
    const double ns_per_byte = planes_bytes > cache_bytes        ? ns_per_far_byte
                               : planes_bytes > near_cache_bytes ? ns_per_cached_byte
                                                                 : 0;
    return ns_per_call / together + rows * bytes * ns_per_plane_byte + read * ns_per_byte;
}

// What tables could be built.
struct LayoutChoice::Prospects {
    explicit Prospects(CodeView codes, double bytes_per_code) {
        const std::vector<TableForm> forms = possible_forms(codes.n, codes.n_bytes, bytes_per_code);
        if (!forms.empty()) forecast.emplace(selected_kernels(), codes, forms);
    }
    std::optional<TableForecast> forecast;
};

LayoutChoice::LayoutChoice(CodeView codes, bool lean, Layout layout, double bytes_per_code)
    : codes_(codes), lean_(lean), layout_(layout), bytes_per_code_(bytes_per_code) {}

LayoutChoice::~LayoutChoice() = default;

const LayoutChoice::Prospects& LayoutChoice::prospects() const {
    return *prospects_.get_or([this] { return std::make_unique<Prospects>(codes_, bytes_per_code_); });
}

std::optional<TableForm> LayoutChoice::form() const {
    const auto& forecast = prospects().forecast;
    return forecast ? std::optional(forecast->form()) : std::nullopt;
}

double LayoutChoice::most_cost(const SearchSize& size) const {
    // A scan divides rows among threads, tables divide queries.
    const double n_queries = as_double(size.n_queries);
    const double threads = std::clamp(n_queries * as_double(codes_.n) / as_double(worth_a_thread::searched_codes), 1.0,
                                      as_double(size.n_threads));
    return size.scan / threads * std::min(n_queries, as_double(size.n_threads));
}

// Ranks and radii of about the same size are learned together.
std::atomic<LayoutChoice::Learned>& LayoutChoice::learned(const SearchSize& size) const {
    const std::size_t kind = std::isinf(size.rank)
                                 ? 32 + std::min<std::size_t>(size.radius / 2, 31)
                                 : static_cast<std::size_t>(std::clamp(std::log2(size.rank), 0.0, 31.0));
    return learned_[kind + (size.weighted ? 64 : 0)];
}

std::optional<double> LayoutChoice::measured(const SearchSize& size) const {
    const Learned mean = learned(size).load(std::memory_order_relaxed);
    if (mean.n_queries == 0) return std::nullopt;
    return mean.cost + mean.given_up / most_given_up * most_cost(size);
}

std::optional<double> LayoutChoice::predicted(const SearchSize& size) const {
    const Prospects* made = prospects_.get();
    if (made == nullptr || !made->forecast) return std::nullopt;
    return size.table_factor * made->forecast->search_cost(size.rank, size.radius, most_cost(size) / size.table_factor);
}

void LayoutChoice::learn(const SearchSize& size, std::size_t n_queries, std::size_t n_given_up, std::size_t n_hits,
                         double cost) const {
    if (n_queries == 0) return;
    // Where a mask hides rows, the positions of hidden ones are read too.
    const double looked_at = std::isinf(size.rank) ? 0 : size.rank * as_double(n_queries - n_given_up);
    cost += TableForecast::ns_per_hit * std::max(as_double(n_hits), looked_at);
    std::atomic<Learned>& place = learned(size);
    const Learned before = place.load(std::memory_order_relaxed);
    const double n = as_double(n_queries);
    const double weight = n / (n + std::min<double>(before.n_queries, memory_of_queries));
    const double given_up = most_given_up * as_double(n_given_up) / n;
    // Where several threads learn at a time, the last one counts.
    place.store({static_cast<float>(before.cost + weight * (cost / n - before.cost)),
                 static_cast<std::uint16_t>(std::min<std::size_t>(before.n_queries + n_queries, 65'535)),
                 static_cast<std::uint16_t>(before.given_up + weight * (given_up - before.given_up))},
                std::memory_order_relaxed);
}

bool LayoutChoice::pays(const SearchSize& size) const {
    const double most = most_cost(size);
    if (const auto cost = measured(size)) return margin_of_measurement * *cost <= most;
    if (layout_ == Layout::multi_index) return true;
    // A prediction takes a few microseconds: it is kept in the place of what will be measured.
    Learned kept = learned(size).load(std::memory_order_relaxed);
    if (kept.n_queries == 0 && kept.cost > 0) return margin_of_prediction * kept.cost <= most;
    const auto cost = predicted(size);
    if (!cost) return true;
    learned(size).compare_exchange_strong(kept, {.cost = static_cast<float>(*cost)}, std::memory_order_relaxed);
    return margin_of_prediction * *cost <= most;
}

// Not kept: what it depends on, such as how many queries search together, may be another at the next search.
bool LayoutChoice::is_predicted_to_pay(const SearchSize& size) const {
    const auto cost = predicted(size);
    return cost && margin_of_prediction * *cost <= most_cost(size);
}

bool LayoutChoice::worth_building(const SearchSize& size) const {
    if (lean_ || layout_ == Layout::scan || no_memory_.load(std::memory_order_relaxed)) return false;
    if (layout_ == Layout::multi_index) return form().has_value();
    if (codes_.n < least_rows_of_tables) return false;
    const double cost = size.scan * as_double(size.n_queries);
    const double scanned = scanned_.fetch_add(cost, std::memory_order_relaxed) + cost;
    if (scanned < cost_of_tables()) return false;
    if (prospects().forecast && is_predicted_to_pay(size)) return true;
    scanned_.store(0, std::memory_order_relaxed);
    return false;
}

// Scans must have cost as much before it is made.
double LayoutChoice::cost_of_tables() const {
    const Prospects* made = prospects_.get();
    const TableForm guess{std::max<std::size_t>(1, codes_.n_bytes / 2), true};
    const double build =
        TableForecast::build_cost(codes_, made != nullptr && made->forecast ? made->forecast->form() : guess);
    return std::max(build, scans_per_forecast * TableForecast::own_cost(codes_));
}

std::size_t LayoutChoice::n_to_try(const SearchSize& size) const {
    if (layout_ == Layout::scan) return 0;
    if (pays(size)) return std::max<std::size_t>(first_trial, learned(size).load(std::memory_order_relaxed).n_queries);
    return n_denied_.fetch_add(1, std::memory_order_relaxed) % searches_per_trial == searches_per_trial - 1 ? 1 : 0;
}

std::pair<bool, std::string> LayoutChoice::explain(const SearchSize& size, const SubstringTables* tables) const {
    const std::string scan = microseconds(size.scan);
    if (layout_ == Layout::scan) return {false, "Scans were asked for."};
    const auto compared = [&](const char* how, double cost, std::size_t n_tables) {
        return "A query for the 10 nearest " + std::string(how) + " about " + microseconds(cost) + " through " +
               std::to_string(n_tables) + " tables and " + scan + " in a scan.";
    };
    if (tables != nullptr) {
        const std::size_t n_tables = tables->n_tables();
        if (const auto cost = measured(size)) return {pays(size), compared("takes", *cost, n_tables)};
        if (const auto cost = predicted(size)) return {pays(size), compared("is predicted to take", *cost, n_tables)};
        return {true, "There are " + std::to_string(n_tables) + " tables; a query takes about " + scan + " in a scan."};
    }
    const Prospects* made = prospects_.get();
    if (lean_) return {false, "The codes are mapped from files, where they have no tables."};
    if (no_memory_.load(std::memory_order_relaxed)) return {false, "There was no memory for tables."};
    if (layout_ == Layout::automatic && codes_.n < least_rows_of_tables) {
        return {false, with_commas(as_double(codes_.n)) + " codes are too few for tables to be faster."};
    }
    if (made != nullptr && !made->forecast) {
        char budget[40];
        std::snprintf(budget, sizeof budget, "%g", bytes_per_code_);
        return {false, "Tables do not fit in " + std::string(budget) + " bytes a code."};
    }
    if (layout_ == Layout::multi_index) return {false, "Tables are built at the first search."};
    if (const auto cost = predicted(size); cost && !is_predicted_to_pay(size)) {
        return {false, compared("is predicted to take", *cost, form().value_or(TableForm{}).n_tables)};
    }
    return {false, "The scans so far took about " + microseconds(scanned_.load(std::memory_order_relaxed)) +
                       "; whether tables pay is asked at " + microseconds(cost_of_tables()) + "."};
}

}  // namespace pyhash
