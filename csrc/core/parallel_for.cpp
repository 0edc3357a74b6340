#include "core/parallel_for.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace pyhash {
namespace {

constexpr std::size_t slices_per_thread = 8;  // evens out rows of unequal cost

}  // namespace

void parallel_for(std::size_t n, std::size_t n_threads, std::size_t grain,
                  const std::function<void(std::size_t, std::size_t)>& body) {
    if (n == 0) return;
    grain = std::max<std::size_t>(grain, 1);
    n_threads = std::clamp<std::size_t>(n / grain, 1, std::max<std::size_t>(n_threads, 1));
    if (n_threads == 1) {
        body(0, n);
        return;
    }
    const std::size_t n_slices = std::min(n_threads * slices_per_thread, n / grain);
    std::atomic<std::size_t> next{0};
    std::mutex failure_lock;
    std::exception_ptr failure;

    auto work = [&] {
        for (std::size_t slice = next++; slice < n_slices; slice = next++) {
            // Quotient and remainder apart: n * slice could overflow.
            const std::size_t size = n / n_slices, extra = n % n_slices;
            const std::size_t begin = slice * size + std::min(slice, extra);
            const std::size_t end = begin + size + (slice < extra ? 1 : 0);
            try {
                body(begin, end);
            } catch (...) {
                const std::scoped_lock guard(failure_lock);
                if (!failure) failure = std::current_exception();
                next = n_slices;
            }
        }
    };

    std::vector<std::thread> threads;
    threads.reserve(n_threads - 1);
    try {
        while (threads.size() + 1 < n_threads) threads.emplace_back(work);
    } catch (const std::system_error&) {
        // The system grants no more threads: the ones there are do the work.
    }
    work();
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace pyhash
