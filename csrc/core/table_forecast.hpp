// What searches through substring tables would cost, predicted from a few rows before any table is built.
#pragma once

#include <cstddef>
#include <vector>

#include "core/code_view.hpp"
#include "core/kernel_table.hpp"
#include "core/substring_tables.hpp"

namespace pyhash {

// The forms that are worth a comparison and take at most so many bytes a code, with a few codes or a few hundred in a
// bucket. Forms without copies of the codes where no other fits.
std::vector<TableForm> possible_forms(std::size_t n, std::size_t n_bytes, double bytes_per_code);

// From the distances of some rows to a sample of all, as a whole and by substring. The same for the same codes and
// forms. Costs are nanoseconds of one thread.
class TableForecast {
public:
    // Of a hit: its position is read, and hits are put in order.
    static constexpr double ns_per_hit = 150;

    // About what making a forecast costs, and what building tables costs.
    static double own_cost(CodeView codes);
    static double build_cost(CodeView codes, TableForm form);

    // Of the form among these, at least one, that costs least for many searches for the 10 nearest, building included.
    TableForecast(const KernelTable& kernels, CodeView codes, const std::vector<TableForm>& forms);

    TableForm form() const { return form_; }

    // What a query for the `rank` nearest within the radius costs on average. One that costs more than `most` is given
    // up then, and searched otherwise, which costs `most` again.
    double search_cost(double rank, std::size_t radius, double most) const;

private:
    // Of one row as a query.
    struct Probe {
        std::vector<double> sampled_within;  // sampled rows within each distance
        std::vector<double> costs;           // of s shells, where each is the cheapest next one
    };

    TableForecast(double n, double n_sampled, TableForm form) : n_(n), n_sampled_(n_sampled), form_(form) {}
    double kth_distance(const Probe& probe, double rank) const;

    double n_, n_sampled_;
    TableForm form_{};
    std::vector<Probe> probes_;
};

}  // namespace pyhash
