// Each table's buckets are read by ascending cost: the sum of the weights of the bits in which a bucket's number
// differs from the query's substring. A code that no table has shown yet costs, in each substring, as much as the next
// bucket of that table, or more: its distance is at least their sum over the tables. The search ends where this sum
// exceeds the k-th distance. Buckets are read from the table where the sum last grew most for the work.
#include "core/weighted_multi_index.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "core/distances.hpp"

namespace pyhash {
namespace {

// Sums of weights are rounded here in one order, and in a distance in another: each addition by 2^-53 of the sum at
// most, so together by less than this part of it for codes of up to 2^16 bits. A sum lowered by this much is never
// above a distance that it bounds.
constexpr double rounding = 1e-11;

// The buckets of a table, by ascending cost.
class Buckets {
public:
    // The weights of the bits of a substring, and the substring of the query.
    void start(std::span<const double> weights, std::uint32_t substring) {
        substring_ = substring;
        order_.resize(weights.size());
        std::iota(order_.begin(), order_.end(), std::uint8_t{0});
        std::ranges::sort(order_, {}, [&](std::uint8_t bit) { return std::pair(weights[bit], bit); });
        weights_.resize(weights.size());
        std::ranges::transform(order_, weights_.begin(), [&](std::uint8_t bit) { return weights[bit]; });
        heap_.assign(1, {0.0, 0, none});
    }

    bool empty() const { return heap_.empty(); }

    // No bucket to come costs less, but for rounding.
    double next_cost() const { return heap_.front().cost; }

    // Each set of bits follows from one cheaper set: that without its dearest bit, or with the next cheaper bit
    // instead.
    std::uint32_t next() {
        std::ranges::pop_heap(heap_, dearer);
        const Flips flips = heap_.back();
        heap_.pop_back();
        const std::uint32_t dearest = flips.dearest == none ? 0 : flips.dearest + 1;
        if (dearest < order_.size()) {
            push({flips.cost + weights_[dearest], flips.bits | bit(dearest), dearest});
            if (flips.dearest != none) {
                push({(flips.cost - weights_[flips.dearest]) + weights_[dearest],
                      (flips.bits ^ bit(flips.dearest)) | bit(dearest), dearest});
            }
        }
        return substring_ ^ flips.bits;
    }

private:
    static constexpr std::uint32_t none = 255;

    // Bits that differ from the query's substring; the dearest by its place in order_.
    struct Flips {
        double cost;
        std::uint32_t bits, dearest;
    };

    static bool dearer(const Flips& a, const Flips& b) { return a.cost > b.cost; }

    std::uint32_t bit(std::size_t place) const { return 1u << order_[place]; }

    void push(const Flips& flips) {
        heap_.push_back(flips);
        std::ranges::push_heap(heap_, dearer);
    }

    std::uint32_t substring_ = 0;
    std::vector<std::uint8_t> order_;  // bits by ascending weight
    std::vector<double> weights_;      // ascending
    std::vector<Flips> heap_;          // the cheapest first
};

// The numbers of buckets that were read.
class ReadBuckets {
public:
    explicit ReadBuckets(std::size_t n_buckets) : words_((n_buckets + 63) / 64) {}

    bool has(std::uint32_t value) const { return (words_[value / 64] >> (value % 64) & 1) != 0; }
    void add(std::uint32_t value) {
        words_[value / 64] |= std::uint64_t{1} << (value % 64);
        values_.push_back(value);
    }
    void clear() {
        for (const std::uint32_t value : values_) words_[value / 64] = 0;
        values_.clear();
    }

private:
    std::vector<std::uint64_t> words_;
    std::vector<std::uint32_t> values_;
};

// A code in a slot of a table.
struct Found {
    double distance;
    std::uint32_t table, slot;
};

// The nearest of codes found in any order, and all others at the k-th distance.
class NearestFound {
public:
    void start(const Wanted<double>& wanted) {
        k_ = wanted.k;
        kth_ = wanted.radius;
        n_settled_ = 0;
        found_.clear();
    }

    // None farther than it is wanted. It may lie above the k-th distance so far.
    double kth_distance() const { return kth_; }

    void take(const Found& code) {
        found_.push_back(code);
        if (found_.size() / 2 >= std::max(n_settled_, k_) + 32) settle();
    }

    // Brings the k-th distance down where enough were found since.
    void settle_some() {
        if (found_.size() > n_settled_ + n_settled_ / 8) settle();
    }

    std::size_t size() const { return found_.size(); }

    const std::vector<Found>& settle() {
        if (found_.size() >= k_) {
            const auto kth = found_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
            std::ranges::nth_element(found_, kth, {}, &Found::distance);
            kth_ = kth->distance;
            std::erase_if(found_, [this](const Found& code) { return code.distance > kth_; });
        }
        n_settled_ = found_.size();
        return found_;
    }

private:
    std::size_t k_ = 0, n_settled_ = 0;  // codes of which those too far were dropped
    double kth_ = 0.0;
    std::vector<Found> found_;
};

// Buckets whose offsets are asked for at a time, and codes whose distances are computed at a time.
constexpr std::size_t most_buckets = 256, batch_codes = 512;
// Before the next table has its turn: at least so many buckets, and one for so many that were read.
constexpr std::size_t least_buckets = 4, buckets_per_growth = 4;
// Where more codes than k and so many tie at the k-th distance, a scan does with less memory.
constexpr std::size_t most_ties = 65'536;

// The searches of one thread, one after another.
class WeightedTableSearch {
public:
    WeightedTableSearch(const KernelTable& kernels, CodeView codes, const SubstringTables& tables,
                        const Wanted<double>& wanted, RowMask mask, double most_cost)
        : kernels_(&kernels),
          codes_(codes),
          tables_(&tables),
          wanted_(wanted),
          mask_(mask),
          costs_(WeightedMultiIndexCosts::of(tables.form(), codes.n_bytes)),
          most_cost_(most_cost),
          progress_(tables.n_tables()),
          query_(codes.n_bytes),
          weights_(8 * codes.n_bytes),
          by_nibble_(32 * codes.n_bytes),
          by_byte_(256 * codes.n_bytes),
          batch_(batch_codes * codes.n_bytes),
          distances_(batch_codes) {
        for (std::size_t t = 0; t < tables.n_tables(); ++t) read_.emplace_back(tables.n_buckets(t));
        slots_.reserve(batch_codes);
        runs_.reserve(most_buckets);
    }

    // False where the query is given up.
    bool search(std::span<const double> projection, HitList<double>& hits) {
        start(projection);
        for (double bound = 0.0; bound <= nearest_.kth_distance();) {
            const auto next = std::ranges::min_element(progress_, {}, &Progress::cost_of_growth);
            const auto table = static_cast<std::size_t>(next - progress_.begin());
            if (!read_some(table)) return false;
            nearest_.settle_some();
            if (nearest_.size() > most_found()) return false;
            if (next->buckets.empty()) break;  // all codes were seen
            bound = 0.0;
            for (const Progress& of_table : progress_) bound += of_table.buckets.next_cost();
            bound *= 1 - rounding;
        }
        hits = finish();
        return true;
    }

    double cost() const { return cost_; }

private:
    // Of one table.
    struct Progress {
        Buckets buckets;
        std::size_t n_buckets = 0, n_codes = 0;  // that were read
        double cost_of_growth = 0.0;             // work that the sum grew by one for, at the last turn
    };

    std::size_t most_found() const {
        const std::size_t all = std::numeric_limits<std::size_t>::max();
        return wanted_.all_ties || wanted_.k > all - most_ties ? all : wanted_.k + most_ties;
    }

    void start(std::span<const double> projection) {
        std::ranges::fill(query_, std::uint8_t{0});
        std::ranges::fill(weights_, 0.0);
        for (std::size_t bit = 0; bit < projection.size(); ++bit) {
            const unsigned set = projection[bit] > 0 ? 1 : 0;
            query_[bit / 8] = static_cast<std::uint8_t>(query_[bit / 8] | set << (bit % 8));
            weights_[bit] = std::min(std::abs(projection[bit]), 1.0);
        }
        for (std::size_t t = 0; t < progress_.size(); ++t) {
            const BitRun run = tables_->run(t);
            const std::uint32_t substring = tables_->substring(t, query_.data());
            tables_->prefetch_bucket(t, substring);
            progress_[t].buckets.start(std::span(weights_).subspan(run.first, run.n), substring);
            progress_[t].n_buckets = progress_[t].n_codes = 0;
            progress_[t].cost_of_growth = 0.0;
            read_[t].clear();
        }
        nibble_costs(projection, by_nibble_);
        byte_costs(by_nibble_, by_byte_);
        nearest_.start(wanted_);
        query_cost_ = 0.0;
    }

    // Reads the next buckets of a table.
    bool read_some(std::size_t table) {
        Progress& progress = progress_[table];
        const std::size_t n = std::clamp(progress.n_buckets / buckets_per_growth, least_buckets, most_buckets);
        const double before = progress.buckets.next_cost();
        std::uint32_t values[most_buckets];
        std::size_t n_values = 0;
        while (n_values < n && !progress.buckets.empty()) {
            values[n_values] = progress.buckets.next();
            tables_->prefetch_bucket(table, values[n_values]);
            read_[table].add(values[n_values++]);
        }
        runs_.clear();
        std::size_t n_codes = 0;
        for (std::size_t i = 0; i < n_values; ++i) {
            const CodeRun slots = tables_->bucket(table, values[i]);
            if (slots.begin == slots.end) continue;
            if (const std::uint8_t* copies = tables_->codes(table)) {
                __builtin_prefetch(copies + slots.begin * codes_.n_bytes);
            } else {
                tables_->prefetch_position(table, slots.begin);
            }
            runs_.push_back(slots);
            n_codes += slots.end - slots.begin;
        }
        progress.n_buckets += n_values;
        progress.n_codes += n_codes;
        if (progress.n_codes > tables_->n_codes()) SubstringTables::throw_damaged();  // buckets overlap
        const double work =
            costs_.lookup * static_cast<double>(n_values) + costs_.candidate * static_cast<double>(n_codes);
        if (query_cost_ + work > most_cost_) return false;
        query_cost_ += work;
        cost_ += work;
        read_runs(table);
        if (!progress.buckets.empty()) progress.cost_of_growth = work / (progress.buckets.next_cost() - before);
        return true;
    }

    void read_runs(std::size_t table) {
        const std::uint8_t* copies = tables_->codes(table);
        for (CodeRun run : runs_) {
            while (run.begin < run.end) {
                const std::size_t n = std::min<std::size_t>(run.end - run.begin, batch_codes - slots_.size());
                std::uint8_t* to = batch_.data() + slots_.size() * codes_.n_bytes;
                if (copies != nullptr) std::copy_n(copies + run.begin * codes_.n_bytes, n * codes_.n_bytes, to);
                for (std::size_t i = 0; i < n; ++i) slots_.push_back(run.begin++);
                if (slots_.size() == batch_codes) read_batch(table);
            }
        }
        if (!slots_.empty()) read_batch(table);
    }

    void read_batch(std::size_t table) {
        const std::size_t n = slots_.size(), n_bytes = codes_.n_bytes;
        if (tables_->codes(table) == nullptr) {
            for (const std::uint32_t slot : slots_) __builtin_prefetch(codes_.row(tables_->position(table, slot)));
            for (std::size_t i = 0; i < n; ++i) {
                std::copy_n(codes_.row(tables_->position(table, slots_[i])), n_bytes, batch_.data() + i * n_bytes);
            }
        }
        kernels_->weighted_hamming(by_byte_.data(), batch_.data(), n, n_bytes, distances_.data());
        for (std::size_t i = 0; i < n; ++i) {
            if (distances_[i] > nearest_.kth_distance()) continue;
            if (seen_before(table, batch_.data() + i * n_bytes)) continue;
            if (mask_ != nullptr && !lets_through(mask_, tables_->position(table, slots_[i]))) continue;
            nearest_.take({distances_[i], static_cast<std::uint32_t>(table), slots_[i]});
        }
        slots_.clear();
    }

    // In a bucket of another table that was read.
    bool seen_before(std::size_t table, const std::uint8_t* code) const {
        for (std::size_t t = 0; t < read_.size(); ++t) {
            if (t != table && read_[t].has(tables_->substring(t, code))) return true;
        }
        return false;
    }

    HitList<double> finish() {
        const std::vector<Found>& found = nearest_.settle();
        for (const Found& code : found) tables_->prefetch_position(code.table, code.slot);
        HitList<double> hits(found.size());
        std::ranges::transform(found, hits.begin(), [this](const Found& code) {
            return Hit<double>{code.distance, tables_->position(code.table, code.slot)};
        });
        std::ranges::sort(hits, [](const auto& a, const auto& b) { return a < b; });
        cut(hits, wanted_);
        return hits;
    }

    const KernelTable* kernels_;
    CodeView codes_;
    const SubstringTables* tables_;
    Wanted<double> wanted_;
    RowMask mask_;
    WeightedMultiIndexCosts costs_;
    double most_cost_, query_cost_ = 0.0, cost_ = 0.0;

    std::vector<Progress> progress_;
    std::vector<ReadBuckets> read_;
    NearestFound nearest_;
    std::vector<std::uint8_t> query_;  // the code of the query
    std::vector<double> weights_, by_nibble_, by_byte_;
    std::vector<CodeRun> runs_;
    std::vector<std::uint32_t> slots_;  // of the codes of batch_
    std::vector<std::uint8_t> batch_;
    std::vector<double> distances_;
};

}  // namespace

WeightedMultiIndexHits weighted_multi_index_search(const KernelTable& kernels, ProjectionView projections,
                                                   CodeView codes, const SubstringTables& tables,
                                                   const Wanted<double>& wanted, RowMask mask, std::size_t n_threads,
                                                   double most_cost) {
    if (codes.n == 0 || wanted.k == 0) return {std::vector<HitList<double>>(projections.n), {}, 0.0};
    return search_tables<double>(projections, n_threads,
                                 [&] { return WeightedTableSearch(kernels, codes, tables, wanted, mask, most_cost); });
}

}  // namespace pyhash
