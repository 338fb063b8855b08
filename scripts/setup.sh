#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a virtual environment from a hash-checked lock, byte-compiled, with this package in it (editable).
#   scripts/setup.sh VENV LOCK PYTHON
# Says in one line what is missing. Safe to run again: it only does what is left to do.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1 lock=$2 python=$3

fail() { echo "setup: $*" >&2; exit 1; }

check_python() {
    command -v "$python" >/dev/null 2>&1 ||
        fail "Python is missing: '$python' is not a command here. Install Python 3.10 to 3.13 (or: make PYTHON=/path/to/python3)."
    local found
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
        fail "'$python' does not start. Install Python 3.10 to 3.13 (or: make PYTHON=/path/to/python3)."
    case $found in
        3.10 | 3.11 | 3.12 | 3.13) ;;
        *) fail "'$python' is Python $found; this needs 3.10 to 3.13 (make PYTHON=python3.12)." ;;
    esac
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "the venv module of '$python' (Python $found) is missing. On Debian and Ubuntu: apt-get install python$found-venv."
}

make_venv() {
    local wanted present
    wanted=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
    present=$("$venv/bin/python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true)
    # Another Python or another lock: made anew, so that nothing of the old one stays.
    if [ "$wanted" = "$present" ] && [ -x "$venv/bin/pip" ] && cmp -s "$lock" "$venv/.lock"; then
        return
    fi
    echo "setup: $venv with Python $wanted"
    rm -rf "$venv"
    PYTHONDONTWRITEBYTECODE=1 "$python" -m venv "$venv" || fail "'$python -m venv' could not make $venv (see above)."
}

install() {
    # The machine may say otherwise: without bytecode every Airflow process compiles every module again.
    unset PYTHONDONTWRITEBYTECODE
    export UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV="$PWD/$venv"
    if ! cmp -s "$lock" "$venv/.lock"; then
        echo "setup: installing $lock"
        "$venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements/uv.txt
        "$venv/bin/uv" pip install --quiet --require-hashes -r "$lock"
        cp "$lock" "$venv/.lock"
    fi
    "$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable .
    "$venv/bin/python" -m compileall -q airflow_provider_runflow dags scripts
}

check_python
make_venv
install
echo "setup: $venv is ready"
