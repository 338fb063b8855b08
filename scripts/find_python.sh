#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the path of a Python of the given minor version (3.10), or nothing and exit code 1.
# A name on the PATH is not enough: version managers leave shims there that do not start.
set -uo pipefail
wanted=$1

starts() { [ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$wanted" ]; }

candidates() {
    echo "python$wanted"
    command -v pyenv >/dev/null && for version in $(pyenv versions --bare 2>/dev/null | grep -E "^${wanted//./\\.}\.[0-9]+$"); do
        echo "$(pyenv root)/versions/$version/bin/python"
    done
    command -v uv >/dev/null && uv python find --no-python-downloads "$wanted" 2>/dev/null
    [ -x .venv/bin/uv ] && .venv/bin/uv python find --no-python-downloads "$wanted" 2>/dev/null
}

while read -r candidate; do
    if starts "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done < <(candidates)
exit 1
