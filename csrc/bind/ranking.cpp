#include "core/ranking.hpp"

#include "bind/arrays.hpp"

namespace pyhash {
namespace {

void require_fitting(const CodeView& queries, const CodeView& codes, const Array<std::uint64_t>& relevance) {
    require(queries.n_bytes == codes.n_bytes, "queries and codes must have the same number of bytes");
    require(
        relevance.ndim() == 2 && extent(relevance, 0) == queries.n && extent(relevance, 1) == relevance_words(codes.n),
        "relevance must have shape (n_queries, ceil(n_codes / 64))");
    if (codes.n % 64 == 0) return;
    for (std::size_t i = 0; i < queries.n; ++i) {
        const std::uint64_t last = values_of(relevance)[(i + 1) * relevance_words(codes.n) - 1];
        require(last >> (codes.n % 64) == 0, "relevance must have zeros behind the last code");
    }
}

std::pair<Array<std::int64_t>, Array<std::uint32_t>> ranks(const Array<std::uint8_t>& queries,
                                                           const Array<std::uint8_t>& codes,
                                                           const Array<std::uint64_t>& relevance,
                                                           std::size_t n_threads) {
    const CodeView q = code_view(queries), c = code_view(codes);
    require_fitting(q, c, relevance);
    Array<std::int64_t> offsets(static_cast<py::ssize_t>(q.n + 1));
    count_relevant(values_of(relevance), c.n, mutable_values_of(offsets));
    const std::span<const std::int64_t> of_queries = values_of(offsets);
    Array<std::uint32_t> out(static_cast<py::ssize_t>(of_queries.back()));
    const std::span<std::uint32_t> found = mutable_values_of(out);
    without_gil([&] { rank_relevant(q, c, values_of(relevance), of_queries, n_threads, found); });
    return {offsets, out};
}

std::pair<Array<std::int64_t>, Array<std::int64_t>> counts(const Array<std::uint8_t>& queries,
                                                           const Array<std::uint8_t>& codes,
                                                           const Array<std::uint64_t>& relevance,
                                                           std::size_t n_threads) {
    const CodeView q = code_view(queries), c = code_view(codes);
    require_fitting(q, c, relevance);
    const std::size_t n_distances = 8 * c.n_bytes + 1;
    auto all = empty_array<std::int64_t>(q.n, n_distances);
    auto relevant = empty_array<std::int64_t>(q.n, n_distances);
    const std::span<std::int64_t> n_all = mutable_values_of(all), n_relevant = mutable_values_of(relevant);
    without_gil([&] { count_by_distance(q, c, values_of(relevance), n_threads, n_all, n_relevant); });
    return {all, relevant};
}

}  // namespace

void bind_ranking(py::module_& m) {
    m.def("rank_relevant", &ranks, py::arg("queries").noconvert(), py::arg("codes").noconvert(),
          py::arg("relevance").noconvert(), py::arg("n_threads"));
    m.def("count_by_distance", &counts, py::arg("queries").noconvert(), py::arg("codes").noconvert(),
          py::arg("relevance").noconvert(), py::arg("n_threads"));
}

}  // namespace pyhash
