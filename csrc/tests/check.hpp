// What the unit tests need of a framework: a check that says where it failed, and random codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <random>
#include <stdexcept>
#include <vector>

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

using Sizes = std::initializer_list<std::size_t>;

using Random = std::mt19937_64;

inline std::vector<std::uint8_t> random_bytes(Random& random, std::size_t n) {
    std::vector<std::uint8_t> bytes(n);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    return bytes;
}
