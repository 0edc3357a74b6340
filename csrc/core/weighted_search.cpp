#include "core/weighted_search.hpp"

#include <algorithm>
#include <bit>
#include <span>

#include "core/aligned_buffer.hpp"
#include "core/distances.hpp"
#include "core/search_plan.hpp"
#include "core/selection.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

// Costs by nibble (distances.hpp), and tables of them in whole steps of a scale, rounded down: the sum of a code's
// steps times the scale is never above its distance.
class WeightedQuery {
public:
    WeightedQuery(std::span<const double> projection, std::size_t n_bytes)
        : costs_(32 * n_bytes), rounded_(32 * n_bytes) {
        nibble_costs(projection, costs_);
        std::copy(costs_.begin(), costs_.end(), rounded_.begin());
        // Added as distance() adds: rounding is monotone, so no distance is greater, not by the last bit either.
        const auto greatest = [](const double* table) { return *std::max_element(table, table + 16); };
        for (const double* table = costs_.data(); table != costs_.data() + costs_.size(); table += 32) {
            greatest_distance_ += greatest(table) + greatest(table + 16);
        }
    }

    // The distance of the code opposite to the query: no code is farther.
    double greatest_distance() const { return greatest_distance_; }

    double distance(const std::uint8_t* code) const {
        double sum = 0.0;
        const double* table = costs_.data();
        for (const double* const end = table + costs_.size(); table != end; table += 32, ++code) {
            sum += table[*code & 15u] + table[16 + (*code >> 4)];
        }
        return sum;
    }

    // Fills the tables so that `distance` is `steps` steps.
    void fill_tables(double distance, double steps, std::uint8_t* tables) {
        per_unit_ = distance > 0 ? steps / distance : 0.0;
        if (!(per_unit_ > 0 && per_unit_ < 1e30)) {
            // Distance 0: only codes that cost nothing. Distances too small for float32: every code is a candidate.
            per_unit_ = 0.0;
            for (std::size_t i = 0; i < costs_.size(); ++i) tables[i] = distance == 0 && costs_[i] > 0 ? 255 : 0;
            return;
        }
        // A millionth less: what float32 rounds up must not lift a sum above the distance.
        const auto scale = static_cast<float>(per_unit_ * (1 - 1e-6));
        for (std::size_t i = 0; i < rounded_.size(); ++i) {
            const float scaled = rounded_[i] * scale;
            tables[i] = static_cast<std::uint8_t>(static_cast<int>(scaled < 255.0f ? scaled : 255.0f));
        }
    }

    // Sums below it are of codes that can be within the distance.
    std::uint8_t bound_of(double distance) const {
        return static_cast<std::uint8_t>(std::min(distance * per_unit_ + 1.0, 255.0));
    }

private:
    std::vector<double> costs_;
    std::vector<float> rounded_;
    double greatest_distance_ = 0.0, per_unit_ = 0.0;
};

void search_codes(const KernelTable& kernels, ProjectionView projections, CodeView codes, const Wanted<double>& wanted,
                  RowMask mask, const SearchPiece& piece, std::span<HitList<double>> lists) {
    std::vector<double> by_nibble(32 * codes.n_bytes), costs(256 * codes.n_bytes);
    std::vector<double> distances(std::min(codes_per_block, piece.n_rows));
    for (std::size_t q = 0; q < piece.n_queries; ++q) {
        nibble_costs(projections.row(piece.first_query + q), by_nibble);
        byte_costs(by_nibble, costs);
        SortedSelection selection(wanted);
        const std::size_t last = piece.first_row + piece.n_rows;
        for (std::size_t first = piece.first_row; first < last && !selection.done(); first += codes_per_block) {
            const std::size_t n = std::min(codes_per_block, last - first);
            kernels.weighted_hamming(costs.data(), codes.row(first), n, codes.n_bytes, distances.data());
            for (std::size_t i = 0; i < n; ++i) {
                if (!selection.wants(distances[i]) || !lets_through(mask, first + i)) continue;
                selection.take(distances[i], static_cast<std::uint32_t>(first + i));
            }
        }
        lists[q] = selection.finish();
    }
}

// Steps of the nibble tables that the bound is, at first and at least before they are filled anew.
constexpr double steps_of_bound = 250, least_steps = 230;

constexpr std::size_t block_rows = NibblePlanes::codes_per_block;

constexpr std::size_t rows_per_lane = 16;

// For lanes of rows (row r of lane l is r * n_lanes + l), the least sum of each, and of these the k-th least.
std::uint8_t kth_least(std::span<const std::uint8_t> sums, std::size_t n_lanes, std::size_t k,
                       std::vector<std::uint8_t>& least) {
    least.assign(sums.begin(), sums.begin() + static_cast<std::ptrdiff_t>(n_lanes));
    for (std::size_t row = 1; row < rows_per_lane; ++row) {
        const std::span<const std::uint8_t> of_row = sums.subspan(row * n_lanes, n_lanes);
        for (std::size_t lane = 0; lane < n_lanes; ++lane) least[lane] = std::min(least[lane], of_row[lane]);
    }
    std::vector<std::uint8_t> sorted = least;
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(k - 1), sorted.end());
    return sorted[k - 1];
}

// A distance within which k of the first rows lie, or the greatest distance if none is found. The k-th least of many
// lanes' least sums is not far above the k-th least sum, and quickly found; rows with sums up to it, k at least, are
// looked at exactly.
double seed_distance(const NibbleKernels& kernels, WeightedQuery& query, CodeView codes, const NibblePlanes& planes,
                     std::size_t k, RowMask mask, const SearchPiece& piece, std::uint8_t* tables) {
    const std::size_t n_lanes = std::clamp<std::size_t>(std::bit_ceil(4 * k), block_rows, 1024);
    const std::size_t n = n_lanes * rows_per_lane;
    if (k > n_lanes || n > piece.n_rows) return query.greatest_distance();
    std::vector<std::uint8_t> sums(n), least;
    std::uint8_t bound = 255;
    // The nearest are hardly a quarter of the way off; where they are, steps must be larger.
    for (int parts = 4; bound == 255 && parts > 0; parts /= 2) {
        query.fill_tables(query.greatest_distance() / parts, steps_of_bound, tables);
        kernels.sum(planes.block(piece.first_row / block_rows), n / block_rows, planes.n_planes(), tables, sums.data());
        for (std::size_t i = 0; mask != nullptr && i < n; ++i) {
            if (!lets_through(mask, piece.first_row + i)) sums[i] = 255;
        }
        bound = kth_least(sums, n_lanes, k, least);
    }
    if (bound == 255) return query.greatest_distance();
    std::vector<double> nearest;
    nearest.reserve(2 * k);
    for (std::size_t lane = 0; lane < n_lanes; ++lane) {
        if (least[lane] > bound) continue;
        for (std::size_t i = lane; i < n; i += n_lanes) {
            if (sums[i] <= bound) nearest.push_back(query.distance(codes.row(piece.first_row + i)));
        }
    }
    const auto kth = nearest.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(nearest.begin(), kth, nearest.end());
    return *kth;
}

void search_planes(const NibbleKernels& kernels, ProjectionView projections, CodeView codes, const NibblePlanes& planes,
                   const Wanted<double>& wanted, RowMask mask, const SearchPiece& piece,
                   std::span<HitList<double>> lists) {
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
    weighted.reserve(piece.n_queries);
    for (std::size_t q = 0; q < piece.n_queries; ++q) {
        weighted.emplace_back(projections.row(piece.first_query + q), codes.n_bytes);
        selections.emplace_back(wanted);
        std::uint8_t* own = tables.data() + q * table_bytes;
        if (wanted.k <= piece.n_rows) {
            selections[q].start_within(seed_distance(kernels, weighted[q], codes, planes, wanted.k, mask, piece, own));
        }
        filled_for.push_back(std::min(selections[q].bound(), weighted[q].greatest_distance()));
        weighted[q].fill_tables(filled_for[q], steps_of_bound, own);
    }

    const std::size_t n_together = piece.n_queries == 1 ? 1 : nibble_queries;
    std::vector<NibbleHits> hits(n_together);
    std::vector<double> distances(nibble_scan_codes);
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
            kernels.scan(planes.block(block), n_blocks, planes.n_planes(), tables.data() + group * table_bytes, bounds,
                         n_together, hits.data());
            for (std::size_t q = group; q < group + n; ++q) {
                NibbleHits& found = hits[q - group];
                while (found.n > 0 && first + found.positions[found.n - 1] >= end_row)
                    --found.n;  // padding of the last block
                // All distances first: they do not wait for each other.
                for (std::size_t i = 0; i < found.n; ++i) {
                    distances[i] = weighted[q].distance(codes.row(first + found.positions[i]));
                }
                for (std::size_t i = 0; i < found.n; ++i) {
                    const std::size_t row = first + found.positions[i];
                    if (!selections[q].wants(distances[i]) || !lets_through(mask, row)) continue;
                    selections[q].take(distances[i], static_cast<std::uint32_t>(row));
                }
            }
        }
    }
    for (std::size_t q = 0; q < piece.n_queries; ++q) lists[q] = selections[q].finish();
}

}  // namespace

std::vector<HitList<double>> weighted_search(const KernelTable& kernels, ProjectionView projections, CodeView codes,
                                             const NibblePlanes* planes, const Wanted<double>& wanted, RowMask mask,
                                             std::size_t n_threads) {
    const auto search = [&](const SearchPiece& piece, std::span<HitList<double>> lists) {
        if (planes == nullptr || kernels.nibbles == nullptr) {
            search_codes(kernels, projections, codes, wanted, mask, piece, lists);
        } else {
            search_planes(*kernels.nibbles, projections, codes, *planes, wanted, mask, piece, lists);
        }
    };
    return search_in_pieces(projections.n, codes.n, block_rows, wanted, n_threads, search);
}

}  // namespace pyhash
