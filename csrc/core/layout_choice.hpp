// Chooses, search by search, between a scan of a set of codes and its substring tables, and when tables are worth
// building. Choices change how long a search takes, never what it finds.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "core/code_view.hpp"
#include "core/once_built.hpp"
#include "core/substring_tables.hpp"
#include "core/table_forecast.hpp"

namespace pyhash {

enum class Layout : std::uint8_t { automatic, scan, multi_index };

// All costs are nanoseconds of one thread. This is what a query costs in a Hamming scan, of bit planes or of the codes
// as they are, where so many search together.
double scan_cost(CodeView codes, bool planes, std::size_t n_queries);

// A search, as far as its cost depends on it.
struct SearchSize {
    std::size_t n_queries = 1;
    double rank = 10;  // k / share of the rows that a mask lets through
    std::size_t radius = std::numeric_limits<std::size_t>::max();
    std::size_t n_threads = 1;
    double scan = 0;  // the cost of a query in a scan
    bool weighted = false;
    double table_factor = 1;  // times what a Hamming search through tables costs
};

// Any number of threads may ask and tell at the same time.
class LayoutChoice {
public:
    LayoutChoice(CodeView codes, bool lean, Layout layout, double bytes_per_code);
    ~LayoutChoice();

    Layout layout() const { return layout_; }
    double bytes_per_code() const { return bytes_per_code_; }

    // Counts a search without tables. Whether they are to be built now, as they save more than they cost if the next
    // searches are like those so far.
    bool worth_building(const SearchSize& size) const;

    // The form to build; none where the budget is too small for any.
    std::optional<TableForm> form() const;

    // How many of the queries to search through the tables before asking again.
    std::size_t n_to_try(const SearchSize& size) const;

    // What a query may cost before it is given up.
    double most_cost(const SearchSize& size) const;

    // Some queries were searched through the tables: how many of them were given up, what hits the others had, and what
    // the lookups of all cost.
    void learn(const SearchSize& size, std::size_t n_queries, std::size_t n_given_up, std::size_t n_hits,
               double cost) const;

    // There is no memory for tables.
    void give_up_tables() const { no_memory_.store(true, std::memory_order_relaxed); }

    // Whether a search of this size goes through the tables, and why: one sentence.
    std::pair<bool, std::string> explain(const SearchSize& size, const SubstringTables* tables) const;

private:
    struct Prospects;
    struct Learned {     // over the last queries
        float cost = 0;  // the mean
        std::uint16_t n_queries = 0;
        std::uint16_t given_up = 0;  // of 65,535
    };

    const Prospects& prospects() const;
    std::atomic<Learned>& learned(const SearchSize& size) const;
    std::optional<double> measured(const SearchSize& size) const;
    std::optional<double> predicted(const SearchSize& size) const;
    bool pays(const SearchSize& size) const;
    bool is_predicted_to_pay(const SearchSize& size) const;
    double cost_of_tables() const;

    CodeView codes_;
    bool lean_;
    Layout layout_;
    double bytes_per_code_;
    OnceBuilt<Prospects> prospects_;
    mutable std::atomic<bool> no_memory_{false};
    mutable std::atomic<double> scanned_{0};  // cost of scans that tables might have saved
    mutable std::atomic<std::uint32_t> n_denied_{0};
    mutable std::array<std::atomic<Learned>, 128> learned_{};
};

}  // namespace pyhash
