#include "core/bayes_codes.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "bind/arrays.hpp"

namespace pyhash {
namespace {

Array<float> bayes_codes_of(const Array<float>& posterior, const Array<float>& mean_codes, const Array<double>& counts,
                            const std::optional<Array<std::uint8_t>>& sets, std::size_t n_threads) {
    require(posterior.ndim() == 2 && mean_codes.ndim() == 2, "posterior and mean_codes must have two dimensions");
    require(counts.ndim() == 1, "counts must have one dimension");
    const std::size_t n = extent(posterior, 0), n_sets = extent(posterior, 1), n_bits = extent(mean_codes, 1);
    require(extent(mean_codes, 0) == n_sets && extent(counts, 0) == n_sets,
            "mean_codes and counts must have one row for each column of posterior");
    require(n_bits > 0, "mean_codes must have a column");
    const CodeView labels = sets ? code_view(*sets) : CodeView{};
    require(!sets || labels.n == n_sets, "sets must have one row for each column of posterior");
    auto out = empty_array<float>(n, n_bits);
    float* data = out.mutable_data();
    const LabelledCodes database{
        .n_bits = n_bits, .mean_codes = values_of(mean_codes), .counts = values_of(counts), .sets = labels};
    without_gil([&] { bayes_codes(values_of(posterior), database, n_threads, data); });
    return out;
}

}  // namespace

void bind_bayes_codes(py::module_& m) {
    m.def("bayes_codes", &bayes_codes_of, py::arg("posterior").noconvert(), py::arg("mean_codes").noconvert(),
          py::arg("counts").noconvert(), py::arg("sets").noconvert().none(true), py::arg("n_threads"));
}

}  // namespace pyhash
