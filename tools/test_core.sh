#!/usr/bin/env bash
# Builds the C++ core as wheels have it, and runs its tests: for the machines that build wheels.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S "$source" -B "$build" -DPYHASH_PYTHON=OFF -DPYHASH_TESTS=ON
cmake --build "$build" --parallel 4
ctest --test-dir "$build" --output-on-failure
