#!/usr/bin/env bash
# Installs the named packages of Debian or Ubuntu. Without names it does nothing.
set -euo pipefail

if [ $# -eq 0 ]; then exit 0; fi
if ! command -v apt-get >/dev/null; then
  echo "needs $*, as Debian names them; without apt-get, install them yourself" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "needs the packages $*; as root: apt-get install $*" >&2
    exit 1
  fi
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
