// Which kernel table runs: the best one that this CPU and operating system support, unless told otherwise.
#pragma once

#include <string>
#include <vector>

#include "core/kernel_table.hpp"

namespace pyhash {

// Levels that run on this machine, lowest first: "scalar", "portable", then the instruction sets.
std::vector<std::string> available_cpu_levels();

// Levels that this build has and this machine cannot run.
std::vector<std::string> unavailable_cpu_levels();

// Selects a level by name for the whole process; throws std::invalid_argument when it is not available.
void set_cpu_level(const std::string& level);

// The selected table, which another thread may change: a call takes it once and hands it down. The first use obeys the
// environment variable PYHASH_CPU_LEVEL.
const KernelTable& selected_kernels();

}  // namespace pyhash
