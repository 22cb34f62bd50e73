"""Wrong statements: exit 64, a caret below the place, nothing on standard output."""

import os
import re
import subprocess

import numpy as np
import pytest

from gradient_files import Files
from graddb import BAD_INPUT, GRADCTL, NOT_FOUND, OK, USAGE, Database, environment

# A statement, and the word at which the caret must point (None: where the text ends too early).
WRONG = [
    ("FROM t SCORE dot TO ROWS WHERE flag", "ROWS WHERE flag"),
    ("FROM t SCORE dot TO ROWS WHERE nope = 1", "nope"),
    ("FROM t SCORE dot TO ROW 'r0' GROUP BY nope WITH sum", "nope"),
    ("FROM t SCORE dot TO ROW 'r0' GROUP BY id WITH sum", "id"),
    ("SELECT i FROM t SCORE dot TO ROW 'r0' GROUP BY s WITH sum", "i FROM"),
    ("SELECT row FROM t SCORE dot TO ROW 'r0' GROUP BY s WITH sum", "row FROM"),
    ("SELECT rows FROM t SCORE dot TO ROW 'r0'", "rows"),
    ("SELECT layer FROM t SCORE dot TO ROW 'r0'", "layer"),
    ("SELEKT id FROM t SCORE dot TO ROW 'r0' TOP 3", "SELEKT"),
    ("SELECT FROM t SCORE dot TO ROW 'r0' TOP 3", "FROM"),
    ("SELECT id, FROM t SCORE dot TO ROW 'r0' TOP 3", "FROM"),
    ("SELECT id FRM t SCORE dot TO ROW 'r0' TOP 3", "FRM"),
    ("SELECT id FROM 7 SCORE dot TO ROW 'r0' TOP 3", "7"),
    ("SELECT id FROM t SCORE euclid TO ROW 'r0' TOP 3", "euclid"),
    ("SELECT id FROM t SCORE dot TOO ROW 'r0' TOP 3", "TOO"),
    ("SELECT id FROM t SCORE dot TO ROW TOP 3", "TOP"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP -3", "-3"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP 2.5", "2.5"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP three", "three"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP 3 TOP 4", "TOP 4"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE TOP 3", "TOP"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i = TOP 3", "TOP"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE (i = 3 TOP 3", "TOP"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i = 3) TOP 3", ")"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i BETWEEN 3 TOP 3", "TOP"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i IN () TOP 3", ")"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i IN (1, TOP 3", "TOP"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i IS 3 TOP 3", "3 TOP"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE nope = 3 TOP 3", "nope"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i = 'text' TOP 3", "'text'"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s = 3 TOP 3", "3 TOP"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i LIKE 'a%' TOP 3", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s TOP 3", None),
    ("SELECT nope FROM t SCORE dot TO ROW 'r0' TOP 3", "nope"),
    ("SELECT id FROM t AT 'nope' SCORE dot TO ROW 'r0' TOP 3", "'nope'"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' ACROSS 'nope' TOP 3", "'nope'"),
    ("SELECT id FROM t SCORE dot TO ROW 'nope' TOP 3", None),
    ("SELECT id FROM t SCORE dot TO 'never closed TOP 3", "'never"),
    ("SELECT id FROM t SCORE dot TO $ TOP 3", "$"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP 3 garbage", "garbage"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP 3 # comment", "#"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP 0", "0"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP 3 /* never closed", "/*"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE 1 < i < 5", "< 5"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i < 1e999", "1e999"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i < 9223372036854775808", "9223372036854775808"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE i < 5x", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s LIKE 'a!b' ESCAPE '!'", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s LIKE 'a!' ESCAPE '!'", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s LIKE 'a%' ESCAPE '%'", "'%'"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s = i", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE flag < TRUE", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE flag = (i = 3)", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s", None),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE I = 3", "I ="),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE rank = 3", "rank"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' LAYERS 'nope*'", "'nope*'"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' ACROSS 'c', 'c'", "'c'"),
    ("SELECT id FROM where SCORE dot TO ROW 'r0'", "where"),
    ("SELECT id FROM t SCORE dot TO ROW 'r0' TOP 99999999999999999999", "99999999999999999999"),
    ("FROM t SCORE dot TO ROW 'r0' CONFIDENCE 1", "1"),
    ("FROM t SCORE dot TO ROW 'r0' CONFIDENCE 0", "0"),
    ("FROM t SCORE dot TO ROW 'r0' CONFIDENCE 1.5", "1.5"),
    ("FROM t SCORE dot TO ROW 'r0' CONFIDENCE -0.5", "-0.5"),
    ("FROM t SCORE dot TO ROW 'r0' CONFIDENCE", None),
    ("FROM t SCORE dot TO ROW 'r0' CONFIDENCE high", "high"),
    ("FROM t SCORE dot TO ROW 'r0' BUDGET 200", "200"),
    ("FROM t SCORE dot TO ROW 'r0' BUDGET 0ms", "0ms"),
    ("FROM t SCORE dot TO ROW 'r0' EXACT CONFIDENCE 0.9", "CONFIDENCE"),
    ("FROM t SCORE dot TO ROW 'r0' BUDGET 1s EXACT", "EXACT"),
    ("DROP TABLE t", "DROP"),
    ("FROM t SCORE dot TO ROW 'r0' WHERE lenght(s) > 5", "lenght"),
    ("FROM t SCORE dot TO ROW 'r0' WHERE length(s, 5) > 5", "length"),
    ("FROM t SCORE dot TO ROW 'r0' WHERE length(i) > 5", "i) > 5"),
    ("FROM t SCORE dot TO ROW 'r0' WHERE i + s > 5", "s > 5"),
    ("FROM t SCORE dot TO ROW 'r0' WHERE i +", None),
    ("FROM t SCORE dot TO ROW 'r0' WHERE s = i / 2", "i / 2"),
    ("FROM t SCORE dot TO ROW 'r0' WHERE i = $nothing", "$nothing"),
    ("FROM t SCORE dot TO ROW 'r0' WHERE coalesce(s, i) = 'a'", "i) = 'a'"),
    ("SELECT lower(s) FROM t SCORE dot TO ROW 'r0'", "lower"),
    ("FROM t SCORE dot TO ROW 'r0' PRECONDITION fisher", "fisher"),
]
PLACE = re.compile(r"gradctl: line (\d+), column (\d+): \S")


@pytest.fixture(scope="module")
def table(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("wrong")
    files = Files(directory)
    database = Database(directory / "db").init()
    database.create("t", ["grad:8:f32"], ["s:string", "i:int", "flag:bool"])
    vectors = np.ones((3, 8), np.float32)
    metadata = files.metadata("m.jsonl", [{"id": f"r{i}", "s": "a", "i": i} for i in range(3)])
    source = files.grad("v.safetensors", vectors)
    database.ingest("t", source, checkpoint="c", metadata=metadata)
    return database


def place_told(result, statement):
    """The line and column (both from 1) of a refusal, checked against its excerpt and caret."""
    lines = result.stderr.decode().splitlines()
    found = PLACE.match(lines[0])
    assert found, str(result)
    line, column = map(int, found.groups())
    carets = [n for n, text in enumerate(lines) if re.fullmatch(r"\s*\^+\s*", text)]
    assert len(carets) == 1, f"no caret below the statement\n{result}"
    excerpt, caret = lines[carets[0] - 1], lines[carets[0]].index("^")
    assert len(excerpt.strip()) <= 82  # Room for marks where the line was cut.
    width = lines[carets[0]].count("^")
    told = statement.split("\n")[line - 1][column - 1 : column - 1 + width]
    # The caret may stand behind the last character, where something is missing, and the excerpt
    # may end before the marked text does.
    marked = excerpt[caret : caret + width]
    assert told.startswith(marked) or marked.startswith(told), str(result)
    return line, column


@pytest.mark.parametrize("statement,place", WRONG, ids=lambda value: str(value)[-40:])
def test_a_wrong_statement_is_pointed_at(table, statement, place):
    plain = table.run("query", statement).expect(USAGE)
    assert plain.stdout == b""
    line, column = place_told(plain, statement)
    assert line == 1 and 1 <= column <= len(statement) + 1
    assert place is None or column - 1 == statement.rindex(place), str(plain)
    told = table.run("query", statement, "--json").expect(USAGE)
    assert told.stdout == b""
    assert (told.error["kind"], told.error["exit"]) == ("usage", USAGE)


def test_the_caret_finds_its_line_in_a_statement_of_several(table):
    statement = "SELECT id\nFROM t\nSCORE dot TOO ROW 'r0'\nTOP 3"
    assert place_told(table.run("query", statement).expect(USAGE), statement) == (3, 11)


def test_columns_are_counted_in_characters_not_bytes(table):
    statement = "SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s = 'größe' AND nope = 1 TOP 3"
    refused = table.run("query", statement).expect(USAGE)
    assert place_told(refused, statement) == (1, statement.index("nope") + 1)


def test_long_lines_are_cut_around_the_place(table):
    chain = " OR ".join(f"i = {n}" for n in range(200))
    statement = f"SELECT id FROM t SCORE dot TO ROW 'r0' WHERE {chain} OR nope = 1 OR {chain} TOP 3"
    refused = table.run("query", statement).expect(USAGE)
    assert place_told(refused, statement) == (1, statement.index("nope") + 1)


def test_the_nearest_name_is_suggested(table):
    refused = table.run("query", "SELECT flog FROM t SCORE dot TO ROW 'r0'").expect(USAGE)
    assert b"flag" in refused.stderr


@pytest.mark.parametrize(
    "wrong,column",
    [
        ("SELECT id FROM t SCORE dot TOO ROW 'r0'", 28),
        ("SELECT id FROM t SCORE dot TO ROW 'r0' WHERE nope = 1", 46),
    ],
    ids=["syntax", "unknown name"],
)
def test_nothing_is_printed_when_a_later_statement_is_wrong(table, wrong, column):
    text = f"SELECT id FROM t SCORE dot TO ROW 'r0';\n\n{wrong};\n"
    for source in (["-f", write(table, text)], ["-"]):
        refused = table.run("query", *source, "--format", "jsonl", stdin=text.encode())
        refused.expect(USAGE)
        assert refused.stdout == b""
        assert place_told(refused, text) == (3, column)


def write(table, text):
    path = table.path.parent / "statements.gql"
    path.write_text(text)
    return path


def test_conditions_nested_without_end_are_refused(table):
    for nested in ("(" * 300 + "i = 0" + ")" * 300, "(" * 100_000, "NOT " * 100_000 + "flag"):
        text = f"SELECT id FROM t SCORE dot TO ROW 'r0' WHERE {nested} TOP 3"
        refused = table.run("query", "-", stdin=text.encode()).expect(USAGE)
        place_told(refused, text)


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"\x00", "\u2028 \u0007".encode()])
def test_bytes_that_are_no_statement_are_refused(table, junk):
    text = b"SELECT id FROM t SCORE dot TO " + junk + b" ROW 'r0'"
    refused = table.run("query", "-", stdin=text).expect(USAGE, BAD_INPUT)
    assert refused.stdout == b"" and refused.stderr.startswith(b"gradctl: ")


def test_a_statement_above_the_limit_is_refused(table):
    long = "SELECT id FROM t SCORE dot TO ROW 'r0' WHERE s = '" + "x" * (1 << 20) + "'"
    table.run("query", "-", stdin=long.encode()).expect(USAGE)


def test_a_table_that_is_not_there_is_pointed_at(table):
    for statement, column in (("FROM tt SCORE self", 6), ('SELECT id FROM "T" SCORE self', 16)):
        refused = table.run("query", statement).expect(NOT_FOUND)
        assert place_told(refused, statement) == (1, column)
        assert b"did you mean t?" in refused.stderr


HEAD = "SELECT id FROM t SCORE dot TO ROW 'r0' WHERE "
SIZE = (1 << 20) - 200  # just under the limit, with what stands around


@pytest.mark.parametrize(
    "condition,status",
    [
        ("(" * SIZE, USAGE),
        ("NOT " * (SIZE // 4) + "flag", USAGE),
        ("- " * (SIZE // 2) + "i = 1", USAGE),
        ("abs(" * (SIZE // 4) + "i", USAGE),
        ("i = 1 AND " * (SIZE // 10) + "i = 1", OK),
        ("flag OR " * (SIZE // 8) + "i = 1", OK),
        ("i + " * (SIZE // 4) + "1 > 0", OK),
        ("1 * " * (SIZE // 4) + "i = 1", OK),
        ("i IN (1" + ",22" * (SIZE // 3) + ")", OK),
        ("i IN (i" + ",i" * (SIZE // 2) + ")", OK),
        ("s IN (s" + ",s" * (SIZE // 2) + ")", OK),
        ("coalesce(i" + ",i" * (SIZE // 2) + ") = 1", OK),
        ("s = '" + "x" * SIZE + "'", OK),
        ("s = '" + "''" * (SIZE // 2) + "'", OK),
        ("s = '" + "x" * SIZE, USAGE),
        ("/*" + "x" * SIZE + "*/ i = 1", OK),
        ("".join("()'\"+-*/%=<>,.;$ab19 \n"[n * n % 23] for n in range(SIZE)), USAGE),
    ],
    ids=range(17),
)
def test_a_statement_just_under_the_limit_is_read_in_bounded_memory(table, tmp_path, condition, status):
    text = (HEAD + condition).encode()
    assert len(text) <= 1 << 20
    script, errors = tmp_path / "statement.sql", tmp_path / "errors"
    script.write_bytes(text)
    arguments = [str(GRADCTL), "query", "-f", str(script), "--db", str(table.path)]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=stderr, env=environment())
        _, ended, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(ended)
    assert process.returncode == status and errors.stat().st_size < 4096
    # In KiB: half a KiB for each byte of the statement.
    assert usage.ru_maxrss < 1 << 19
