# Sourced by tools/test and tools/quickstart: makes .venv with everything they need, or finds it made.
# Sets PYTHON. Expects `set -euo pipefail` and the checkout as the working directory.

# One thread a process: the simulators keep the other cores busy, and spinning threads would only wait for them.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

PYTHON=.venv/bin/python

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "set-up: no Python 3.11 or later found; install one and run this again" >&2
    return 1
}

install() { "$PYTHON" -m pip install --quiet --quiet --disable-pip-version-check -c tools/constraints.txt "$@"; }

install_torch() {
    local pin
    pin=$(grep '^torch==' tools/constraints.txt)
    # The wheel on PyPI brings gigabytes of CUDA libraries, which a machine without an NVIDIA GPU cannot use.
    if [ "$(uname -s)" != Linux ] || nvidia-smi >/dev/null 2>&1; then
        install "$pin"
    else
        install "$pin+cpu" 2>/dev/null ||
            install "$pin+cpu" --extra-index-url https://download.pytorch.org/whl/cpu 2>/dev/null ||
            install "$pin"
    fi
}

set_up() {
    local stamp=.venv/set-up-is-complete wanted python
    wanted=$({ pwd && cat pyproject.toml tools/constraints.txt tools/setup.sh; } | cksum)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && new_enough "$PYTHON"; then
        return
    fi
    echo "set-up: installing into .venv (some minutes the first time)"
    if ! { new_enough "$PYTHON" && "$PYTHON" -m pip --version >/dev/null 2>&1; }; then
        python=$(find_python) || return 1
        "$python" -m venv --clear .venv || return 1
    fi
    rm -f "$stamp"
    { "$PYTHON" -c 'import torch' 2>/dev/null || install_torch; } && install -e '.[dev]' || return 1
    echo "$wanted" >"$stamp"
}
