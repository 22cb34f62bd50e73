"""Everything bad that a user can hand over: one clear message, the right status, no trace.

The cases are in bad_vectors, bad_metadata and bad_requests. Each runs in a copy of one small
database, with and without --json; after it the database must look exactly as before, and be sound.
"""

import re
import shutil

import pytest

import bad_metadata
import bad_requests
import bad_vectors
from bad_case import Workspace
from graddb import KINDS, run

CASES = bad_vectors.CASES + bad_metadata.CASES + bad_requests.CASES

# Marks of a message that was not written for a person.
RAW = re.compile(rb"Fatal error|Stack dump|GradDBError|Error Domain=|DecodingError|Optional\(")


@pytest.fixture(scope="module")
def template(gradctl, tmp_path_factory):
    return Workspace.template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module")
def state(template):
    return template.state()


@pytest.fixture
def space(template, tmp_path):
    yield template.copy(tmp_path)
    shutil.rmtree(tmp_path / "db", ignore_errors=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_refused_and_leaves_no_trace(case, space, state):
    arguments = case.arguments(space)
    untouched = space.contents()
    in_words = run(*arguments, *case.flags, stdin=case.stdin, cwd=space.directory)
    in_json = run(*arguments, *case.flags, "--json", stdin=case.stdin, cwd=space.directory)

    for result in (in_words, in_json):
        result.expect(case.status)
        assert result.stdout == b"", str(result)
        assert not RAW.search(result.stderr), str(result)
    error = in_json.error
    assert (error["kind"], error["exit"]) == (KINDS[case.status], case.status)
    for word in case.words:
        assert re.search(word, error["error"]), f"{word} is missing from: {error['error']}"

    lines = in_words.stderr.decode("utf-8").splitlines()
    assert [line for line in lines if line.startswith("gradctl: ")] == lines[:1], str(in_words)

    if space.contents() != untouched:
        assert space.state() == state
        space.check()
