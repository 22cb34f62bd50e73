"""graddb.h: compiles as C and as C++, a C program runs, and the library shows nothing else."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from graddb import _library

HERE = Path(__file__).resolve().parent
HEADER = HERE.parents[1] / "Sources" / "CGradDB"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{HEADER}"]
needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc")


@needs_gcc
@pytest.mark.parametrize("command", [["gcc", "-std=c99", "-x", "c"], ["g++", "-std=c++11", "-x", "c++"]])
def test_the_header_compiles(command, tmp_path):
    if not shutil.which(command[0]):
        pytest.skip(f"there is no {command[0]}")
    (tmp_path / "a").write_text("#include <graddb.h>\n#include <graddb.h>\nint x;\n")
    subprocess.run([*command, *WARNINGS, "-fsyntax-only", str(tmp_path / "a")], check=True)


@needs_gcc
def test_a_c_program(tmp_path):
    program = tmp_path / "ask"
    subprocess.run(["gcc", "-std=c11", "-g", *WARNINGS, str(HERE / "ask.c"), "-o", str(program),
                    _library.path(), "-Wl,--allow-shlib-undefined",
                    f"-Wl,-rpath,{Path(_library.path()).parent}"], check=True)
    done = subprocess.run([str(program), str(tmp_path / "db")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def declared():
    text = re.sub(r"/\*.*?\*/", "", (HEADER / "graddb.h").read_text(), flags=re.DOTALL)
    return set(re.findall(r"\b(graddb_\w+)\(", text))


@pytest.mark.skipif(not shutil.which("nm"), reason="there is no nm")
def test_the_library_shows_the_functions_of_the_header_only():
    table = subprocess.run(["nm", "-D", "--defined-only", "--extern-only", _library.path()],
                           capture_output=True, text=True, check=True).stdout
    assert {line.split()[-1] for line in table.splitlines()} == declared()


def test_python_knows_every_function():
    assert set(_library.FUNCTIONS) | set(_library.INFALLIBLE) | {"graddb_error_kind"} == declared()
