#!/usr/bin/env bash
# Installs the system packages that GradDB builds with, where they are missing (Debian and
# relatives). Arguments: further packages to have; those behind --if-possible are left out where
# they cannot be installed. Sourced or run; says nothing when all is there.
set -euo pipefail

command -v swift >/dev/null || {
    echo "setup: there is no swift on PATH; install Swift 6.3 or later first (https://swift.org)" >&2
    exit 1
}

# Of g++ the C++ library is needed, which RocksDB's headers include.
packages=(librocksdb-dev libopenblas-dev libzstd-dev libxxhash-dev pkg-config g++)
optional=()
is_optional=
for argument in "$@"; do
    if [ "$argument" = --if-possible ]; then is_optional=1
    elif [ "$is_optional" ]; then optional+=("$argument")
    else packages+=("$argument"); fi
done

# Sets `missing` to those of its arguments that are not installed.
find_missing() {
    missing=()
    local package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" ||
            missing+=("$package")
    done
}

# Installs what is `missing`.
install_missing() {
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    echo "setup: installing ${missing[*]}" >&2
    "${as_root[@]}" apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq \
            --no-install-recommends "${missing[@]}" >/dev/null
}

find_missing "${packages[@]}"
if [ "${#missing[@]}" -gt 0 ]; then install_missing; fi
find_missing "${optional[@]}"
if [ "${#missing[@]}" -gt 0 ]; then
    install_missing || echo "setup: going on without ${missing[*]}" >&2
fi
