// A zero-filled array that starts on a cache line, or where it is large, on a large page.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pyhash {

template <class T>
class AlignedBuffer {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    explicit AlignedBuffer(std::size_t size)
        : alignment_(size * sizeof(T) < large ? cache_line : large_page),
          data_(static_cast<T*>(::operator new[](size * sizeof(T), alignment_))) {
#if defined(__linux__)
        // A scan that picks lines from many pages would otherwise wait for their addresses. Only a hint: it may fail.
        if (size * sizeof(T) >= large) madvise(data_, size * sizeof(T), MADV_HUGEPAGE);
#endif
        std::memset(static_cast<void*>(data_), 0, size * sizeof(T));
    }
    ~AlignedBuffer() { ::operator delete[](data_, alignment_); }
    AlignedBuffer(const AlignedBuffer&) = delete;
    AlignedBuffer& operator=(const AlignedBuffer&) = delete;

    T* data() { return data_; }
    const T* data() const { return data_; }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }

private:
    static constexpr std::align_val_t cache_line{64}, large_page{std::size_t{1} << 21};
    static constexpr std::size_t large = std::size_t{1} << 23;  // bytes, from which on the rounding up is small

    std::align_val_t alignment_;
    T* data_;
};

}  // namespace pyhash
