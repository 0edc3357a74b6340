#include "core/cpu_level.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace pyhash {
namespace {

bool cpu_has_avx2() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();  // also asks the operating system whether it saves the wide registers
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt") &&
           __builtin_cpu_supports("bmi");
#else
    return false;
#endif
}

std::vector<const KernelTable*> available_tables() {
    std::vector<const KernelTable*> tables{scalar_kernels(), portable_kernels()};
    if (avx2_kernels() != nullptr && cpu_has_avx2()) tables.push_back(avx2_kernels());
    return tables;
}

const KernelTable* table_of(const std::string& level, const std::string& named_by) {
    std::string names;
    for (const KernelTable* table : available_tables()) {
        if (level == table->level) return table;
        names += (names.empty() ? "'" : ", '") + std::string(table->level) + "'";
    }
    throw std::invalid_argument(named_by + " must be one of " + names + " on this machine, got '" + level + "'");
}

const KernelTable* initial_table() {
    const char* wanted = std::getenv("PYHASH_CPU_LEVEL");
    if (wanted != nullptr && *wanted != '\0') return table_of(wanted, "PYHASH_CPU_LEVEL");
    return available_tables().back();
}

std::atomic<const KernelTable*>& selected() {
    static std::atomic<const KernelTable*> table{initial_table()};
    return table;
}

}  // namespace

std::vector<std::string> available_cpu_levels() {
    std::vector<std::string> levels;
    for (const KernelTable* table : available_tables()) levels.emplace_back(table->level);
    return levels;
}

void set_cpu_level(const std::string& level) { selected().store(table_of(level, "level")); }

const KernelTable& selected_kernels() { return *selected().load(); }

}  // namespace pyhash
