// A zero-filled array that starts on a cache line.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>

namespace pyhash {

template <class T>
class AlignedBuffer {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    explicit AlignedBuffer(std::size_t size) : data_(new (alignment) T[size]()) {}
    ~AlignedBuffer() { ::operator delete[](data_, alignment); }
    AlignedBuffer(const AlignedBuffer&) = delete;
    AlignedBuffer& operator=(const AlignedBuffer&) = delete;

    T* data() { return data_; }
    const T* data() const { return data_; }
    T& operator[](std::size_t i) { return data_[i]; }

private:
    static constexpr std::align_val_t alignment{64};
    T* data_;
};

}  // namespace pyhash
