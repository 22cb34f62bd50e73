#!/usr/bin/env bash
# Installs the system packages that GradDB builds with, where they are missing (Debian and
# relatives). Arguments: further packages to have. Sourced or run; says nothing when all is there.
set -euo pipefail

command -v swift >/dev/null || {
    echo "setup: there is no swift on PATH; install Swift 6.3 or later first (https://swift.org)" >&2
    exit 1
}

packages=(librocksdb-dev libopenblas-dev libzstd-dev libxxhash-dev pkg-config "$@")
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" ||
        missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup: installing ${missing[*]}" >&2
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq \
        --no-install-recommends "${missing[@]}" >/dev/null
fi
