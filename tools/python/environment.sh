#!/usr/bin/env bash
# Makes a virtual environment, .build/python, with the package as its wheel has it, and with what its
# tests use. PyTorch is left out where it cannot be had: its tests are then skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
environment=.build/python
wheels=.build/wheels
python=$environment/bin/python

[ -x "$python" ] || /usr/bin/python3 -m venv "$environment"
run_pip() { "$python" -m pip --disable-pip-version-check "$@"; }
run_pip install -q -r Tests/python/requirements.txt
run_pip install -q -r Tests/python/requirements-torch.txt ||
    echo "python: going on without PyTorch" >&2
rm -rf "$wheels"
run_pip wheel -q --no-deps -w "$wheels" tools/python
run_pip install -q --no-deps --force-reinstall "$wheels"/*.whl
