// An object that is built when it is first needed, by the first thread that needs it.
#pragma once

#include <atomic>
#include <concepts>
#include <memory>

namespace pyhash {

// No lock, so a fork at any moment leaves nothing locked. Threads that arrive at the same time may each build one; all
// but the first to finish are deleted.
template <class T>
class OnceBuilt {
public:
    OnceBuilt() = default;
    ~OnceBuilt() { delete built_.load(); }
    OnceBuilt(const OnceBuilt&) = delete;
    OnceBuilt& operator=(const OnceBuilt&) = delete;

    // nullptr before it was made.
    const T* get() const { return built_.load(std::memory_order_acquire); }

    // make() gives a std::unique_ptr<T>.
    template <std::invocable Make>
    const T* get_or(Make make) const {
        if (const T* built = get()) return built;
        std::unique_ptr<const T> own = make();
        const T* expected = nullptr;
        if (built_.compare_exchange_strong(expected, own.get(), std::memory_order_acq_rel)) return own.release();
        return expected;
    }

private:
    mutable std::atomic<const T*> built_{nullptr};
};

}  // namespace pyhash
