#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>

#include "bind/arrays.hpp"
#include "core/code_set.hpp"
#include "core/distances.hpp"

namespace pyhash {
namespace {

void require_same_length(const CodeView& queries, const CodeView& codes) {
    require(queries.n_bytes == codes.n_bytes, "queries and codes must have the same number of bytes");
}

ProjectionView projection_view(const Array<double>& projections, const CodeView& codes) {
    require(projections.ndim() == 2 && (extent(projections, 1) + 7) / 8 == codes.n_bytes,
            "projections must have shape (n, n_bits) for the n_bits of the codes");
    return {projections.data(), extent(projections, 0), extent(projections, 1)};
}

Array<std::uint32_t> all_hamming(const Array<std::uint8_t>& queries, const Array<std::uint8_t>& codes,
                                 std::size_t n_threads) {
    const CodeView q = code_view(queries), c = code_view(codes);
    require_same_length(q, c);
    auto out = empty_array<std::uint32_t>(q.n, c.n);
    const std::span<std::uint32_t> values = mutable_values_of(out);
    without_gil([&] { hamming_distances(q, c, n_threads, values); });
    return out;
}

Array<double> all_weighted(const Array<double>& projections, const Array<std::uint8_t>& codes, std::size_t n_threads) {
    const CodeView c = code_view(codes);
    const ProjectionView p = projection_view(projections, c);
    auto out = empty_array<double>(p.n, c.n);
    const std::span<double> values = mutable_values_of(out);
    without_gil([&] { weighted_distances(p, c, n_threads, values); });
    return out;
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

template <class Distance>
py::tuple to_arrays(HitLists<Distance>&& hits) {
    return py::make_tuple(to_array(std::move(hits.offsets)), to_array(std::move(hits.positions)),
                          to_array(std::move(hits.distances)));
}

template <class Distance>
Wanted<Distance> wanted_of(std::optional<std::size_t> k, std::optional<Distance> radius, bool all_ties) {
    Wanted<Distance> wanted;
    if (k) wanted.k = *k;
    if (radius) wanted.radius = *radius;
    wanted.all_ties = all_ties;
    return wanted;
}

using OptionalMask = std::optional<Array<std::uint8_t>>;

RowMask mask_of(const OptionalMask& mask, const CodeSet& set) {
    if (!mask) return nullptr;
    require(mask->ndim() == 1 && extent(*mask, 0) == mask_bytes(set.codes().n),
            "mask must have mask_bytes(n) bytes for n codes");
    return mask->data();
}

py::tuple search(const CodeSet& set, const Array<std::uint8_t>& queries, std::optional<std::size_t> k,
                 std::optional<std::uint32_t> radius, bool all_ties, const OptionalMask& mask, std::size_t n_threads) {
    const CodeView q = code_view(queries);
    require_same_length(q, set.codes());
    const RowMask rows = mask_of(mask, set);
    const auto wanted = wanted_of(k, radius, all_ties);
    return to_arrays(without_gil([&] { return set.search(q, wanted, rows, n_threads); }));
}

py::tuple search_weighted(const CodeSet& set, const Array<double>& projections, std::optional<std::size_t> k,
                          std::optional<double> radius, bool all_ties, const OptionalMask& mask,
                          std::size_t n_threads) {
    const ProjectionView p = projection_view(projections, set.codes());
    const RowMask rows = mask_of(mask, set);
    const auto wanted = wanted_of(k, radius, all_ties);
    return to_arrays(without_gil([&] { return set.search_weighted(p, wanted, rows, n_threads); }));
}

Layout layout_of(const std::string& name) {
    if (name == "auto") return Layout::automatic;
    if (name == "scan") return Layout::scan;
    require(name == "multi-index", R"(layout must be "auto", "scan" or "multi-index")");
    return Layout::multi_index;
}

std::unique_ptr<CodeSet> code_set(const Array<std::uint8_t>& codes, bool lean, const std::string& layout,
                                  double layout_bytes_per_code) {
    const CodeView view = code_view(codes);
    require(view.n_bytes > 0, "codes must have at least one byte");
    require(layout_bytes_per_code >= 0, "layout_bytes_per_code must be at least 0");
    return std::make_unique<CodeSet>(view, lean, layout_of(layout), layout_bytes_per_code);
}

// numpy's view keeps the set, and so the tables, alive.
py::object tables(const py::object& self) {
    const SubstringTables* tables = self.cast<const CodeSet&>().tables();
    if (tables == nullptr) return py::none();
    const std::span<const std::uint8_t> bytes = tables->bytes();
    py::array_t<std::uint8_t> view(static_cast<py::ssize_t>(bytes.size()), bytes.data(), self);
    view.attr("setflags")(py::arg("write") = false);
    return py::make_tuple(tables->form().n_tables, tables->form().with_codes, view);
}

void use_tables(CodeSet& set, std::size_t n_tables, bool with_codes, const Array<std::uint8_t>& bytes) {
    require(bytes.ndim() == 1, "bytes must have one dimension");
    set.use_tables({n_tables, with_codes}, values_of(bytes));
}

py::dict stats(const CodeSet& set) {
    const CodeSet::Stats stats = set.stats();
    py::dict out;
    out["n_distinct"] = stats.n_distinct;
    out["grouped"] = stats.grouped;
    out["bit_plane_bytes"] = stats.bit_plane_bytes;
    out["nibble_plane_bytes"] = stats.nibble_plane_bytes;
    out["group_bytes"] = stats.group_bytes;
    out["table_bytes"] = stats.table_bytes;
    out["n_tables"] = stats.n_tables;
    out["layout"] = stats.multi_index ? "multi-index" : "scan";
    out["layout_reason"] = stats.reason;
    return out;
}

}  // namespace

void bind_search(py::module_& m) {
    const auto queries = py::arg("queries").noconvert();
    const auto projections = py::arg("projections").noconvert();
    const auto codes = py::arg("codes").noconvert();
    m.def("hamming_distances", &all_hamming, queries, codes, py::arg("n_threads"));
    m.def("weighted_distances", &all_weighted, projections, codes, py::arg("n_threads"));
    const auto k = py::arg("k"), radius = py::arg("radius"), all_ties = py::arg("all_ties");
    const auto mask = py::arg("mask").noconvert(), n_threads = py::arg("n_threads");
    m.def("mask_bytes", &mask_bytes, py::arg("n_rows"));
    py::class_<CodeSet>(m, "CodeSet")
        .def(py::init(&code_set), codes, py::arg("lean"), py::arg("layout"), py::arg("layout_bytes_per_code"),
             py::keep_alive<1, 2>())
        .def("search", &search, queries, k, radius, all_ties, mask, n_threads)
        .def("search_weighted", &search_weighted, projections, k, radius, all_ties, mask, n_threads)
        .def(
            "build_tables",
            [](const CodeSet& set, std::size_t threads) { without_gil([&] { set.build_tables(threads); }); }, n_threads)
        .def("tables", &tables)
        .def("use_tables", &use_tables, py::arg("n_tables"), py::arg("with_codes"), py::arg("bytes").noconvert(),
             py::keep_alive<1, 4>())
        .def("stats", &stats);
}

}  // namespace pyhash
