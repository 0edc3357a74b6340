// Table by table, buckets are read in shells: the r-th has all buckets whose number differs from the query's substring
// in r bits. A code that no finished shell holds differs in as many bits of each substring as the table has finished
// shells, or more: its distance is at least their sum over the tables. The search ends where this sum exceeds the k-th
// distance. The next shell is always that of the table where it costs least.
#include "core/multi_index_search.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>

namespace pyhash {
namespace {

// A code in a slot of a table.
struct Found {
    std::uint32_t distance, table, slot;
};

// The nearest of codes found in any order, and all others at the k-th distance.
class NearestFound {
public:
    explicit NearestFound(std::size_t n_bits) : counts_(n_bits + 1) {}

    void start(const Wanted<std::uint32_t>& wanted) {
        k_ = wanted.k;
        kth_ = std::min<std::size_t>(wanted.radius, counts_.size() - 1);
        n_within_ = 0;
        std::ranges::fill(counts_, 0);
        found_.clear();
    }

    // None farther than it is wanted.
    std::size_t kth_distance() const { return kth_; }
    bool full() const { return n_within_ >= k_; }

    // At most the k-th distance away.
    void take(const Found& code) {
        found_.push_back(code);
        ++counts_[code.distance];
        ++n_within_;
        // While k are nearer than it, kth_ is not the k-th distance.
        while (n_within_ - counts_[kth_] >= k_) n_within_ -= counts_[kth_--];
        if (found_.size() >= 2 * n_within_ + 1024) drop_far();
    }

    const std::vector<Found>& drop_far() {
        std::erase_if(found_, [this](const Found& code) { return code.distance > kth_; });
        return found_;
    }

private:
    std::size_t k_ = 0, kth_ = 0, n_within_ = 0;  // the k-th distance so far, or the radius; codes within it
    std::vector<std::size_t> counts_;             // of codes at each distance
    std::vector<Found> found_;
};

// Set bits, in line: the CPU may have no instruction for it.
std::uint32_t count_bits(std::uint32_t x) {
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    return (x * 0x01010101u) >> 24;
}

// Buckets whose offsets are asked for at a time, and codes that are compared with one bound.
constexpr std::size_t buckets_at_a_time = 256;
constexpr std::size_t least_batch = 64, most_batch = 2048;

// The searches of one thread, one after another.
class TableSearch {
public:
    TableSearch(const KernelTable& kernels, CodeView codes, const SubstringTables& tables,
                const Wanted<std::uint32_t>& wanted, RowMask mask, double most_cost)
        : kernels_(&kernels),
          codes_(codes),
          tables_(&tables),
          wanted_(wanted),
          mask_(mask),
          costs_(MultiIndexCosts::of(tables.form())),
          most_cost_(most_cost),
          shells_(tables.n_tables()),
          nearest_(8 * codes.n_bytes),
          near_(most_batch) {
        runs_.reserve(buckets_at_a_time);
        if (tables.codes(0) == nullptr) {
            positions_.resize(most_batch);
            distances_.resize(most_batch);
        }
    }

    // False where the query is given up.
    bool search(const std::uint8_t* query, HitList<std::uint32_t>& hits) {
        start(query);
        for (std::size_t n_finished = 0; n_finished <= nearest_.kth_distance(); ++n_finished) {
            const auto next = std::ranges::min_element(shells_, {}, &Shells::next_cost);
            const auto table = static_cast<std::size_t>(next - shells_.begin());
            if (!expand(table)) return false;
            ++next->n_finished;
            if (next->n_finished > tables_->run(table).n) break;  // all codes were seen
            set_next_cost(table);
        }
        hits = finish();
        return true;
    }

    double cost() const { return cost_; }

private:
    // Of one table.
    struct Shells {
        std::uint32_t substring;  // of the query
        std::uint32_t n_finished;
        std::size_t n_codes;  // seen in finished shells
        double next_buckets;  // of the next shell
        double codes_per_bucket;
        double next_cost;
    };

    void start(const std::uint8_t* query) {
        query_ = query;
        query_cost_ = 0.0;
        batch_ = std::clamp<std::size_t>(wanted_.k, least_batch, most_batch);
        nearest_.start(wanted_);
        for (std::size_t t = 0; t < shells_.size(); ++t) {
            shells_[t] = {.substring = tables_->substring(t, query),
                          .n_finished = 0,
                          .n_codes = 0,
                          .next_buckets = 1.0,
                          .codes_per_bucket = 0.0,
                          .next_cost = 0.0};
            tables_->prefetch_bucket(t, shells_[t].substring);
        }
        for (std::size_t t = 0; t < shells_.size(); ++t) {
            const CodeRun slots = tables_->bucket(t, shells_[t].substring);
            shells_[t].codes_per_bucket = static_cast<double>(slots.end - slots.begin);
            shells_[t].next_cost = costs_.lookup + costs_.candidate * shells_[t].codes_per_bucket;
        }
    }

    // Buckets of the next shell are taken to hold as many codes as those of the last one.
    void set_next_cost(std::size_t table) {
        Shells& shells = shells_[table];
        const auto r = static_cast<double>(shells.n_finished), n = static_cast<double>(tables_->run(table).n);
        shells.next_buckets *= (n - r + 1) / r;
        shells.next_cost = shells.next_buckets * (costs_.lookup + costs_.candidate * shells.codes_per_bucket);
    }

    // Reads the next shell of a table.
    bool expand(std::size_t table) {
        Shells& shells = shells_[table];
        const std::uint8_t* const copies = tables_->codes(table);
        const std::uint32_t end = 1u << tables_->run(table).n;
        std::uint32_t flips = (1u << shells.n_finished) - 1;  // as many ones as bits differ; then the next such number
        double n_buckets = 0.0, n_left = shells.next_buckets;
        std::size_t n_codes = 0;
        while (flips < end) {
            std::uint32_t values[buckets_at_a_time];
            std::size_t n = 0;
            for (; n < buckets_at_a_time && flips < end; ++n) {
                values[n] = shells.substring ^ flips;
                tables_->prefetch_bucket(table, values[n]);
                if (flips == 0) {
                    flips = end;
                } else {
                    const std::uint32_t lowest = flips & (~flips + 1), carried = flips + lowest;
                    flips = (((carried ^ flips) >> 2) >> std::countr_zero(lowest)) | carried;
                }
            }
            runs_.clear();
            std::size_t n_of_runs = 0;
            for (std::size_t i = 0; i < n; ++i) {
                const CodeRun slots = tables_->bucket(table, values[i]);
                if (slots.begin == slots.end) continue;
                runs_.push_back(slots);
                if (copies != nullptr) prefetch_codes(copies, slots);
                n_of_runs += slots.end - slots.begin;
            }
            n_codes += n_of_runs;
            if (shells.n_codes + n_codes > tables_->n_codes()) SubstringTables::throw_damaged();  // buckets overlap
            const double of_these =
                costs_.lookup * static_cast<double>(n) + costs_.candidate * static_cast<double>(n_of_runs);
            n_left -= static_cast<double>(n);
            if (query_cost_ + of_these + costs_.lookup * n_left > most_cost_) return false;
            query_cost_ += of_these;
            cost_ += of_these;
            n_buckets += static_cast<double>(n);
            read_runs(table);
        }
        shells.n_codes += n_codes;
        shells.codes_per_bucket = static_cast<double>(n_codes) / n_buckets;
        return true;
    }

    // The processor itself asks for the rest of a long run while it reads the first part.
    void prefetch_codes(const std::uint8_t* copies, CodeRun slots) const {
        constexpr std::size_t cache_line = 64, most_bytes = 1024;
        const std::uint8_t* const code = copies + slots.begin * codes_.n_bytes;
        const std::size_t n_bytes = std::min((slots.end - slots.begin) * codes_.n_bytes, most_bytes);
        for (std::size_t i = 0; i < n_bytes; i += cache_line) __builtin_prefetch(code + i);
    }

    // Compares the codes of runs_ with the query, batch by batch: the k-th distance falls from one to the next.
    void read_runs(std::size_t table) {
        CodeRun* run = runs_.data();
        CodeRun* const end = run + runs_.size();
        std::uint32_t first_slot = 0;  // of the run that a batch began, where it goes on
        bool goes_on = false;
        while (run < end) {
            // Positions of a run ascend: after k of it, another one as far as the k-th is too late.
            const bool strict = goes_on && !wanted_.all_ties && nearest_.full() &&
                                n_within_kth(table, {first_slot, run->begin}) >= wanted_.k;
            const std::size_t bound = nearest_.kth_distance() + (strict ? 0 : 1);
            const CodeRun* const first = run;
            std::size_t n = 0;
            CodeRun rest{0, 0};
            if (!goes_on) first_slot = run->begin;
            do {
                const std::size_t n_of_run = run->end - run->begin;
                if (n + n_of_run > batch_) {
                    if (n > 0) break;  // a long run has batches of its own
                    rest = {run->begin + static_cast<std::uint32_t>(batch_), run->end};
                    run->end = rest.begin;
                }
                n += run->end - run->begin;
                ++run;
            } while (run < end && rest.begin == rest.end && !strict);
            read_batch(table, {first, run}, n, bound);
            batch_ = std::min(2 * batch_, most_batch);
            goes_on = rest.begin != rest.end;
            if (goes_on) *--run = rest;
        }
    }

    std::size_t n_within_kth(std::size_t table, CodeRun slots) {
        return static_cast<std::size_t>(std::ranges::count_if(nearest_.drop_far(), [&](const Found& code) {
            return code.table == table && code.slot >= slots.begin && code.slot < slots.end;
        }));
    }

    void read_batch(std::size_t table, std::span<const CodeRun> runs, std::size_t n_codes, std::size_t bound) {
        const std::uint8_t* copies = tables_->codes(table);
        std::size_t n = 0;
        if (copies != nullptr) {
            n = kernels_->near_codes(query_, copies, codes_.n_bytes, runs.data(), runs.size(),
                                     static_cast<std::uint32_t>(bound), near_.data());
        } else {
            n = near_among_rows(table, runs, n_codes, bound);
        }
        std::size_t n_new = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint8_t* code = copies != nullptr ? copies + near_[i].index * codes_.n_bytes
                                                         : codes_.row(tables_->position(table, near_[i].index));
            near_[n_new] = near_[i];
            n_new += !seen_before(table, code);
        }
        if (mask_ != nullptr) {
            for (std::size_t i = 0; i < n_new; ++i) tables_->prefetch_position(table, near_[i].index);
        }
        for (std::size_t i = 0; i < n_new; ++i) {
            const NearCode& code = near_[i];
            if (code.distance > nearest_.kth_distance()) continue;
            if (mask_ != nullptr && !lets_through(mask_, tables_->position(table, code.index))) continue;
            nearest_.take({code.distance, static_cast<std::uint32_t>(table), code.index});
        }
    }

    // The same as the kernel near_codes, of codes that are read where they are.
    std::size_t near_among_rows(std::size_t table, std::span<const CodeRun> runs, std::size_t n_codes,
                                std::size_t bound) {
        std::size_t n = 0, n_near = 0;
        for (const CodeRun& run : runs) {
            for (std::uint32_t slot = run.begin; slot < run.end; ++slot, ++n) {
                positions_[n] = tables_->position(table, slot);
                __builtin_prefetch(codes_.row(positions_[n]));
            }
        }
        kernels_->hamming_at(query_, codes_.data, positions_.data(), n_codes, codes_.n_bytes, distances_.data());
        n = 0;
        for (const CodeRun& run : runs) {
            for (std::uint32_t slot = run.begin; slot < run.end; ++slot, ++n) {
                if (distances_[n] < bound) near_[n_near++] = {slot, distances_[n]};
            }
        }
        return n_near;
    }

    // In a finished shell of another table. Without branches, for they could not be foretold.
    bool seen_before(std::size_t table, const std::uint8_t* code) const {
        bool seen = false;
        for (std::size_t t = 0; t < shells_.size(); ++t) {
            const std::uint32_t distance = count_bits(tables_->substring(t, code) ^ shells_[t].substring);
            seen |= (distance < shells_[t].n_finished) & (t != table);
        }
        return seen;
    }

    HitList<std::uint32_t> finish() {
        const std::vector<Found>& found = nearest_.drop_far();
        for (const Found& code : found) tables_->prefetch_position(code.table, code.slot);
        HitList<std::uint32_t> hits(found.size());
        std::ranges::transform(found, hits.begin(), [this](const Found& code) {
            return Hit<std::uint32_t>{code.distance, tables_->position(code.table, code.slot)};
        });
        sort_hits(hits);
        cut(hits, wanted_);
        return hits;
    }

    // Many at once digit by digit, the lowest of the positions first, the distance last.
    void sort_hits(HitList<std::uint32_t>& hits) {
        constexpr std::size_t digit_bits = 8, n_values = std::size_t{1} << digit_bits;
        if (hits.size() < 2 * n_values) {
            std::sort(hits.begin(), hits.end());
            return;
        }
        const auto sort_by = [&](const auto& digit_of, std::size_t n_digits) {
            std::vector<std::size_t> next(n_digits + 1);
            for (const auto& hit : hits) ++next[digit_of(hit) + 1];
            std::partial_sum(next.begin(), next.end(), next.begin());
            sorted_.resize(hits.size());
            for (const auto& hit : hits) sorted_[next[digit_of(hit)]++] = hit;
            hits.swap(sorted_);
        };
        for (std::size_t shift = 0; tables_->n_codes() >> shift != 0; shift += digit_bits) {
            sort_by([shift](const auto& hit) { return (hit.position >> shift) % n_values; }, n_values);
        }
        sort_by([](const auto& hit) { return hit.distance; }, 8 * codes_.n_bytes + 1);
    }

    const KernelTable* kernels_;
    CodeView codes_;
    const SubstringTables* tables_;
    Wanted<std::uint32_t> wanted_;
    RowMask mask_;
    MultiIndexCosts costs_;
    double most_cost_, query_cost_ = 0.0, cost_ = 0.0;

    const std::uint8_t* query_ = nullptr;
    std::vector<Shells> shells_;
    NearestFound nearest_;
    std::size_t batch_ = least_batch;
    std::vector<CodeRun> runs_;
    std::vector<NearCode> near_;
    std::vector<std::uint32_t> positions_, distances_;
    HitList<std::uint32_t> sorted_;
};

}  // namespace

MultiIndexHits multi_index_search(const KernelTable& kernels, CodeView queries, CodeView codes,
                                  const SubstringTables& tables, const Wanted<std::uint32_t>& wanted, RowMask mask,
                                  std::size_t n_threads, double most_cost) {
    if (codes.n == 0 || wanted.k == 0) return {std::vector<HitList<std::uint32_t>>(queries.n), {}, 0.0};
    return search_tables<std::uint32_t>(queries, n_threads,
                                        [&] { return TableSearch(kernels, codes, tables, wanted, mask, most_cost); });
}

}  // namespace pyhash
