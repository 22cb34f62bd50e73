"""Every statement of the *.test files: the files say what the oracle says, and so does gradctl."""

import csv
import io
import json

import pytest

import answers
import clauses
import query_files
import query_tables
import spec_examples
from query_tables import graddb

FILES = query_files.all_files()
BLOCKS = [pytest.param(block, id=f"{file.path.stem}:{block.line}") for file in FILES for block in file.blocks]


def test_every_pair_of_clauses_stands_in_some_statement():
    assert not clauses.missing_pairs(FILES)


def test_every_example_of_the_specification_has_its_answer():
    answered = query_files.load(spec_examples.PATH)
    assert [block.statement for block in answered.blocks] == spec_examples.statements()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_file_says_what_the_oracle_says(block):
    assert answers.expected(block) == block.answer, "write the files anew: Tests/queries/answers.py"


@pytest.mark.parametrize("block", BLOCKS)
def test_gradctl_says_what_the_file_says(stored, block):
    for name in stored.tables:
        if name in block.statement or name == "small":
            stored.need(name)
    parameters = block.file.parameters.items()
    arguments = [word for name, value in parameters for word in ("--param", f"{name}={value}")]
    said = stored.database.run("query", block.statement, *arguments, "--quiet", "--format", block.file.format,
                               cwd=stored.files.directory)
    if block.answer.startswith("error "):
        compare_error(block, said)
        return
    said.expect(graddb.OK)
    if block.answer.startswith("plan"):
        compare_plan(block, said)
    elif block.file.format == "jsonl":
        found = query_files.differences(
            block.answer, query_files.rows_text(said.lines), block.file.tolerance)
        assert not found, "\n".join([*found, query_files.rows_text(said.lines)])
    elif block.file.format == "matrix":
        assert query_files.same(json.loads(block.answer), said.line, block.file.tolerance), said.text
    else:
        assert csv_cells(said.text) == csv_cells(block.answer + "\n")


def compare_error(block, said):
    """The message and its caret lines, as the file has them; … there stands for anything."""
    status, _, message = block.answer.partition("\n")
    assert said.stdout == b"", str(said)
    told = said.stderr.decode("utf-8").removeprefix("gradctl: ").rstrip("\n")
    told = "\n".join(line.rstrip() for line in told.split("\n"))
    assert f"error {said.status}" == status and query_files.matches(message, told), str(said)


def compare_plan(block, said):
    """The tree of cli-json.md; under ANALYZE it says how many rows there were."""
    plan = said.line["plan"]
    for node in walk(plan):
        assert {"operator", "detail", "estimate", "inputs"} <= set(node), node
        assert ("actual" in node) == (block.answer != "plan"), node
    assert said.line["chosen"] and {"plan", "seconds", "bytes", "reason"} <= set(*said.line["rejected"][:1])
    if block.answer != "plan":
        assert block.answer == f"plan\t{plan['actual']['rows']} rows"


def walk(node):
    yield node
    for child in node["inputs"]:
        yield from walk(child)


def csv_cells(text):
    """Cells by record; numbers with a point to nine digits."""
    def plain(cell):
        return f"{float(cell):.9g}" if query_files.FLOAT.fullmatch(cell) else cell

    return [[plain(c) for c in record] for record in csv.reader(io.StringIO(text, newline=""))]
