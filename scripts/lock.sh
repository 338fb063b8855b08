#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Resolves requirements/*.in into hash-checked lists that name no index: `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # OUTPUT "what it is" ARGUMENTS...
    local output=$1 title=$2
    shift 2
    local lines
    lines=$(mktemp)
    "$BIN/uv" pip compile --quiet --upgrade --no-header --no-annotate --generate-hashes --output-file "$lines" "$@"
    { printf '# %s Made by `make lock`; do not edit.\n' "$title"; grep -vE '^(#|--(index|extra-index|find-links|trusted-host))' "$lines"; } >"$output"
    rm -f "$lines"
    echo "lock: $output: $(grep -c '==' "$output") releases"
}

compile requirements/uv.txt 'The installer.' --universal --python-version 3.10 requirements/uv.in
compile requirements/dev.txt 'Development and CI, Python 3.10 to 3.13.' \
    --universal --python-version 3.10 --extra emulator requirements/dev.in pyproject.toml
compile requirements/corner.txt "Python 3.10 with Airflow 3.1.0, as of $CORNER_DATE." \
    --universal --python-version 3.10 --exclude-newer "$CORNER_DATE" \
    --exclude-newer-package "apache-airflow-providers-common-compat=$COMPAT_DATE" \
    --extra emulator requirements/corner.in pyproject.toml
compile requirements/browser.txt 'Playwright and axe, for `make test-browser`.' \
    --universal --python-version 3.10 requirements/browser.in
compile requirements/bench.txt 'The import benchmark: other providers beside ours.' \
    --universal --python-version 3.10 requirements/bench.in pyproject.toml
compile requirements/celery.txt 'Airflow on PostgreSQL, Redis and Celery, for `make e2e-celery`.' \
    --universal --python-version 3.10 --extra emulator requirements/celery.in pyproject.toml
compile requirements/docs.txt 'Sphinx, for `make docs`, on Python 3.11 and newer.' \
    --universal --python-version 3.11 requirements/docs.in
compile requirements/quality.txt 'Dead code, coverage, the package itself, the matrix: `make lint`, `make coverage`, `make check-package`, `make matrix`.' \
    --universal --python-version 3.10 requirements/quality.in
