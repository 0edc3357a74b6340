#include <atomic>
#include <stdexcept>

#include "check.hpp"
#include "core/parallel_for.hpp"

using pyhash::parallel_for;

// Every index is visited exactly once, whatever the numbers of threads and the grain.
static void covers_the_range() {
    for (std::size_t n : Sizes{0, 1, 2, 7, 100, 1001}) {
        for (std::size_t threads : Sizes{0, 1, 2, 5, 64}) {
            for (std::size_t grain : Sizes{0, 1, 10, 5000}) {
                std::vector<std::atomic<int>> visits(n);
                parallel_for(n, threads, grain, [&](std::size_t begin, std::size_t end) {
                    CHECK(begin < end && end <= n);
                    for (std::size_t i = begin; i < end; ++i) ++visits[i];
                });
                for (auto& count : visits) CHECK(count == 1);
            }
        }
    }
}

static void rethrows_from_any_thread() {
    for (std::size_t bad : Sizes{0, 499, 999}) {
        CHECK_THROWS(parallel_for(1000, 4, 1,
                                  [&](std::size_t begin, std::size_t end) {
                                      if (begin <= bad && bad < end) throw std::runtime_error("as meant");
                                  }),
                     std::runtime_error);
    }
}

static void little_work_stays_on_the_caller() {
    int calls = 0;  // not atomic: a second thread would be a race
    parallel_for(100, 8, 101, [&](std::size_t, std::size_t) { ++calls; });
    CHECK(calls == 1);
}

int main() {
    covers_the_range();
    rethrows_from_any_thread();
    little_work_stays_on_the_caller();
}
