#!/usr/bin/env bash
# Installs what compiles and runs programs for 64-bit ARM on another machine: a cross compiler, and QEMU. Does nothing
# where both are there.
set -euo pipefail

missing=()
command -v aarch64-linux-gnu-g++ >/dev/null || missing+=(g++-aarch64-linux-gnu)
command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
bash "$(dirname "$0")/install_packages.sh" "${missing[@]}"
