// Sums over similar label sets against the definition.
#include <string>

#include "check.hpp"
#include "core/aligned_buffer.hpp"
#include "core/cpu_level.hpp"
#include "core/similar_sums.hpp"

using namespace pyhash;

static std::vector<std::uint8_t> random_sets(Random& random, std::size_t n, std::size_t n_bytes, unsigned one_in) {
    std::vector<std::uint8_t> sets(n * n_bytes, 0);
    for (std::size_t bit = 0; bit < 8 * sets.size(); ++bit) {
        if (random() % one_in == 0) sets[bit / 8] = static_cast<std::uint8_t>(sets[bit / 8] | 1u << (bit % 8));
    }
    return sets;
}

static bool share_a_label(const std::uint8_t* a, const std::uint8_t* b, std::size_t n_bytes) {
    for (std::size_t j = 0; j < n_bytes; ++j) {
        if ((a[j] & b[j]) != 0) return true;
    }
    return false;
}

// `scale` decides whether the sums fit into int32.
static void sums_agree(Random& random, std::size_t n_queries, std::size_t n_sets, std::size_t n_bytes,
                       std::size_t n_values, unsigned one_in, double scale) {
    const auto query_bytes = random_sets(random, n_queries, n_bytes, one_in);
    const auto set_bytes = random_sets(random, n_sets, n_bytes, one_in);
    std::vector<double> values(n_sets * n_values), expected(n_queries * n_values, 0.0);
    for (double& value : values) value = scale * (static_cast<double>(random() % 2001) - 1000);
    const CodeView queries{query_bytes.data(), n_queries, n_bytes}, sets{set_bytes.data(), n_sets, n_bytes};
    for (std::size_t i = 0; i < n_queries; ++i) {
        for (std::size_t s = 0; s < n_sets; ++s) {
            if (!share_a_label(queries.row(i), sets.row(s), n_bytes)) continue;
            for (std::size_t l = 0; l < n_values; ++l) expected[i * n_values + l] += values[s * n_values + l];
        }
    }
    for (const std::string& level : levels_to_test()) {
        set_cpu_level(level);
        for (std::size_t threads : Sizes{1, 3}) {
            std::vector<double> got(n_queries * n_values, -1.0);
            sum_similar(queries, sets, values.data(), n_values, threads, got.data());
            CHECK(got == expected);
        }
    }
}

template <class Value>
static void kernels_agree(Random& random) {
    const auto add = [](const KernelTable& kernels, const std::vector<std::uint64_t>& words, const Value* tables,
                        Value* sums) {
        if constexpr (std::is_same_v<Value, double>) {
            kernels.add_chosen_f64(words.data(), words.size(), tables, sums);
        } else {
            kernels.add_chosen_i32(words.data(), words.size(), tables, sums);
        }
    };
    AlignedBuffer<Value> tables(256 * sum_lanes);
    for (std::size_t i = 0; i < 256 * sum_lanes; ++i) tables[i] = static_cast<Value>(random() % 1000);
    for (std::size_t row = 0; row < 256; row += 16) std::fill_n(tables.data() + row * sum_lanes, sum_lanes, Value{0});
    for (std::size_t n : Sizes{0, 1, 2, 33}) {
        std::vector<std::uint64_t> words(n);
        for (auto& word : words) word = random() >> (random() % 65 % 64);
        if (n > 1) words[1] = 0;
        AlignedBuffer<Value> expected((n + 1) * sum_lanes), got((n + 1) * sum_lanes);
        add(*scalar_kernels(), words, tables.data(), expected.data());
        for (const std::string& level : levels_to_test()) {
            set_cpu_level(level);
            std::fill_n(got.data(), (n + 1) * sum_lanes, Value{0});
            add(selected_kernels(), words, tables.data(), got.data());
            CHECK(std::equal(got.data(), got.data() + (n + 1) * sum_lanes, expected.data()));
        }
    }
}

int main() {
    Random random(5);
    kernels_agree<std::int32_t>(random);
    kernels_agree<double>(random);
    for (double scale : {1.0, 1e9, 0.5}) {
        for (std::size_t n_values : Sizes{1, 15, 16, 17, 32, 100}) {
            sums_agree(random, 40, 130, 2, n_values, 5, scale);
            sums_agree(random, 3, 64, 11, n_values, 20, scale);
        }
        sums_agree(random, 700, 300, 11, 32, 25, scale);
        sums_agree(random, 5, 0, 3, 8, 4, scale);
        sums_agree(random, 0, 9, 3, 8, 4, scale);
        sums_agree(random, 5, 63, 1, 8, 1, scale);     // every set has every label
        sums_agree(random, 5, 65, 40, 8, 500, scale);  // most have none
    }
}
