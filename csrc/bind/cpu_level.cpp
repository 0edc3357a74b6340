#include "core/cpu_level.hpp"

#include <pybind11/stl.h>

#include "bind/arrays.hpp"

namespace pyhash {

void bind_cpu_level(py::module_& m) {
    m.def("available_cpu_levels", &available_cpu_levels);
    m.def("unavailable_cpu_levels", &unavailable_cpu_levels);
    m.def("cpu_level", [] { return std::string(selected_kernels().level); });
    m.def("set_cpu_level", &set_cpu_level, py::arg("level"));
}

}  // namespace pyhash
