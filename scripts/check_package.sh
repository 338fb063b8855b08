#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds wheel and source distribution, and proves them in an empty environment that has only Airflow.
#   BIN=.venv/bin scripts/check_package.sh
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never PYTHONDONTWRITEBYTECODE=1
unset VIRTUAL_ENV

work=build/package
rm -rf dist "$work"
mkdir -p "$work"

echo '== build: wheel and source distribution'
"$BIN/python" -m build --no-isolation --outdir dist . >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; exit 1; }
"$BIN/twine" check --strict dist/*
# W002: every __init__.py that holds the licence line alone is the same file.
"$BIN/check-wheel-contents" --ignore W002 dist/*.whl

echo '== the source distribution builds the same wheel'
tar -xzf dist/*.tar.gz -C "$work"
"$BIN/python" -m build --no-isolation --wheel --outdir "$work/again" "$work"/airflow_provider_runflow-*/ >>"$work/build.log" 2>&1
"$BIN/python" - dist/*.whl "$work"/again/*.whl <<'PY'
import sys, zipfile
first, second = ({i.filename: i.CRC for i in zipfile.ZipFile(name).infolist()} for name in sys.argv[1:])
assert first == second, sorted(set(first.items()) ^ set(second.items()))[:10]
print(f"{len(first)} files, the same")
PY

echo '== an empty environment: Airflow, and the wheel'
grep -oE '^[A-Za-z0-9._-]+==[^ ;]+( ;[^\\]+)?' requirements/dev.txt >"$work/constraints.txt"
"$BIN/uv" venv --quiet --python "$BIN/python" "$work/venv"
"$BIN/uv" pip install --quiet --python "$work/venv/bin/python" --constraint "$work/constraints.txt" dist/*.whl
AIRFLOW_HOME="$PWD/$work/airflow" PATH="$PWD/$work/venv/bin:/usr/bin:/bin" "$work/venv/bin/python" scripts/package_probe.py

echo '== bill of materials and licences: dist/sbom.cdx.json, dist/LICENSES.md'
"$BIN/cyclonedx-py" environment --output-reproducible --of JSON -o dist/sbom.cdx.json "$work/venv/bin/python" 2>/dev/null
"$BIN/pip-licenses" --python "$work/venv/bin/python" --format=markdown --order=license --output-file dist/LICENSES.md >/dev/null
"$BIN/python" -c 'import json; print(len(json.load(open("dist/sbom.cdx.json"))["components"]), "components")'
echo 'check-package: everything is as it should be. Look at dist/.'
