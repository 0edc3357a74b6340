// What the unit tests need of a framework: a check that says where it failed, and random codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/cpu_level.hpp"

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                                \
        }                                                                                \
    } while (false)

#define CHECK_THROWS(expression, exception) \
    do {                                    \
        bool thrown = false;                \
        try {                               \
            expression;                     \
        } catch (const exception&) {        \
            thrown = true;                  \
        }                                   \
        CHECK(thrown && #expression);       \
    } while (false)

// The exit status of a test that cannot run on this machine, as ctest is told.
constexpr int skipped = 77;

// Set where an emulator runs the tests, which is slow: fewer cases, and of the levels the highest alone.
inline bool quick() { return std::getenv("PYHASH_QUICK_TESTS") != nullptr; }

// Levels that are compared with the scalar oracle.
inline std::vector<std::string> levels_to_test() {
    std::vector<std::string> levels = pyhash::available_cpu_levels();
    if (quick()) levels.erase(levels.begin(), levels.end() - 1);
    return levels;
}

using Sizes = std::initializer_list<std::size_t>;

using Random = std::mt19937_64;

inline std::vector<std::uint8_t> random_bytes(Random& random, std::size_t n) {
    std::vector<std::uint8_t> bytes(n);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    return bytes;
}
