#include <pybind11/stl.h>

#include "bind/arrays.hpp"
#include "core/cyclic_descent.hpp"

namespace pyhash {
namespace {

template <class Real>
std::vector<std::int64_t> descend(Array<std::int8_t> signs, const Array<Real>& h, const Array<Real>& q,
                                  std::size_t max_sweeps, std::size_t n_threads) {
    require(signs.ndim() == 2 && q.ndim() == 2 && h.ndim() == 2, "signs, h and q must have two dimensions");
    const std::size_t n = extent(signs, 0), n_bits = extent(signs, 1);
    require(extent(q, 0) == n && extent(q, 1) == n_bits, "q must have the shape of signs");
    require(extent(h, 0) == n_bits && extent(h, 1) == n_bits, "h must have shape (n_bits, n_bits)");
    const std::span<std::int8_t> out = mutable_values_of(signs);
    return without_gil(
        [&] { return cyclic_descent<Real>(out, values_of(h), values_of(q), n_bits, max_sweeps, n_threads); });
}

}  // namespace

void bind_descent(py::module_& m) {
    m.def("cyclic_descent", &descend<float>, py::arg("signs").noconvert(), py::arg("h").noconvert(),
          py::arg("q").noconvert(), py::arg("max_sweeps"), py::arg("n_threads"));
    m.def("cyclic_descent", &descend<double>, py::arg("signs").noconvert(), py::arg("h").noconvert(),
          py::arg("q").noconvert(), py::arg("max_sweeps"), py::arg("n_threads"));
}

}  // namespace pyhash
