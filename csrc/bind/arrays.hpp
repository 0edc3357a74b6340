// numpy arrays in and out of the core. Python checks what users pass; here a mismatch is a programming error, refused.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <concepts>
#include <span>
#include <string>
#include <utility>

#include "core/code_view.hpp"

namespace pyhash {

namespace py = pybind11;

// No conversion: an array of another dtype or layout does not match the signature.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

inline std::size_t extent(const py::array& array, int axis) { return static_cast<std::size_t>(array.shape(axis)); }

inline void require(bool holds, const char* requirement) {
    if (!holds) throw py::value_error(requirement);
}

inline CodeView code_view(const Array<std::uint8_t>& codes) {
    require(codes.ndim() == 2, "codes must have two dimensions");
    return {codes.data(), extent(codes, 0), extent(codes, 1)};
}

// All values of an array, in row-major order.
template <class T>
std::span<const T> values_of(const Array<T>& array) {
    return {array.data(), static_cast<std::size_t>(array.size())};
}
template <class T>
std::span<T> mutable_values_of(Array<T>& array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

template <class T>
Array<T> empty_array(std::size_t rows, std::size_t columns) {
    return Array<T>({static_cast<py::ssize_t>(rows), static_cast<py::ssize_t>(columns)});
}

// Runs `work` without the interpreter's lock; exceptions of its threads arrive here and become Python's.
template <std::invocable Work>
auto without_gil(Work work) {
    const py::gil_scoped_release release;
    return work();
}

void bind_bayes_codes(py::module_& m);
void bind_cpu_level(py::module_& m);
void bind_descent(py::module_& m);
void bind_label_sets(py::module_& m);
void bind_search(py::module_& m);
void bind_ranking(py::module_& m);
void bind_settled_signs(py::module_& m);

}  // namespace pyhash
