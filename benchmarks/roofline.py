"""Limits of one core of this machine: bytes read from memory, and bits counted in the first-level cache."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import clocks

_SOURCE = r"""
#include <cstddef>
#include <cstdint>

extern "C" std::uint64_t read_words(const std::uint64_t* words, std::size_t n) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < n; ++i) all ^= words[i];
  return all;
}

// Four sums, so that no addition waits for the one before.
extern "C" std::uint64_t count_bits(const std::uint64_t* words, std::size_t n, std::size_t repeats) {
  std::uint64_t a = 0, b = 0, c = 0, d = 0;
  for (std::size_t query = 0; query < repeats; ++query)
    for (std::size_t i = 0; i + 4 <= n; i += 4) {
      a += __builtin_popcountll(words[i] ^ query);
      b += __builtin_popcountll(words[i + 1] ^ query);
      c += __builtin_popcountll(words[i + 2] ^ query);
      d += __builtin_popcountll(words[i + 3] ^ query);
    }
  return a + b + c + d;
}
"""

_CACHED_WORDS = 2048  # 16 KiB: half of a first-level cache


def measure(*, quick: bool = False) -> dict[str, object]:
    """Return bytes a second from memory and 64-bit words a second from cache, of one core; the best of several runs."""
    memory = np.ones((1 << 23) if quick else (1 << 26), dtype=np.uint64)  # half a GiB: no cache holds it
    cached, repeats = np.arange(_CACHED_WORDS, dtype=np.uint64), 1000 if quick else 20_000
    compiled = _compile()
    if compiled is None:
        read, count = np.bitwise_xor.reduce, _numpy_count
    else:
        read = lambda words: compiled.read_words(_address(words), len(words))  # noqa: E731
        count = lambda words, n: compiled.count_bits(_address(words), len(words), n)  # noqa: E731
    return {
        "bytes_per_second": memory.nbytes / _best(lambda: read(memory)),
        "words_per_second": len(cached) * repeats / _best(lambda: count(cached, repeats)),
        "by": "numpy" if compiled is None else "C++",
    }


def _best(call, tries: int = 5) -> float:
    times = []
    for _ in range(tries):
        start = clocks()
        call()
        times.append((clocks() - start)[0])
    return min(times)


def _numpy_count(words: np.ndarray, repeats: int) -> None:
    out, bits = np.empty_like(words), np.empty(len(words), dtype=np.uint8)
    for query in range(repeats):
        np.bitwise_xor(words, np.uint64(query), out=out)
        np.bitwise_count(out, out=bits)


def _address(words: np.ndarray) -> ctypes.c_void_p:
    return words.ctypes.data_as(ctypes.c_void_p)


def _compile() -> ctypes.CDLL | None:
    """Return the probe compiled for this CPU; None if there is no suitable compiler."""
    compiler = shutil.which("c++")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "probe.cpp"), Path(folder, "probe.so")
        source.write_text(_SOURCE)
        # Some compilers gather the four words of a step in a vector only to take them out again.
        flags = ["-O3", "-march=native", "-fno-tree-slp-vectorize", "-shared", "-fPIC"]
        if subprocess.run([compiler, *flags, str(source), "-o", str(target)], capture_output=True).returncode:
            return None
        library = ctypes.CDLL(str(target))
    library.read_words.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.count_bits.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    library.read_words.restype = library.count_bits.restype = ctypes.c_uint64
    return library
