"""Small and read-only file systems for tests, where the user may mount; else the test skips."""

import subprocess
from contextlib import contextmanager

import pytest


def _mount(*arguments):
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        reason = done.stderr.decode().strip().split("\n")[0]
        pytest.skip(f"may not mount here: {reason}")


def _unmount(path):
    done = subprocess.run(["umount", str(path)], capture_output=True, timeout=30)
    if done.returncode:
        # Something still has a file open; the mount goes when it closes it.
        subprocess.run(["umount", "-l", str(path)], check=True, timeout=30)


@contextmanager
def small_file_system(path, mebibytes):
    """An empty tmpfs of a few MiB at `path`."""
    path.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", path)
    try:
        yield path
    finally:
        _unmount(path)


@contextmanager
def read_only_view(source, path):
    """`source` bound read-only at `path`."""
    path.mkdir(parents=True, exist_ok=True)
    _mount("--bind", source, path)
    try:
        _mount("-o", "remount,ro,bind", path)
        yield path
    finally:
        _unmount(path)
