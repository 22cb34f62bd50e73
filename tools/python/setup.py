"""Builds libgraddb.so with Swift, and puts it into the package. The rest is in pyproject.toml."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

HERE = Path(__file__).resolve().parent
LIBRARY = "libgraddb.so"


def checkout():
    """The GradDB repository that the library is built from, or None."""
    root = Path(os.environ.get("GRADDB_SOURCE") or HERE.parent.parent)
    return root if (root / "Sources/GradDB/Support/GradDBVersion.swift").exists() else None


def version():
    """The engine's, as Python writes versions; of an sdist, what it was packed with."""
    root = checkout()
    if root is None:
        lines = (HERE / "PKG-INFO").read_text().splitlines() if (HERE / "PKG-INFO").exists() else []
        return next((line.split()[1] for line in lines if line.startswith("Version:")), "0")
    text = (root / "Sources/GradDB/Support/GradDBVersion.swift").read_text()
    return re.search(r'current = "([^"]+)"', text).group(1).replace("-dev", ".dev0")


def build_library():
    """Runs Swift; returns the library's path. Ends with one clear message where it cannot.

    GRADDB_LIBRARY names one that is built already.
    """
    if os.environ.get("GRADDB_LIBRARY"):
        return Path(os.environ["GRADDB_LIBRARY"])
    root = checkout()
    if root is None:
        sys.exit("graddb: the library is built from GradDB's repository, which is not here. Install "
                 "from a checkout (pip install ./tools/python), or set GRADDB_SOURCE to one")
    if shutil.which("swift") is None:
        sys.exit("graddb: there is no swift on PATH, which builds the library. Install Swift 6.3 or "
                 "later (https://swift.org), or install a wheel that was built elsewhere")
    command = ["swift", "build", "-c", "release", "--product", "graddb", "--package-path", str(root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout)
        sys.exit("graddb: building the library failed, as above. It needs librocksdb-dev, "
                 "libopenblas-dev, libzstd-dev, libxxhash-dev, pkg-config and g++: tools/setup.sh "
                 "installs them on Debian and its relatives")
    shown = subprocess.run([*command, "--show-bin-path"], stdout=subprocess.PIPE, text=True,
                           check=True)
    return Path(shown.stdout.strip()) / LIBRARY


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # the package then finds the library where Swift leaves it
            build_library()
            return
        target = Path(self.build_lib) / "graddb" / "lib"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(build_library(), target / LIBRARY)


class WheelForAnyPython(bdist_wheel):
    """The library is the machine's, but no Python's: it is called by ctypes."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return True


setup(version=version(), distclass=PlatformDistribution,
      cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": WheelForAnyPython})
