#include "bind/arrays.hpp"
#include "core/similar_sums.hpp"

namespace pyhash {
namespace {

Array<double> similar_sums(const Array<std::uint8_t>& queries, const Array<std::uint8_t>& sets,
                           const Array<double>& values, std::size_t n_threads) {
    require(queries.ndim() == 2 && sets.ndim() == 2 && values.ndim() == 2,
            "queries, sets and values must have two dimensions");
    require(extent(queries, 1) == extent(sets, 1), "queries and sets must have the same number of bytes");
    require(extent(values, 0) == extent(sets, 0), "values must have one row for each set");
    const CodeView q = code_view(queries), s = code_view(sets);
    const std::size_t n_values = extent(values, 1);
    auto out = empty_array<double>(q.n, n_values);
    double* data = out.mutable_data();
    without_gil([&] { sum_similar(q, s, values.data(), n_values, n_threads, data); });
    return out;
}

}  // namespace

void bind_label_sets(py::module_& m) {
    m.def("sum_similar", &similar_sums, py::arg("queries").noconvert(), py::arg("sets").noconvert(),
          py::arg("values").noconvert(), py::arg("n_threads"));
}

}  // namespace pyhash
