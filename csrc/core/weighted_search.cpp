#include "core/weighted_search.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/aligned_buffer.hpp"
#include "core/cpu_level.hpp"
#include "core/distances.hpp"
#include "core/search_plan.hpp"
#include "core/selection.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

// Tables of bytes (costs of distances.hpp) and of nibbles, which are the former in whole steps of a scale, rounded down:
// their sum times the scale is never above the distance.
class WeightedQuery {
public:
    WeightedQuery(const double* projection, std::size_t n_bits, std::size_t n_bytes)
        : costs_(256 * n_bytes), nibble_costs_(32 * n_bytes) {
        weighted_costs(projection, n_bits, costs_.data());
        for (std::size_t j = 0; j < n_bytes; ++j) {
            const double* of_byte = costs_.data() + 256 * j;
            unsigned query = 0;
            for (std::size_t bit = 0; bit < 8 && 8 * j + bit < n_bits; ++bit) {
                query |= static_cast<unsigned>(projection[8 * j + bit] > 0) << bit;
            }
            for (unsigned value = 0; value < 16; ++value) {
                nibble_costs_[32 * j + value] = of_byte[(query & 0xf0u) | value];
                nibble_costs_[32 * j + 16 + value] = of_byte[value << 4 | (query & 0x0fu)];
            }
            total_ += of_byte[255u ^ query];
        }
    }

    // The greatest distance that there can be.
    double total() const { return total_; }

    double distance(const std::uint8_t* code) const {
        double sum = 0.0;
        const double* table = costs_.data();
        for (std::size_t j = 0; j < costs_.size() / 256; ++j, table += 256) sum += table[code[j]];
        return sum;
    }

    const double* costs() const { return costs_.data(); }

    // Fills the tables of nibbles so that `distance` is `steps` steps of their scale.
    void fill_tables(double distance, double steps, std::uint8_t* tables) {
        per_unit_ = distance > 0 ? steps / distance : 0.0;
        if (!(per_unit_ > 0 && per_unit_ < 1e300)) {  // no distance but 0 counts
            per_unit_ = 0;
            for (std::size_t i = 0; i < nibble_costs_.size(); ++i) tables[i] = nibble_costs_[i] > 0 ? 255 : 0;
            return;
        }
        // A millionth less: products that are rounded up must not lift a sum above the distance.
        const double scale = per_unit_ * (1 - 1e-6);
        for (std::size_t i = 0; i < nibble_costs_.size(); ++i) {
            tables[i] = static_cast<std::uint8_t>(static_cast<int>(std::min(nibble_costs_[i] * scale, 255.0)));
        }
    }

    // Sums below it are of codes that can be within the distance.
    std::uint8_t bound_of(double distance) const {
        return static_cast<std::uint8_t>(std::min(distance * per_unit_ + 1.0, 255.0));
    }

private:
    std::vector<double> costs_, nibble_costs_;
    double total_ = 0.0, per_unit_ = 0.0;
};

void search_codes(const double* projections, std::size_t n_bits, CodeView codes, const Wanted<double>& wanted,
                  RowMask mask, const SearchPiece& piece, HitList<double>* lists) {
    std::vector<double> costs(256 * codes.n_bytes), distances(std::min(codes_per_block, piece.n_rows));
    for (std::size_t q = 0; q < piece.n_queries; ++q) {
        weighted_costs(projections + (piece.first_query + q) * n_bits, n_bits, costs.data());
        SortedSelection selection(wanted);
        const std::size_t last = piece.first_row + piece.n_rows;
        for (std::size_t first = piece.first_row; first < last && !selection.done(); first += codes_per_block) {
            const std::size_t n = std::min(codes_per_block, last - first);
            kernels().weighted_hamming(costs.data(), codes.row(first), n, codes.n_bytes, distances.data());
            for (std::size_t i = 0; i < n; ++i) {
                if (!selection.wants(distances[i]) || !lets_through(mask, first + i)) continue;
                selection.take(distances[i], static_cast<std::uint32_t>(first + i));
            }
        }
        lists[q] = selection.finish();
    }
}

// Steps of the nibble tables that the bound is, at first and at least before they are filled anew.
constexpr double steps_of_bound = 250, least_steps = 160;

constexpr std::size_t block_rows = NibblePlanes::codes_per_block;

// A distance within which k of the first rows lie, or more than any where they are fewer: the k with the least sums,
// looked at exactly.
double seed_distance(WeightedQuery& query, CodeView codes, const NibblePlanes& planes, std::size_t k, RowMask mask,
                     const SearchPiece& piece, std::uint8_t* tables, std::vector<std::uint8_t>& sums) {
    const std::size_t n = std::min(std::clamp<std::size_t>(16 * k, 1024, 16'384), piece.n_rows);
    if (k > n) return query.total();
    const std::size_t n_blocks = (n + block_rows - 1) / block_rows;
    sums.resize(n_blocks * block_rows);
    query.fill_tables(query.total() / 4, steps_of_bound, tables);  // the nearest are hardly a quarter of the way off
    kernels().sum_nibbles(planes.block(piece.first_row / block_rows), n_blocks, planes.n_planes(), tables, sums.data());
    std::array<std::array<std::uint32_t, 256>, 4> counts{};  // neighbours apart: they need not wait for each other
    for (std::size_t i = 0; i < n; ++i) {
        counts[i % 4][sums[i]] += lets_through(mask, piece.first_row + i);
    }
    std::size_t n_within = 0, greatest = 0;
    for (; greatest < 256; ++greatest) {
        n_within += counts[0][greatest] + counts[1][greatest] + counts[2][greatest] + counts[3][greatest];
        if (n_within >= k) break;
    }
    if (n_within < k) return query.total();
    std::vector<double> nearest;
    nearest.reserve(2 * k);
    for (std::size_t i = 0; i < n && nearest.size() < 2 * k; ++i) {
        if (sums[i] > greatest || !lets_through(mask, piece.first_row + i)) continue;
        nearest.push_back(query.distance(codes.row(piece.first_row + i)));
    }
    const auto kth = nearest.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(nearest.begin(), kth, nearest.end());
    return *kth;
}

void search_planes(const double* projections, std::size_t n_bits, CodeView codes, const NibblePlanes& planes,
                   const Wanted<double>& wanted, RowMask mask, const SearchPiece& piece, HitList<double>* lists) {
    constexpr std::size_t step = nibble_scan_codes / block_rows;
    const std::size_t table_bytes = planes.n_planes() * 16;
    const std::size_t n_groups = (piece.n_queries + nibble_queries - 1) / nibble_queries;
    const std::size_t end_row = piece.first_row + piece.n_rows;
    const std::size_t first_block = piece.first_row / block_rows, end_block = (end_row + block_rows - 1) / block_rows;

    // Tables of a group that is not full are zero beyond its queries; their bound of 1 is then met by all codes, so
    // they are filled with the greatest entry instead.
    AlignedBuffer<std::uint8_t> tables(n_groups * nibble_queries * table_bytes);
    std::fill_n(tables.data(), n_groups * nibble_queries * table_bytes, std::uint8_t{255});
    std::vector<WeightedQuery> weighted;
    std::vector<SortedSelection> selections;
    std::vector<double> filled_for;
    std::vector<std::uint8_t> sums;
    weighted.reserve(piece.n_queries);
    for (std::size_t q = 0; q < piece.n_queries; ++q) {
        weighted.emplace_back(projections + (piece.first_query + q) * n_bits, n_bits, codes.n_bytes);
        selections.emplace_back(wanted);
        std::uint8_t* own = tables.data() + q * table_bytes;
        if (wanted.k <= piece.n_rows) {
            selections[q].start_within(seed_distance(weighted[q], codes, planes, wanted.k, mask, piece, own, sums));
        }
        filled_for.push_back(std::min(selections[q].bound(), weighted[q].total()));
        weighted[q].fill_tables(filled_for[q], steps_of_bound, own);
    }

    const std::size_t n_together = piece.n_queries == 1 ? 1 : nibble_queries;
    std::vector<NibbleHits> hits(n_together);
    for (std::size_t block = first_block; block < end_block; block += step) {
        const std::size_t n_blocks = std::min(step, end_block - block), first = block * block_rows;
        for (std::size_t group = 0; group < piece.n_queries; group += nibble_queries) {
            const std::size_t n = std::min(nibble_queries, piece.n_queries - group);
            std::uint8_t bounds[nibble_queries] = {1, 1, 1, 1};
            bool done = true;
            for (std::size_t q = group; q < group + n; ++q) {
                done &= selections[q].done();
                const double bound = std::min(selections[q].bound(), filled_for[q]);
                if (bound < filled_for[q] * (least_steps / steps_of_bound)) {
                    weighted[q].fill_tables(bound, steps_of_bound, tables.data() + q * table_bytes);
                    filled_for[q] = bound;
                }
                bounds[q - group] = weighted[q].bound_of(bound);
            }
            if (done) continue;
            kernels().scan_nibbles(planes.block(block), n_blocks, planes.n_planes(), tables.data() + group * table_bytes,
                                   bounds, n_together, hits.data());
            for (std::size_t q = group; q < group + n; ++q) {
                const NibbleHits& found = hits[q - group];
                for (std::size_t i = 0; i < found.n; ++i) {
                    const std::size_t row = first + found.positions[i];
                    if (row >= end_row || !lets_through(mask, row)) continue;
                    selections[q].take(weighted[q].distance(codes.row(row)), static_cast<std::uint32_t>(row));
                }
            }
        }
    }
    for (std::size_t q = 0; q < piece.n_queries; ++q) lists[q] = selections[q].finish();
}

}  // namespace

std::vector<HitList<double>> weighted_search(const double* projections, std::size_t n_queries, std::size_t n_bits,
                                             CodeView codes, const NibblePlanes* planes, const Wanted<double>& wanted,
                                             RowMask mask, std::size_t n_threads) {
    const auto search = [&](const SearchPiece& piece, HitList<double>* lists) {
        if (planes == nullptr) {
            search_codes(projections, n_bits, codes, wanted, mask, piece, lists);
        } else {
            search_planes(projections, n_bits, codes, *planes, wanted, mask, piece, lists);
        }
    };
    return search_in_pieces(n_queries, codes.n, block_rows, wanted, n_threads, search);
}

}  // namespace pyhash
