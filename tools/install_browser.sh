#!/usr/bin/env bash
# Installs what the tests of `pyhash explore` open its page with: Chromium, and a font with emoji. Does nothing where
# both are there; Google's Chrome serves as well.
set -euo pipefail

missing=()
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
[ -n "$(fc-list :lang=und-zsye family 2>/dev/null)" ] || missing+=(fonts-noto-color-emoji)
bash "$(dirname "$0")/install_packages.sh" "${missing[@]}"
