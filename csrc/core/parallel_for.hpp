// Splits a range over threads that live for one call.
//
// Threads are spawned per call: nothing survives a fork, nothing is shared with another OpenMP in the process.
#pragma once

#include <cstddef>
#include <functional>

namespace pyhash {

// Calls body(begin, end) on disjoint slices that cover [0, n), on at most n_threads threads, the caller's among them.
// No slice is shorter than `grain` (but for the last), so little work stays on the caller. Slices are handed out as
// threads become free. The first exception of any slice is rethrown here after all threads have stopped; slices not yet
// begun are left.
void parallel_for(std::size_t n, std::size_t n_threads, std::size_t grain,
                  const std::function<void(std::size_t, std::size_t)>& body);

}  // namespace pyhash
