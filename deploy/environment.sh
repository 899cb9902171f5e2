# Sourced by the other scripts: finds Python, makes .venv beside the source, installs hubbot into it.
# Sets $PYTHON to the environment's interpreter. POSIX sh; needs Python >= 3.11 with venv, or uv.
# HUBBOT_DEVICE=cuda: MLX's CUDA build takes the place of its CPU build (Linux with an NVIDIA GPU).
# usage: ROOT=... EXTRAS="[test]"; . "$ROOT/deploy/environment.sh"   (EXTRAS may be empty)

set -eu
ENVIRONMENT=${HUBBOT_ENVIRONMENT:-$ROOT/.venv}
PYTHON=$ENVIRONMENT/bin/python

fail() {
    printf 'hubbot: %s\n' "$1" >&2
    exit 1
}

# Never deletes what is no Python environment, nor a file in one that is not part of it.
clear_environment() {
    if [ ! -e "$ENVIRONMENT" ] && [ ! -L "$ENVIRONMENT" ]; then return 0; fi
    if [ -d "$ENVIRONMENT" ] && [ -z "$(ls -A "$ENVIRONMENT")" ]; then return 0; fi
    if ! [ -d "$ENVIRONMENT" ] || [ -L "$ENVIRONMENT" ] || ! [ -f "$ENVIRONMENT/pyvenv.cfg" ]; then
        fail "$ENVIRONMENT holds something that is no Python environment, and is not touched; set HUBBOT_ENVIRONMENT to another place"
    fi
    for part in "$ENVIRONMENT"/* "$ENVIRONMENT"/.[!.]*; do
        case ${part##*/} in
        bin | include | lib | lib64 | share | pyvenv.cfg | .hubbot* | .gitignore | CACHEDIR.TAG | .lock | '*' | '.[!.]*') ;;
        *) fail "$part is not of the Python environment around it, and nothing is touched; move it, or set HUBBOT_ENVIRONMENT to another place" ;;
        esac
    done
    rm -rf "$ENVIRONMENT"
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for name in "${HUBBOT_PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && is_new_enough "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

make_environment() {
    if found=$(find_python); then
        "$found" -m venv "$ENVIRONMENT" >/dev/null 2>&1 && return 0
        clear_environment
        command -v uv >/dev/null 2>&1 || fail "$found has no venv module; install it (Debian: apt install python3-venv) or install uv"
    fi
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --seed --python 3.12 "$ENVIRONMENT" && return 0
    fi
    version=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null || echo none)
    fail "needs Python 3.11 or newer with venv, or uv; found python3: $version. Set HUBBOT_PYTHON to another interpreter."
}

# Both builds own the same library file, so the one that is wanted is installed last and the other is gone.
use_cuda() {
    mlx=$("$PYTHON" -c 'from importlib.metadata import version; print(version("mlx"))') || fail "mlx is not installed"
    "$PYTHON" -m pip uninstall --quiet --disable-pip-version-check --yes mlx-cpu >&2 || fail "mlx-cpu stays in the way"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --force-reinstall "mlx-cuda-13==$mlx" >&2 ||
        fail "MLX's CUDA build could not be installed; the lines above say why"
}

install_hubbot() {
    # Installing again costs seconds, so it is done only when the package's own description has changed.
    device=${HUBBOT_DEVICE:-}
    case $device in
    '' | cuda) ;;
    *) fail "HUBBOT_DEVICE is $device; it may be cuda, or be left unset" ;;
    esac
    stamp=$ENVIRONMENT/.hubbot$(printf '%s%s' "$EXTRAS" "${device:+_$device}" | tr -c 'a-z\n' '_')
    if [ -f "$stamp" ] && cmp -s "$stamp" "$ROOT/pyproject.toml"; then
        return 0
    fi
    printf 'hubbot: installing into %s (some minutes the first time)\n' "$ENVIRONMENT" >&2
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --editable "$ROOT$EXTRAS" >&2 ||
        fail "the installation failed; the lines above say why"
    if [ "$device" = cuda ]; then use_cuda; fi
    # What was installed for another device is not in force any more.
    for other in "$ENVIRONMENT"/.hubbot*; do
        case $device$other in
        cuda*_cuda) ;;
        cuda* | *_cuda) rm -f "$other" ;;
        esac
    done
    cp "$ROOT/pyproject.toml" "$stamp"
}

if ! [ -x "$PYTHON" ] || ! is_new_enough "$PYTHON"; then
    clear_environment
    make_environment
fi
install_hubbot
