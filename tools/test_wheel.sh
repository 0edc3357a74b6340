#!/usr/bin/env bash
# Builds a wheel, installs it into a clean environment outside the tree, and runs the tests against it there.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

rm -rf dist
.venv/bin/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .
wheel=$(echo "$PWD"/dist/*.whl)

outside=$(mktemp -d)
trap 'rm -rf "$outside"' EXIT
cp -r --parents tests README.md pyproject.toml docs "$outside"
"$python" -m venv "$outside/venv"
"$outside/venv/bin/python" -m pip install --quiet "${TORCH:-torch}"
"$outside/venv/bin/python" -m pip install --quiet "${wheel}[test]"
cd "$outside"
venv/bin/python -c 'import pyhash, sys; sys.exit("venv" not in pyhash.__file__)'
PATH="$outside/venv/bin:$PATH" venv/bin/python -m pytest tests --pyargs pyhash
echo "tested $(basename "$wheel")"
