#include "core/weighted_search.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
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
        : costs_(32 * n_bytes), weights_(8 * n_bytes), signs_(8 * n_bytes), steps_(8 * n_bytes) {
        nibble_costs(projection, costs_);
        std::vector<std::uint8_t> opposite(n_bytes);
        for (std::size_t bit = 0; bit < projection.size(); ++bit) {
            const unsigned differs = projection[bit] > 0 ? 0 : 1;
            opposite[bit / 8] = static_cast<std::uint8_t>(opposite[bit / 8] | differs << (bit % 8));
            signs_[bit] = static_cast<std::uint16_t>(differs - 1);
            weights_[bit] = std::min(std::abs(projection[bit]), 1.0);
        }
        greatest_distance_ = distance(opposite.data());
    }

    // The distance of the code opposite to the query: no code is farther, for rounding is monotone.
    double greatest_distance() const { return greatest_distance_; }

    double distance(const std::uint8_t* code) const {
        double of_code;
        distances<1>(&code, &of_code);
        return of_code;
    }

    // Of `lanes` codes. One alone would wait for each of its additions.
    static constexpr std::size_t lanes = 4;
    void distances_of_lanes(const std::uint8_t* const* codes, double* out) const { distances<lanes>(codes, out); }

    // Fills the tables so that `distance` is `steps` steps.
    void fill_tables(double distance, double steps, std::uint8_t* tables) {
        per_unit_ = distance > 0 ? steps / distance : 0.0;
        if (!(per_unit_ > 0 && per_unit_ < 1e300)) {
            // Distance 0: only codes that cost nothing. Distances too small for a scale: every code is a candidate.
            per_unit_ = 0.0;
            for (std::size_t i = 0; i < costs_.size(); ++i) tables[i] = distance == 0 && costs_[i] > 0 ? 255 : 0;
            return;
        }
        // In 64ths of a step, each bit rounded down. A billionth less: what rounding adds to the product, or takes from
        // a distance, must not lift a sum above the distance.
        const double scale = 64 * per_unit_ * (1 - 1e-9);
        for (std::size_t bit = 0; bit < weights_.size(); ++bit) {
            steps_[bit] = static_cast<std::uint16_t>(static_cast<int>(std::min(weights_[bit] * scale, 64.0 * 255)));
        }
        for (std::size_t p = 0; 4 * p < weights_.size(); ++p) {
            unsigned none_set = 0, set[4];
            for (std::size_t bit = 0; bit < 4; ++bit) {
                const unsigned cost = steps_[4 * p + bit], sign = signs_[4 * p + bit];
                none_set += cost & sign;
                set[bit] = (cost ^ sign) - sign;  // added to the sum where the bit is set
            }
            for (unsigned value = 0; value < 16; ++value) {
                auto sum = static_cast<std::uint16_t>(none_set);
                for (unsigned bit = 0; bit < 4; ++bit) {
                    const unsigned chosen = -(value >> bit & 1u) & set[bit];
                    sum = static_cast<std::uint16_t>(sum + chosen);
                }
                const auto whole = static_cast<std::int16_t>(sum / 64);
                tables[16 * p + value] = static_cast<std::uint8_t>(std::min(whole, std::int16_t{255}));
            }
        }
    }

    // Sums below it are of codes that can be within the distance.
    std::uint8_t bound_of(double distance) const {
        return static_cast<std::uint8_t>(std::min(distance * per_unit_ + 1.0, 255.0));
    }

private:
    template <std::size_t Codes>
    void distances(const std::uint8_t* const* codes, double* out) const {
        double sums[Codes] = {};
        const double* table = costs_.data();
        const std::size_t n_bytes = costs_.size() / 32;
        for (std::size_t j = 0; j < n_bytes; ++j, table += 32) {
#pragma GCC unroll 4
            for (std::size_t i = 0; i < Codes; ++i) {
                const unsigned byte = codes[i][j];
                sums[i] += table[byte & 15u] + table[16 + (byte >> 4)];
            }
        }
        std::copy_n(sums, Codes, out);
    }

    std::vector<double> costs_;
    std::vector<double> weights_;
    std::vector<std::uint16_t> signs_;  // of each bit: all ones where the query's is set
    std::vector<std::uint16_t> steps_;  // of each bit, in 64ths
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

// The next distance above it: a selection that has its own k takes what is below its bound, and a code at the k-th
// distance may come before those that are known.
double above(double distance) { return std::nextafter(distance, std::numeric_limits<double>::infinity()); }

// One query of search_planes: its nearest so far, and rows that are yet to be looked at exactly.
class PlanesQuery {
public:
    PlanesQuery(const NibbleKernels& kernels, std::span<const double> projection, CodeView codes,
                const NibblePlanes& planes, const Wanted<double>& wanted, RowMask mask, const SearchPiece& piece,
                std::uint8_t* tables, SharedBound<double>* shared)
        : query_(projection, codes.n_bytes), selection_(wanted), codes_(codes), tables_(tables), shared_(shared) {
        if (wanted.k <= piece.n_rows) {
            shared_->lower(seed_distance(kernels, query_, codes, planes, wanted.k, mask, piece, tables));
        }
        selection_.start_within(above(shared_->get()));
        filled_for_ = std::min(selection_.bound(), query_.greatest_distance());
        query_.fill_tables(filled_for_, steps_of_bound, tables_);
    }

    bool done() const { return selection_.done(); }

    // Sums below it are of codes that can be wanted. The tables are filled anew where larger ones fit.
    std::uint8_t next_bound() {
        selection_.start_within(above(shared_->get()));
        const double bound = std::min(selection_.bound(), filled_for_);
        if (bound < filled_for_ * (least_steps / steps_of_bound)) {
            query_.fill_tables(bound, steps_of_bound, tables_);
            filled_for_ = bound;
        }
        return query_.bound_of(bound);
    }

    // Rows from `first_row` on. They are looked at when they are some, so that they are fetched together.
    void add(const NibbleHits& hits, std::size_t first_row, std::size_t end_row, RowMask mask) {
        for (std::size_t i = 0; i < hits.n; ++i) {
            const std::size_t row = first_row + hits.positions[i];
            if (row >= end_row || !lets_through(mask, row)) continue;  // beyond the end: padding of the last block
            __builtin_prefetch(codes_.row(row));
            waiting_.push_back(static_cast<std::uint32_t>(row));
        }
        if (waiting_.size() >= enough_waiting) look();
    }

    HitList<double> finish() {
        look();
        return selection_.finish();
    }

private:
    static constexpr std::size_t enough_waiting = 16;

    void look() {
        constexpr std::size_t lanes = WeightedQuery::lanes;
        for (std::size_t first = 0; first < waiting_.size(); first += lanes) {
            const std::size_t n = std::min(lanes, waiting_.size() - first);
            const std::uint8_t* codes[lanes];
            double distances[lanes];
            for (std::size_t i = 0; i < lanes; ++i) codes[i] = codes_.row(waiting_[first + std::min(i, n - 1)]);
            query_.distances_of_lanes(codes, distances);
            for (std::size_t i = 0; i < n; ++i) selection_.take(distances[i], waiting_[first + i]);
        }
        waiting_.clear();
        if (selection_.full()) shared_->lower(selection_.bound());
    }

    WeightedQuery query_;
    SortedSelection selection_;
    CodeView codes_;
    std::uint8_t* tables_;
    SharedBound<double>* shared_;
    double filled_for_ = 0.0;  // the distance that the tables are scaled to
    std::vector<std::uint32_t> waiting_;
};

void search_planes(const NibbleKernels& kernels, ProjectionView projections, CodeView codes, const NibblePlanes& planes,
                   const Wanted<double>& wanted, RowMask mask, const SearchPiece& piece,
                   std::span<SharedBound<double>> shared, std::span<HitList<double>> lists) {
    constexpr std::size_t step = nibble_scan_codes / block_rows;
    const std::size_t table_bytes = planes.n_planes() * 16;
    const std::size_t n_groups = (piece.n_queries + nibble_queries - 1) / nibble_queries;
    const std::size_t end_row = piece.first_row + piece.n_rows;
    const std::size_t first_block = piece.first_row / block_rows, end_block = (end_row + block_rows - 1) / block_rows;

    AlignedBuffer<std::uint8_t> tables(n_groups * nibble_queries * table_bytes);
    // Tables of a group that is not full are zero beyond its queries; their bound of 1 is then met by all codes, so
    // they are filled with the greatest entry instead.
    std::fill(tables.data() + piece.n_queries * table_bytes, tables.data() + n_groups * nibble_queries * table_bytes,
              std::uint8_t{255});
    std::vector<PlanesQuery> queries;
    queries.reserve(piece.n_queries);
    for (std::size_t q = 0; q < piece.n_queries; ++q) {
        queries.emplace_back(kernels, projections.row(piece.first_query + q), codes, planes, wanted, mask, piece,
                             tables.data() + q * table_bytes, &shared[q]);
    }

    const std::size_t n_together = piece.n_queries == 1 ? 1 : nibble_queries;
    std::vector<NibbleHits> hits(n_together);
    for (std::size_t block = first_block; block < end_block; block += step) {
        const std::size_t n_blocks = std::min(step, end_block - block);
        for (std::size_t group = 0; group < piece.n_queries; group += nibble_queries) {
            const auto of_group = std::span(queries).subspan(group, std::min(nibble_queries, piece.n_queries - group));
            if (std::ranges::all_of(of_group, [](const PlanesQuery& query) { return query.done(); })) continue;
            std::uint8_t bounds[nibble_queries] = {1, 1, 1, 1};
            for (std::size_t q = 0; q < of_group.size(); ++q) bounds[q] = of_group[q].next_bound();
            kernels.scan(planes.block(block), n_blocks, planes.n_planes(), tables.data() + group * table_bytes, bounds,
                         n_together, hits.data());
            for (std::size_t q = 0; q < of_group.size(); ++q) {
                of_group[q].add(hits[q], block * block_rows, end_row, mask);
            }
        }
    }
    for (std::size_t q = 0; q < piece.n_queries; ++q) lists[q] = queries[q].finish();
}

}  // namespace

std::vector<HitList<double>> weighted_search(const KernelTable& kernels, ProjectionView projections, CodeView codes,
                                             const NibblePlanes* planes, const Wanted<double>& wanted, RowMask mask,
                                             std::size_t n_threads) {
    std::vector<SharedBound<double>> shared(projections.n);
    const auto search = [&](const SearchPiece& piece, std::span<HitList<double>> lists) {
        if (planes == nullptr || kernels.nibbles == nullptr) {
            search_codes(kernels, projections, codes, wanted, mask, piece, lists);
        } else {
            search_planes(*kernels.nibbles, projections, codes, *planes, wanted, mask, piece,
                          std::span(shared).subspan(piece.first_query, piece.n_queries), lists);
        }
    };
    return search_in_pieces(projections.n, codes.n, block_rows, wanted, n_threads, search);
}

double weighted_scan_cost(CodeView codes, bool planes, std::size_t n_queries) {
    // Measured on one core of an AMD EPYC (Zen 3): tables of a query and its first codes; look-ups of four queries that
    // share planes or of one; memory beyond the caches; codes as they are.
    constexpr double per_query = 3'000, per_shared_byte = 0.019, per_own_byte = 0.026, per_far_byte = 0.05,
                     per_plain_byte = 0.7;
    constexpr double cache_bytes = 20e6;
    const double bytes = static_cast<double>(codes.n) * static_cast<double>(codes.n_bytes);
    if (!planes) return per_query + per_plain_byte * bytes;
    const auto together = static_cast<double>(std::clamp<std::size_t>(n_queries, 1, queries_per_tile));
    return per_query + (n_queries == 1 ? per_own_byte : per_shared_byte) * bytes +
           (bytes > cache_bytes ? per_far_byte * bytes / together : 0.0);
}

}  // namespace pyhash
