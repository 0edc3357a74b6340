// Something that is made when it is first needed, by whichever thread comes first.
#pragma once

#include <atomic>
#include <concepts>
#include <memory>

namespace pyhash {

// No lock: a fork in the middle leaves nothing locked. Threads that come at the same time may each make one; all but
// the first are thrown away.
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
