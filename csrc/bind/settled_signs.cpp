#include "core/settled_signs.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "bind/arrays.hpp"

namespace pyhash {
namespace {

Array<std::uint8_t> pack(const Array<float>& rows, const Array<float>& products,
                         const std::optional<Array<float>>& errors, const Array<double>& weights,
                         const Array<double>& mean, const Array<float>& intercepts, std::size_t n_threads,
                         Array<std::uint8_t> codes) {
    require(rows.ndim() == 2 && products.ndim() == 2 && weights.ndim() == 2 && codes.ndim() == 2,
            "rows, products, weights and codes must have two dimensions");
    const Directions directions{.n_features = extent(rows, 1),
                                .n_bits = extent(products, 1),
                                .weights = weights.data(),
                                .mean = mean.data(),
                                .intercepts = intercepts.data()};
    const std::size_t n = extent(rows, 0);
    require(extent(products, 0) == n, "products must have as many rows as there are rows");
    require(extent(weights, 0) == directions.n_bits && extent(weights, 1) == directions.n_features,
            "weights must have shape (n_bits, n_features)");
    require(mean.ndim() == 1 && extent(mean, 0) == directions.n_features, "mean must have shape (n_features,)");
    require(intercepts.ndim() == 1 && extent(intercepts, 0) == directions.n_bits, "intercepts must be (n_bits,)");
    require(extent(codes, 0) == n && extent(codes, 1) == (directions.n_bits + 7) / 8,
            "codes must have shape (n, ceil(n_bits / 8))");
    require(!errors || (errors->ndim() == 1 && extent(*errors, 0) == n), "errors must have shape (n,)");
    Array<std::uint8_t> doubtful(static_cast<py::ssize_t>(n));
    std::uint8_t *out = mutable_values_of(codes).data(), *marks = mutable_values_of(doubtful).data();
    const SignedRows given{
        .n = n, .rows = rows.data(), .products = products.data(), .errors = errors ? errors->data() : nullptr};
    without_gil([&] { pack_settled_signs(directions, given, n_threads, out, marks); });
    return doubtful;
}

}  // namespace

void bind_settled_signs(py::module_& m) {
    m.def("pack_settled_signs", &pack, py::arg("rows").noconvert(), py::arg("products").noconvert(),
          py::arg("errors").noconvert(), py::arg("weights").noconvert(), py::arg("mean").noconvert(),
          py::arg("intercepts").noconvert(), py::arg("n_threads"), py::arg("codes").noconvert());
}

}  // namespace pyhash
