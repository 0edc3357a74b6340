#include "core/top_k.hpp"

#include <algorithm>
#include <vector>

#include "core/cpu_level.hpp"
#include "core/distances.hpp"
#include "core/parallel_for.hpp"
#include "core/work_size.hpp"

namespace pyhash {
namespace {

template <class Distance>
struct Candidate {
    Distance distance;
    std::int64_t position;

    friend bool operator<(const Candidate& a, const Candidate& b) {
        return a.distance != b.distance ? a.distance < b.distance : a.position < b.position;
    }
};

// Keeps the k least of a stream of distances whose positions ascend: one at the k-th distance comes too late to matter,
// so a candidate must be strictly nearer. Takes twice k before it throws the worse half away: O(1) a candidate.
template <class Distance>
class Selection {
public:
    Selection(std::size_t k, std::size_t n_codes) : k_(k) { candidates_.reserve(std::min(2 * k, n_codes)); }

    void take(const Distance* distances, std::size_t n, std::size_t first_position) {
        for (std::size_t i = 0; i < n; ++i) {
            if (full_ && !(distances[i] < bound_)) continue;
            candidates_.push_back({distances[i], static_cast<std::int64_t>(first_position + i)});
            if (candidates_.size() == 2 * k_) shrink();
        }
    }

    void finish(std::int64_t* positions, Distance* distances) {
        std::sort(candidates_.begin(), candidates_.end());
        for (std::size_t i = 0; i < std::min(k_, candidates_.size()); ++i) {
            positions[i] = candidates_[i].position;
            distances[i] = candidates_[i].distance;
        }
        candidates_.clear();
        full_ = false;
    }

private:
    void shrink() {
        const auto kth = candidates_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(candidates_.begin(), kth, candidates_.end());
        bound_ = kth->distance;
        full_ = true;
        candidates_.resize(k_);
    }

    std::size_t k_;
    std::vector<Candidate<Distance>> candidates_;
    Distance bound_{};
    bool full_ = false;
};

// make_scan() gives, once for each slice of queries, a scan: prepare(i) chooses the query, scan(first, n, out) takes
// its distances to n codes from `first` on.
template <class Distance, class MakeScan>
void top_k(std::size_t n_queries, std::size_t n_codes, std::size_t k, std::size_t n_threads, MakeScan make_scan,
           std::int64_t* positions, Distance* distances) {
    k = std::min(k, n_codes);
    if (k == 0) return;
    parallel_for(n_queries, n_threads, queries_per_thread(n_codes), [&](std::size_t begin, std::size_t end) {
        auto scan = make_scan();
        std::vector<Distance> block(std::min(codes_per_block, n_codes));
        Selection<Distance> selection(k, n_codes);
        for (std::size_t i = begin; i < end; ++i) {
            scan.prepare(i);
            for (std::size_t first = 0; first < n_codes; first += codes_per_block) {
                const std::size_t n = std::min(codes_per_block, n_codes - first);
                scan(first, n, block.data());
                selection.take(block.data(), n, first);
            }
            selection.finish(positions + i * k, distances + i * k);
        }
    });
}

struct HammingScan {
    CodeView queries, codes;
    const std::uint8_t* query = nullptr;

    void prepare(std::size_t i) { query = queries.row(i); }
    void operator()(std::size_t first, std::size_t n, std::uint32_t* out) const {
        kernels().hamming(query, codes.row(first), n, codes.n_bytes, out);
    }
};

struct WeightedScan {
    const double* projections;
    std::size_t n_bits;
    CodeView codes;
    std::vector<double> costs;

    void prepare(std::size_t i) { weighted_costs(projections + i * n_bits, n_bits, costs.data()); }
    void operator()(std::size_t first, std::size_t n, double* out) const {
        kernels().weighted_hamming(costs.data(), codes.row(first), n, codes.n_bytes, out);
    }
};

}  // namespace

void hamming_top_k(CodeView queries, CodeView codes, std::size_t k, std::size_t n_threads, std::int64_t* positions,
                   std::uint32_t* distances) {
    top_k(queries.n, codes.n, k, n_threads, [&] { return HammingScan{queries, codes}; }, positions, distances);
}

void weighted_top_k(const double* projections, std::size_t n_queries, std::size_t n_bits, CodeView codes, std::size_t k,
                    std::size_t n_threads, std::int64_t* positions, double* distances) {
    const auto make_scan = [&] {
        return WeightedScan{projections, n_bits, codes, std::vector<double>(256 * codes.n_bytes)};
    };
    top_k(n_queries, codes.n, k, n_threads, make_scan, positions, distances);
}

}  // namespace pyhash
