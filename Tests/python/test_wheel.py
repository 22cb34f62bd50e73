"""The wheel: it brings along what the library needs, and runs where that is not installed. Skipped
where the package is not installed from one."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import graddb
from graddb import _library

LIBRARIES = Path(graddb.__file__).parents[1] / "graddb.libs"
WHEELS = Path(__file__).resolve().parents[2] / ".build" / "wheels"
pytestmark = pytest.mark.skipif(not LIBRARIES.is_dir(), reason="no wheel is installed here")

# What every Linux with this glibc has (the manylinux policy).
SYSTEM = {"libc", "libm", "libpthread", "libdl", "librt", "libgcc_s", "libstdc++", "libz",
          "ld-linux-x86-64", "ld-linux-aarch64", "linux-vdso"}

ASK = """
import numpy, sys, graddb
t = graddb.create(sys.argv[1]).create_table("t", layers={"g": (64, "int8+bit")}, fields={"s": str})
v = numpy.random.default_rng(0).standard_normal((500, 64))
t.append(v, ids=range(500), fields={"s": ["x"] * 500}, checkpoint="a")
assert t.query("SELECT s SCORE cosine TO $q TOP 3", q=v[5:300]).ids[0] == 5
t.database.close()
print("".join(line for line in open("/proc/self/maps") if ".so" in line))
"""

# Hides everything that is not the system's own: Swift, and the libraries it is built with.
HIDE = """
set -e
for file in /usr/lib/*/librocksdb* /usr/lib/*/libsnappy* /usr/lib/*/libgflags* /usr/lib/*/liblz4* \\
    /usr/lib/*/libzstd*; do
    [ ! -f "$file" ] || mount --bind /dev/null "$file"
done
swift=$(command -v swift) && runtime=$(dirname "$(dirname "$(readlink -f "$swift")")")/lib/swift
[ ! -d "$runtime" ] || mount -t tmpfs tmpfs "$runtime"
exec env -i PATH=/usr/bin:/bin "$@"
"""


def loaded(text):
    return {Path(path).resolve() for path in re.findall(r"(/\S+\.so[.\d]*)\s*$", text, re.MULTILINE)}


def check(text):
    """All libraries beside Python's and the system's come from the wheel."""
    for path in loaded(text):
        stem = re.sub(r"(-[0-9a-f]{8})?\.so.*", "", path.name)
        assert (stem in SYSTEM or "site-packages" in path.parts or "python" in str(path)
                or "lib-dynload" in path.parts or stem.startswith(("libpython", "libffi", "libssl",
                "libcrypto", "libuuid", "liblzma", "libbz2", "libexpat"))), path


def test_nothing_but_the_system_is_needed(tmp_path):
    done = subprocess.run([sys.executable, "-c", ASK, str(tmp_path / "db")], capture_output=True,
                          text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    check(done.stdout)
    names = {path.name.split("-")[0] for path in loaded(done.stdout) if LIBRARIES in path.parents}
    assert {"librocksdb", "libswiftCore", "libzstd", "libsnappy"} <= names


def test_the_wheel_in_an_empty_environment_without_swift_and_rocksdb(tmp_path):
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    (wheel,) = WHEELS.glob("graddb-*.whl")
    assert "-py3-none-manylinux_2_" in wheel.name
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel)],
                   check=True)
    command = ["unshare", "--mount", "bash", "-c", HIDE, "hide", python, "-c",
               ASK, str(tmp_path / "db")]
    done = subprocess.run(command, capture_output=True, text=True)
    if "Operation not permitted" in done.stderr and "Traceback" not in done.stderr:
        pytest.skip("may not unshare here")
    assert done.returncode == 0, done.stderr
    check(done.stdout)


def test_the_size_of_what_is_brought_along():
    total = sum(file.stat().st_size for file in LIBRARIES.iterdir())
    total += os.path.getsize(_library.path())
    assert total < 80 << 20
