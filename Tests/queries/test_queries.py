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
    if block.file.format == "jsonl" and not block.answer.startswith(("error ", "plan")):
        rows = together(stored, block.file).get(block.line)
        rows = ask(stored, block).expect(graddb.OK).lines if rows is None else rows
        found = query_files.differences(block.answer, query_files.rows_text(rows), block.file.tolerance)
        assert not found, "\n".join([*found, query_files.rows_text(rows)])
        return
    said = ask(stored, block)
    if block.answer.startswith("error "):
        compare_error(block, said)
    elif block.answer.startswith("plan"):
        compare_plan(block, said.expect(graddb.OK))
    elif block.file.format == "matrix":
        answer = said.expect(graddb.OK).line
        assert query_files.same(json.loads(block.answer), answer, block.file.tolerance), said.text
    else:
        assert csv_cells(said.expect(graddb.OK).text) == csv_cells(block.answer + "\n")


def ask(stored, block):
    """One statement, as somebody would ask it."""
    need_tables(stored, [block])
    return stored.database.run("query", block.statement, *parameters(block.file), "--quiet", "--format",
                               block.file.format, cwd=stored.files.directory)


def together(stored, file):
    """Line: rows, of all statements of a file that have some, in one run; nothing if it fails, so that
    each is asked alone and says for itself what is wrong."""
    if file.path not in stored.answers:
        blocks = [b for b in file.blocks if not b.answer.startswith(("error ", "plan"))]
        need_tables(stored, blocks)
        script = stored.files.write("script.gql", "".join(b.statement.rstrip(";") + ";\n" for b in blocks))
        said = stored.database.run("query", "-f", script, *parameters(file), "--quiet", "--format", "json",
                                   cwd=stored.files.directory)
        rows = query_files.documents(said.text) if said.status == graddb.OK else []
        stored.answers[file.path] = dict(zip((b.line for b in blocks), rows))
    return stored.answers[file.path]


def need_tables(stored, blocks):
    for name in stored.tables:
        if name == "small" or any(name in block.statement for block in blocks):
            stored.need(name)


def parameters(file):
    return [word for name, value in file.parameters.items() for word in ("--param", f"{name}={value}")]


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
    assert said.line["chosen"] and said.line["statement"]
    for other in said.line["rejected"]:
        assert {"plan", "seconds", "bytes", "reason"} <= set(other), other
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
