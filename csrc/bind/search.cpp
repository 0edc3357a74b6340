#include "bind/arrays.hpp"
#include "core/distances.hpp"
#include "core/nibble_top_k.hpp"
#include "core/radius.hpp"
#include "core/top_k.hpp"

namespace pyhash {
namespace {

void require_same_length(const CodeView& queries, const CodeView& codes) {
    require(queries.n_bytes == codes.n_bytes, "queries and codes must have the same number of bytes");
}

std::size_t projection_bits(const Array<double>& projections, const CodeView& codes) {
    require(projections.ndim() == 2 && (extent(projections, 1) + 7) / 8 == codes.n_bytes,
            "projections must have shape (n, n_bits) for the codes' n_bits");
    return extent(projections, 1);
}

Array<std::uint32_t> all_hamming(const Array<std::uint8_t>& queries, const Array<std::uint8_t>& codes,
                                 std::size_t n_threads) {
    const CodeView q = code_view(queries), c = code_view(codes);
    require_same_length(q, c);
    auto out = empty_array<std::uint32_t>(q.n, c.n);
    std::uint32_t* data = out.mutable_data();
    without_gil([&] { hamming_distances(q, c, n_threads, data); });
    return out;
}

Array<double> all_weighted(const Array<double>& projections, const Array<std::uint8_t>& codes, std::size_t n_threads) {
    const CodeView c = code_view(codes);
    const std::size_t n_bits = projection_bits(projections, c), n = extent(projections, 0);
    auto out = empty_array<double>(n, c.n);
    double* data = out.mutable_data();
    without_gil([&] { weighted_distances(projections.data(), n, n_bits, c, n_threads, data); });
    return out;
}

std::pair<Array<std::int64_t>, Array<std::uint32_t>> nearest_hamming(const Array<std::uint8_t>& queries,
                                                                     const Array<std::uint8_t>& codes, std::size_t k,
                                                                     std::size_t n_threads) {
    const CodeView q = code_view(queries), c = code_view(codes);
    require_same_length(q, c);
    auto positions = empty_array<std::int64_t>(q.n, std::min(k, c.n));
    auto distances = empty_array<std::uint32_t>(q.n, std::min(k, c.n));
    std::int64_t* p = positions.mutable_data();
    std::uint32_t* d = distances.mutable_data();
    without_gil([&] { hamming_top_k(q, c, k, n_threads, p, d); });
    return {positions, distances};
}

std::pair<Array<std::int64_t>, Array<std::uint32_t>> nearest_by_planes(const Array<std::uint8_t>& queries,
                                                                       const Array<std::uint8_t>& codes,
                                                                       const NibblePlanes& planes, std::size_t k,
                                                                       std::size_t n_threads) {
    const CodeView q = code_view(queries), c = code_view(codes);
    require_same_length(q, c);
    require(planes.n_codes() == c.n && planes.n_bytes() == c.n_bytes, "planes must be made of these codes");
    auto positions = empty_array<std::int64_t>(q.n, std::min(k, c.n));
    auto distances = empty_array<std::uint32_t>(q.n, std::min(k, c.n));
    std::int64_t* p = positions.mutable_data();
    std::uint32_t* d = distances.mutable_data();
    without_gil([&] { nibble_top_k(q, c, planes, k, n_threads, p, d); });
    return {positions, distances};
}

std::pair<Array<std::int64_t>, Array<double>> nearest_weighted(const Array<double>& projections,
                                                               const Array<std::uint8_t>& codes, std::size_t k,
                                                               std::size_t n_threads) {
    const CodeView c = code_view(codes);
    const std::size_t n_bits = projection_bits(projections, c), n = extent(projections, 0);
    auto positions = empty_array<std::int64_t>(n, std::min(k, c.n));
    auto distances = empty_array<double>(n, std::min(k, c.n));
    std::int64_t* p = positions.mutable_data();
    double* d = distances.mutable_data();
    without_gil([&] { weighted_top_k(projections.data(), n, n_bits, c, k, n_threads, p, d); });
    return {positions, distances};
}

// Hands a vector's memory to numpy without a copy.
template <class T>
py::array_t<T> to_array(std::vector<T>&& values) {
    auto owner = std::make_unique<std::vector<T>>(std::move(values));
    const auto size = static_cast<py::ssize_t>(owner->size());
    const T* data = owner->data();
    py::capsule release(owner.get(), [](void* pointer) { delete static_cast<std::vector<T>*>(pointer); });
    owner.release();
    return py::array_t<T>(size, data, release);
}

py::tuple within_radius(const Array<std::uint8_t>& queries, const Array<std::uint8_t>& codes, std::uint32_t radius,
                        std::size_t n_threads) {
    const CodeView q = code_view(queries), c = code_view(codes);
    require_same_length(q, c);
    RadiusHits hits = without_gil([&] { return hamming_radius(q, c, radius, n_threads); });
    return py::make_tuple(to_array(std::move(hits.offsets)), to_array(std::move(hits.positions)),
                          to_array(std::move(hits.distances)));
}

}  // namespace

void bind_search(py::module_& m) {
    const auto queries = py::arg("queries").noconvert();
    const auto projections = py::arg("projections").noconvert();
    const auto codes = py::arg("codes").noconvert();
    m.def("hamming_distances", &all_hamming, queries, codes, py::arg("n_threads"));
    m.def("weighted_distances", &all_weighted, projections, codes, py::arg("n_threads"));
    py::class_<NibblePlanes>(m, "NibblePlanes")
        .def(py::init([](const Array<std::uint8_t>& c, std::size_t n_threads) {
                 const CodeView view = code_view(c);
                 return without_gil([&] { return std::make_unique<NibblePlanes>(view, n_threads); });
             }),
             codes, py::arg("n_threads"));
    m.def("nibble_top_k", &nearest_by_planes, queries, codes, py::arg("planes"), py::arg("k"), py::arg("n_threads"));
    m.def("hamming_top_k", &nearest_hamming, queries, codes, py::arg("k"), py::arg("n_threads"));
    m.def("weighted_top_k", &nearest_weighted, projections, codes, py::arg("k"), py::arg("n_threads"));
    m.def("hamming_radius", &within_radius, queries, codes, py::arg("radius"), py::arg("n_threads"));
}

}  // namespace pyhash
