#include "core/cpu_level.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace pyhash {
namespace {

struct Level {
    const char* name;
    bool runs_here;
    const KernelTable* (*kernels)();  // called only where the level runs: its file is compiled for it
};

// The levels of this build, lowest first. What a file is compiled for, CMakeLists.txt says.
std::vector<Level> levels_of_build() {
    std::vector<Level> levels{{"scalar", true, scalar_kernels}, {"portable", true, portable_kernels}};
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    if (avx2_kernels() != nullptr) {
        __builtin_cpu_init();  // also asks the operating system whether it saves the wide registers
        const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                          __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi") &&
                          __builtin_cpu_supports("bmi2");
        const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vbmi2") &&
                            __builtin_cpu_supports("avx512vpopcntdq");
        levels.push_back({"avx2", avx2, avx2_kernels});
        levels.push_back({"avx512", avx512, avx512_kernels});
    }
#endif
    if (neon_kernels() != nullptr) levels.push_back({"neon", true, neon_kernels});
    return levels;
}

std::vector<std::string> names_of_levels(bool run_here) {
    std::vector<std::string> names;
    for (const Level& level : levels_of_build()) {
        if (level.runs_here == run_here) names.emplace_back(level.name);
    }
    return names;
}

std::string quoted(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
    return text;
}

const KernelTable* table_of(const std::string& wanted, const std::string& named_by) {
    for (const Level& level : levels_of_build()) {
        if (level.runs_here && wanted == level.name) return level.kernels();
    }
    std::string message = named_by + " must be one of " + quoted(available_cpu_levels()) + " on this machine";
    const std::vector<std::string> others = unavailable_cpu_levels();
    if (!others.empty()) message += " (which cannot run " + quoted(others) + ")";
    throw std::invalid_argument(message + ", got '" + wanted + "'");
}

const KernelTable* initial_table() {
    const char* wanted = std::getenv("PYHASH_CPU_LEVEL");
    if (wanted != nullptr && *wanted != '\0') return table_of(wanted, "PYHASH_CPU_LEVEL");
    return table_of(available_cpu_levels().back(), "level");
}

std::atomic<const KernelTable*>& selected() {
    static std::atomic<const KernelTable*> table{initial_table()};
    return table;
}

}  // namespace

std::vector<std::string> available_cpu_levels() { return names_of_levels(true); }

std::vector<std::string> unavailable_cpu_levels() { return names_of_levels(false); }

void set_cpu_level(const std::string& level) { selected().store(table_of(level, "level")); }

const KernelTable& selected_kernels() { return *selected().load(); }

}  // namespace pyhash
