#include "bind/arrays.hpp"
#include "core/cpu_level.hpp"

PYBIND11_MODULE(_core, m) {
    m.doc() = "The C++ core of pyhash. Private: pyhash checks what users pass before it calls this.";
    pyhash::selected_kernels();  // a bad PYHASH_CPU_LEVEL fails here, at import, not in the first search
    pyhash::bind_bayes_codes(m);
    pyhash::bind_cpu_level(m);
    pyhash::bind_descent(m);
    pyhash::bind_label_sets(m);
    pyhash::bind_search(m);
    pyhash::bind_ranking(m);
    pyhash::bind_settled_signs(m);
}
