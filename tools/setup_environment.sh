#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set this machine up for `make demo` and `make test`; nothing to do the second time (< 1 s).
#
#   system packages   a software renderer for the cameras, Python's venv module, and Chromium
#                     for the tests of the web console
#   .venv             torch, MuJoCo, and rclpy as wheels where no ROS 2 is sourced
#   .venv/torchvision what the tests of lerobot's SmolVLA import
#
# PYTHON=/path/to/python3.11   use this interpreter (3.10 to 3.13)
# VENV=/path/to/folder         put the virtual environment there
# SKIP_SYSTEM_PACKAGES=1       do not look for, or install, system packages
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=${VENV:-.venv}
STAMP=$VENV/.setup_stamp
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "[setup] $*"; }
fail() { printf '%s\n' "[setup] error: $*" >&2; exit 1; }

has_nvidia_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }

# What the environment depends on: when none of it changed, nothing is to be done.
fingerprint() {
    {
        cat requirements/*.txt setup.py tools/setup_environment.sh
        pwd
        echo "ros=${ROS_DISTRO:-none} python=${PYTHON:-any}"
        if has_nvidia_gpu; then echo gpu; else echo cpu; fi
    } | sha256sum | cut -d' ' -f1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

supported() { case "$(version_of "$1")" in 3.10 | 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac; }

# Set `python` to the first supported interpreter, or leave it empty and say in `seen` what is there.
look_for_python() {
    local candidates=(python3 python3.12 python3.11 python3.13 python3.10) candidate
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    elif [ -n "${ROS_DISTRO:-}" ]; then
        candidates=(python3)  # the extension modules of a sourced ROS fit only this one
    fi
    python='' seen=''
    for candidate in "${candidates[@]}"; do
        if supported "$candidate"; then
            python=$(command -v "$candidate")
            return
        fi
        seen+=" $candidate ($(version_of "$candidate" || echo 'not found'))"
    done
}

find_python() {
    look_for_python
    if [ -z "$python" ] && [ -z "${PYTHON:-}${SKIP_SYSTEM_PACKAGES:-}" ] \
            && ! command -v python3 >/dev/null; then
        install_packages python3 python3-venv
        look_for_python
    fi
    [ -n "$python" ] || fail "Python 3.10 to 3.13 is needed; looked at:$seen." \
        'Install one (Debian 12, Ubuntu 22.04 and 24.04: sudo apt-get install python3' \
        'python3-venv) or name one that is there: make setup PYTHON=/path/to/python3.11'
}

# Print the Debian packages that this machine lacks for rendering and for a virtual environment.
missing_packages() {
    local libraries
    libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
    grep -q 'libEGL\.so\.1' <<<"$libraries" || echo libegl1
    grep -q 'libEGL_mesa\.so\.0' <<<"$libraries" || echo libegl-mesa0
    grep -q 'libOpenGL\.so\.0' <<<"$libraries" || echo libopengl0
    compgen -G '/usr/lib*/*/dri/*swrast*' >/dev/null \
        || compgen -G '/usr/lib*/dri/*swrast*' >/dev/null \
        || grep -q 'libgallium' <<<"$libraries" || echo libgl1-mesa-dri
    "$1" -c 'import ensurepip, venv' 2>/dev/null || echo "python$(version_of "$1")-venv"
}

install_packages() {
    [ $# -gt 0 ] || return 0
    local as_root=()
    local command="sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
    command -v apt-get >/dev/null || fail "this machine lacks what Debian calls $*" \
        '(Python, headless rendering). Install the same for this system, then run again with' \
        'SKIP_SYSTEM_PACKAGES=1'
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "system packages are missing. Run this, then try again:
    $command"
        as_root=(sudo)
    fi
    say "installing system packages: $*"
    "${as_root[@]}" apt-get -qq update || fail "apt-get update failed. Run by hand: $command"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends "$@" >/dev/null \
        || fail "apt-get could not install them. Run by hand: $command"
}

install_system_packages() {
    local packages
    mapfile -t packages < <(missing_packages "$1")
    install_packages "${packages[@]}"
}

# The tests of the web console drive a real browser; without one they say so and are skipped.
install_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do
        ! command -v "$name" >/dev/null || return 0
    done
    if ! command -v apt-get >/dev/null \
            || { [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; }; then
        say 'no Chromium: the browser tests of the web console will be skipped'
    elif ! (install_packages chromium); then
        say 'this system offers no package chromium: those tests will be skipped'
    fi
}

make_environment() {
    local options=()
    # A sourced ROS needs the modules that its own Debian packages brought along.
    [ -z "${ROS_DISTRO:-}" ] || options=(--system-site-packages)
    if [ -x "$VENV/bin/python" ] && [ "$(version_of "$VENV/bin/python")" = "$(version_of "$1")" ]; then
        return
    fi
    say "creating $VENV with $1 (Python $(version_of "$1"))"
    "$1" -m venv --clear "${options[@]}" "$VENV"
}

pip_install() {
    local verbosity=(--quiet)
    [ ! -t 1 ] || verbosity=()
    "$VENV/bin/python" -m pip install "${verbosity[@]}" "$@"
}

# True where pip, configured as it is here, would take a torch without CUDA libraries.
default_torch_is_small() {
    "$VENV/bin/python" -m pip install --quiet --dry-run --report - -r requirements/torch.txt \
        2>/dev/null | "$VENV/bin/python" -c '
import json, sys
names = [item["metadata"]["name"].lower() for item in json.load(sys.stdin)["install"]]
sys.exit(any(name.startswith(("nvidia-", "cuda-")) for name in names))' 2>/dev/null
}

install_torch() {
    local torch
    torch=$(grep -E '^torch==' requirements/torch.txt)
    if "$VENV/bin/python" -c "import importlib.metadata as m, sys
sys.exit(m.version('torch').split('+')[0] != '${torch#torch==}')" 2>/dev/null; then
        return
    fi
    if has_nvidia_gpu; then
        say "$torch for the NVIDIA GPU (some GB)"
        pip_install -r requirements/torch.txt
    elif default_torch_is_small; then
        say "$torch for the CPU (200 MB)"
        pip_install -r requirements/torch.txt
    else
        say "$torch for the CPU, from $TORCH_CPU_INDEX (200 MB)"
        pip_install --index-url "$TORCH_CPU_INDEX" -r requirements/torch.txt
    fi
}

main() {
    local key python='' seen='' ros=requirements/ros_wheels.txt
    key=$(fingerprint)
    if [ "$(cat "$STAMP" 2>/dev/null)" = "$key" ] && [ -x "$VENV/bin/vla_drop" ]; then
        return
    fi
    find_python
    rm -f "$STAMP"
    say 'first time here, or the requirements changed: some minutes'
    if [ -z "${SKIP_SYSTEM_PACKAGES:-}" ]; then
        install_system_packages "$python"
        install_browser
    fi
    make_environment "$python"
    say 'pip'
    pip_install --upgrade pip
    install_torch
    if [ -n "${ROS_DISTRO:-}" ]; then
        say "using the sourced ROS 2 $ROS_DISTRO"
        ros=requirements/ros_sourced.txt
    else
        say 'no ROS 2 is sourced: rclpy and the messages come as wheels'
    fi
    say 'MuJoCo, transformers, test tools (300 MB)'
    pip_install -r requirements/run.txt -r requirements/test.txt -r "$ros"
    say 'lerobot, for its SmolVLA (150 MB)'
    pip_install --no-deps -r requirements/lerobot.txt
    pip_install --no-deps --upgrade --target "$VENV/torchvision" -r requirements/torchvision.txt
    PYTHONWARNINGS=ignore pip_install --no-deps --no-build-isolation --editable .
    echo "$key" >"$STAMP"
    say "done: $VENV"
}

main
