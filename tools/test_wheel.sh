#!/usr/bin/env bash
# Builds the source distribution and from it a wheel, gives the wheel the widest platform tag that it may have, installs
# it into a clean environment outside the tree, and runs the tests against it there.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
PATH="$PWD/.venv/bin:$PATH"

rm -rf dist
python -m build --no-isolation --outdir dist
wheel=$(echo "$PWD"/dist/*.whl)
if [ "$(uname)" = Linux ]; then
  auditwheel repair --plat auto --wheel-dir dist "$wheel"
  rm "$wheel"
  wheel=$(echo "$PWD"/dist/*.whl)
  auditwheel show "$wheel"
fi

outside=$(mktemp -d)
trap 'rm -rf "$outside"' EXIT
tar -cf - tests README.md pyproject.toml docs | tar -xf - -C "$outside"
"$python" -m venv "$outside/venv"
"$outside/venv/bin/python" -m pip install --quiet "${TORCH:-torch}"
"$outside/venv/bin/python" -m pip install --quiet "${wheel}[test]"
cd "$outside"
venv/bin/python -c 'import pyhash, sys; sys.exit("venv" not in pyhash.__file__)'
PATH="$outside/venv/bin:$PATH" venv/bin/python -m pytest -m "not slow" -n auto tests --pyargs pyhash
echo "tested $(basename "$wheel")"
