"""The statement language: what WHERE keeps, what SELECT returns, and how answers are printed."""

import csv
import io
import json
import random

import numpy as np
import pytest

from gradient_files import Files
from graddb import OK, USAGE, Database
from predicates import (
    all_of,
    any_of,
    column,
    complement,
    compared,
    comparison,
    parameter,
    random_condition,
    random_row,
)

ROWS = 200
DIMS = 8
SEED = 60  # Fixed: the predicates are the same in every run.


@pytest.fixture(scope="module")
def rows():
    chance = random.Random(SEED)
    return [{"id": f"r{n}", **random_row(chance), "row": n} for n in range(ROWS)]


@pytest.fixture(scope="module")
def table(gradctl, tmp_path_factory, rows):
    directory = tmp_path_factory.mktemp("language")
    files = Files(directory)
    database = Database(directory / "db").init()
    database.create("t", [f"grad:{DIMS}:f32"], ["s:string", "i:int", "f:float", "b:bool"], 64)
    vectors = np.random.default_rng(SEED).standard_normal((ROWS, DIMS)).astype(np.float32)
    metadata = [{k: v for k, v in row.items() if v is not None and k != "row"} for row in rows]
    database.ingest(
        "t",
        files.grad("v.safetensors", vectors),
        checkpoint="c1",
        metadata=files.metadata("m.jsonl", metadata),
        tag="here",
    )
    database.files = files
    return database


def kept_by(table, conditions):
    """For each condition the row numbers that it keeps, all from one run of gradctl."""
    ask = "SELECT row FROM t SCORE dot TO ROW 'r0' WHERE {} TOP 1000"
    text = ";\n".join(ask.format(condition) for condition in conditions) + ";\n"
    path = table.files.write("statements.gql", text)
    printed = table.run("query", "-f", path, "--format", "json").expect(OK).text
    return [sorted(line["row"] for line in answer) for answer in documents(printed)]


def documents(text):
    """JSON documents that stand one after the other."""
    decoder, position, found = json.JSONDecoder(), 0, []
    while text[position:].strip():
        position += len(text[position:]) - len(text[position:].lstrip())
        document, position = decoder.raw_decode(text, position)
        found.append(document)
    return found


def expect_kept(table, rows, conditions):
    """`conditions` are pairs of a text and its meaning."""
    answers = kept_by(table, [text for text, _ in conditions])
    assert len(answers) == len(conditions)
    for (text, meaning), answer in zip(conditions, answers):
        assert answer == [number for number, row in enumerate(rows) if meaning(row) is True], text


# WHERE


@pytest.mark.parametrize("batch", range(4))
def test_random_conditions_keep_what_sql_says(table, rows, batch):
    chance = random.Random(f"{SEED} {batch}")
    conditions = [random_condition(chance) for _ in range(100)]
    expect_kept(table, rows, [(c.text, c.of) for c in conditions])


def test_and_binds_tighter_than_or_and_not_tighter_than_and(table, rows):
    def zero(row):
        return compared("=", row["i"], 0)

    def a(row):
        return compared("=", row["s"], "a")

    def b(row):
        return row["b"]

    expect_kept(
        table,
        rows,
        [
            ("i = 0 OR s = 'a' AND b", lambda r: any_of([zero(r), all_of([a(r), b(r)])])),
            ("b AND s = 'a' OR i = 0", lambda r: any_of([all_of([b(r), a(r)]), zero(r)])),
            ("NOT i = 0 AND b", lambda r: all_of([complement(zero(r)), b(r)])),
            ("NOT b OR i = 0", lambda r: any_of([complement(b(r)), zero(r)])),
            ("NOT NOT b", b),
            ("(i = 0 OR s = 'a') AND b", lambda r: all_of([any_of([zero(r), a(r)]), b(r)])),
            ("i BETWEEN 0 AND 7 AND b", lambda r: all_of([within(r["i"], 0, 7), b(r)])),
        ],
    )


def within(value, low, high):
    return None if value is None else low <= value <= high


def test_nothing_equals_null(table, rows):
    expect_kept(
        table,
        rows,
        [
            ("s = 'a' OR s != 'a'", lambda row: row["s"] is not None),
            ("NOT (s = 'a' AND s != 'a')", lambda row: row["s"] is not None),
            ("s IS NULL OR s IS NOT NULL", lambda row: True),
            ("i IS NULL AND b IS NULL", lambda row: row["i"] is None and row["b"] is None),
            ("i = NULL OR i != NULL OR NOT (i = NULL)", lambda row: False),
            ("i NOT IN (1, NULL)", lambda row: False),
            ("i IN (1, NULL)", lambda row: row["i"] == 1),
        ],
    )


def test_integers_and_floats_compare_by_their_exact_values(table, rows):
    expect_kept(
        table,
        rows,
        [
            ("i = 9007199254740992.0", lambda row: row["i"] == 2**53),
            ("i > 9007199254740992.0 AND i < 1e16", lambda row: row["i"] == 2**53 + 1),
            ("i < 9223372036854775808.0", lambda row: row["i"] is not None),
            ("f = 9007199254740993", lambda row: False),
            ("f = 0", lambda row: row["f"] == 0),
            ("f >= i", lambda row: compared(">=", row["f"], row["i"])),
            ("f > 1e-999", lambda row: compared(">", row["f"], 0)),
        ],
    )


def test_long_chains_do_not_nest(table, rows):
    chain = " OR ".join(f"i = {n}" for n in range(3000))
    both = " AND ".join(f"i != {n}" for n in range(3000))
    expect_kept(
        table,
        rows,
        [
            (chain, lambda row: row["i"] in range(3000)),
            (both, lambda row: row["i"] is not None and row["i"] not in range(3000)),
            ("(" * 150 + "i = 0" + ")" * 150, lambda row: row["i"] == 0),
        ],
    )


def test_long_arithmetic_does_not_nest(table, rows):
    def after(row, change):
        return None if row["i"] is None or abs(row["i"]) > 2**62 else change(row["i"])

    expect_kept(
        table,
        rows,
        [
            ("i" + " + 1" * 3000 + " > 3000", lambda row: after(row, lambda i: i > 0)),
            ("i" + " * 1 - 2 + 2" * 999 + " = 7", lambda row: after(row, lambda i: i == 7)),
            ("- " * 150 + "i = 7", lambda row: after(row, lambda i: i == 7)),
            ("abs(" * 150 + "i" + ")" * 150 + " = 7", lambda row: after(row, lambda i: abs(i) == 7)),
        ],
    )


def test_parameters_are_read_as_what_stands_beside_them(table, rows):
    values = {"n": "7", "x": "0.5", "s": "alpaca", "b": "true", "t": "7"}
    for left, operator, right, value in (
        ("i", "=", "n", 7),
        ("i", "<", "x", 0.5),
        ("f", ">=", "n", 7),
        ("s", "=", "s", "alpaca"),
        ("s", "<", "t", "7"),
        ("b", "=", "b", True),
    ):
        sides = column(left), parameter(right, value)
        for first, second in (sides, sides[::-1]):
            condition = comparison(first, operator, second)
            statement = f"SELECT row FROM t SCORE dot TO ROW 'r0' WHERE {condition.text} TOP 1000"
            lines = table.query(statement, params=values)
            expected = [n for n, row in enumerate(rows) if condition.of(row) is True]
            assert sorted(line["row"] for line in lines) == expected, condition.text


def test_tokens_have_an_example_and_a_number(database, files):
    ids = ["a/b/7", "a/b/8", "a/b/x", "plain", "/5", "a/", "a/b/-3", "é/+4"]
    ids += ["a/9223372036854775808", "c/b/7"]
    database.create("tokens", ["grad:4:f32"], ["text:string"], unit="token")
    database.ingest(
        "tokens",
        files.grad("v.safetensors", np.ones((len(ids), 4))),
        checkpoint="c",
        metadata=files.metadata("m.jsonl", [{"id": id, "text": "t"} for id in ids]),
    )
    examples = ["a/b", "a/b", "a/b", "plain", "", "a", "a/b", "é", "a", "c/b"]
    numbers = [7, 8, None, None, 5, None, None, None, None, 7]
    for condition, holds in (
        ("example = 'a/b'", lambda example, token: example == "a/b"),
        ("token = 7", lambda example, token: token == 7),
        ("token IS NULL", lambda example, token: token is None),
        ("token + 1 > 5 AND example LIKE 'a%'", lambda e, t: t is not None and t > 4 and e[:1] == "a"),
        ("length(example) = 0 OR example IN ('é', 'plain')", lambda e, t: e in ("", "é", "plain")),
        ("example = id", lambda e, t: e == "plain"),
        ("row = 3 AND example IS NOT NULL", lambda e, t: e == "plain"),
    ):
        lines = database.query(f"SELECT row FROM tokens SCORE dot TO ROW 'plain' WHERE {condition} TOP 99")
        expected = [n for n, pair in enumerate(zip(examples, numbers)) if holds(*pair)]
        assert sorted(line["row"] for line in lines) == expected, condition


def test_tokens_with_integer_ids_are_examples_of_their_own(database, files):
    database.create("tokens", ["grad:4:f32"], unit="token")
    database.ingest("tokens", files.grad("v.safetensors", np.ones((3, 4))), checkpoint="c")
    ask = "SELECT row FROM tokens SCORE dot TO ROW 0 WHERE {} TOP 9"
    assert [line["row"] for line in database.query(ask.format("example = '1'"))] == [1]
    assert len(database.query(ask.format("token IS NULL"))) == 3


def test_a_table_of_examples_has_no_tokens(table):
    for name in ("example", "token"):
        statement = f"SELECT row FROM t SCORE dot TO ROW 'r0' WHERE {name} IS NULL"
        assert b"there is no column" in table.run("query", statement).expect(USAGE).stderr


def test_keywords_spaces_comments_and_the_order_of_clauses_are_free(table):
    plain = table.query("SELECT s, i FROM t SCORE dot TO ROW 'r0' WHERE b AND i > 0 TOP 5")
    for free in (
        "select  s ,i\n from t\tscore DOT to row 'r0'\n\nwhere b and i>0 top 5",
        "SELECT s, i FROM t SCORE dot TO ROW 'r0' TOP 5 EXACT WHERE b AND i > 0;",
        "SELECT s, i -- the columns; all of them\nFROM t /* ' \n ; */ SCORE dot TO ROW 'r0'"
        " TOP/**/5 WHERE b AND i>0 -- the end",
        "\ufeffSELECT \"s\", \"i\" FROM \"t\" SCORE dot TO ROW 'r0' TOP 5 WHERE b AND i > +0",
    ):
        assert table.query(free) == plain, free


# SELECT, AT, ACROSS


def test_select_names_the_columns_in_its_order(table, rows):
    for names in (["i", "s"], ["b", "f", "s", "i"], ["row"], ["checkpoint", "s", "row"]):
        lines = table.query(f"SELECT {', '.join(names)} FROM t SCORE dot TO ROW 'r0' TOP 7")
        assert len(lines) == 7
        for line in lines:
            assert list(line) == ["query", "rank", "end", "id", "score", *names]
            row = {**rows[int(line["id"][1:])], "row": int(line["id"][1:]), "checkpoint": "c1"}
            assert [line[name] for name in names] == [row[name] for name in names]


def test_what_is_always_there_may_be_selected_too(table):
    always = table.query("SELECT id, score FROM t SCORE dot TO ROW 'r0' TOP 3")
    assert [list(line) for line in always] == [["query", "rank", "end", "id", "score"]] * 3


def test_a_star_is_every_field_and_the_default(table, rows):
    starred = table.query("SELECT * FROM t SCORE dot TO ROW 'r0' TOP 20")
    for line in starred:
        row = rows[int(line["id"][1:])]
        assert {name: line[name] for name in "sifb"} == {name: row[name] for name in "sifb"}
    assert table.query("FROM t SCORE dot TO ROW 'r0' TOP 20") == starred


def test_without_top_and_bottom_ten_rows_come(table):
    ten = table.query("SELECT row FROM t SCORE dot TO ROW 'r0' TOP 10")
    assert table.query("SELECT row FROM t SCORE dot TO ROW 'r0'") == ten
    assert len(ten) == 10


def test_as_renames_a_column(table):
    plain = table.query("SELECT s, i FROM t SCORE dot TO ROW 'r0' TOP 9")
    renamed = table.query('SELECT s AS "where from", i AS s FROM t SCORE dot TO ROW \'r0\' TOP 9')
    expected = [{"where from": line.pop("s"), "s": line.pop("i")} for line in plain]
    assert [{k: line[k] for k in ("where from", "s")} for line in renamed] == expected


def test_odd_names_are_quoted(database, files):
    database.create("my-table.1", ["grad:4:f32"], ["day-of:int", "where:string"])
    rows = [{"id": i, "day-of": i * i, "where": "ab"[i % 2]} for i in range(6)]
    database.ingest(
        "my-table.1",
        files.grad("v.safetensors", np.ones((6, 4))),
        checkpoint="step-1",
        metadata=files.metadata("m.jsonl", rows),
    )
    lines = database.query(
        'SELECT "day-of", "where" FROM "my-table.1" SCORE dot TO ROW 0'
        " ACROSS 'step-1' WHERE \"where\" = 'b' AND \"day-of\" > 1"
    )
    assert [(line["id"], line["day-of"], line["where"]) for line in lines] == [
        (3, 9, "b"),
        (5, 25, "b"),
    ]
    assert {line["query"] for line in lines} == {"ROW 0"}


def test_at_and_across_may_say_what_is_the_default(table):
    plain = table.query_result("SELECT row FROM t SCORE dot TO ROW 'r0' TOP 9").stdout
    number = table.info("t")["snapshot"]
    for at, across in (
        (f"AT {number}", ""),
        ("AT 'here'", ""),
        ("AT '2999-12-31T23:59:59Z'", ""),
        ("", "ACROSS 'c1'"),
        ("AT 'here'", "ACROSS 'c1'"),
    ):
        statement = f"SELECT row FROM t {at} SCORE dot TO ROW 'r0' {across} TOP 9"
        assert table.query_result(statement).stdout == plain


def test_a_file_in_the_statement_is_what_a_parameter_is(table):
    path = table.files.grad("it's a query.safetensors", np.ones((1, DIMS)))
    quoted = str(path).replace("'", "''")
    by_name = table.query(f"SELECT row FROM t SCORE dot TO '{quoted}' TOP 9")
    by_parameter = table.query("SELECT row FROM t SCORE dot TO $q TOP 9", params={"q": path})
    assert {line.pop("query") for line in by_name} == {str(path)}
    assert {line.pop("query") for line in by_parameter} == {"$q"}
    assert by_name == by_parameter


# Formats and sources of statements


WIDE = "SELECT s, i, f, b, row FROM t SCORE dot TO ROW 'r0' TOP 100 BOTTOM 100"


def test_all_formats_say_the_same(table):
    lines = table.query(WIDE)
    (array,) = documents(table.query_result(WIDE, format="json").text)
    assert array == lines
    assert table.run("query", WIDE, "--json").expect(OK).lines == lines
    text = table.query_result(WIDE, format="csv").text
    assert "\r" not in text
    header, *cells = csv.reader(io.StringIO(text, newline=""))
    assert header == list(lines[0])
    assert [[as_cell(value) for value in line.values()] for line in lines] == [
        [as_number(cell, name) for cell, name in zip(row, header)] for row in cells
    ]
    shown = table.query_result(WIDE, format="table").text
    assert shown == table.run("query", WIDE).expect(OK).text
    assert len(shown.splitlines()) >= len(lines) + 1
    for name in header[3:]:
        assert name in shown


def as_cell(value):
    """What a CSV cell is compared by: NULL is empty, numbers by value, booleans as in JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def as_number(cell, name):
    if name in ("i", "row", "rank") and cell:
        return int(cell)
    if name in ("f", "score") and cell:
        return float(cell)
    return cell


@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
def test_no_row_is_an_empty_answer(table, format):
    none = "SELECT s FROM t SCORE dot TO ROW 'r0' WHERE i = 12345 TOP 5"
    text = table.query_result(none, format=format).text
    if format == "json":
        assert documents(text) == [[]]
    else:
        header = "query,rank,end,id,score,s\n"
        assert text == (header if format == "csv" else "")


def test_statements_come_from_a_file_or_standard_input(table):
    first = "SELECT row FROM t SCORE dot TO ROW 'r0' TOP 3"
    second = "SELECT s FROM t SCORE cosine TO ROW 'r1'\n  WHERE s = 'a;b' OR i >= 0 BOTTOM 4"
    expected = [*table.query(first), *table.query(second)]
    text = f"{first};\n\n;-- nothing;\n{second};\n"
    path = table.files.write("two.gql", text)
    assert table.run("query", "-f", path, "--format", "jsonl").expect(OK).lines == expected
    piped = table.run("query", "-", "--format", "jsonl", stdin=text.encode())
    assert piped.expect(OK).lines == expected
    arrays = documents(table.run("query", "-f", path, "--format", "json").expect(OK).text)
    assert [len(array) for array in arrays] == [3, 4]


def test_explain_prints_a_plan_and_no_rows(table):
    statement = "SELECT s FROM t SCORE dot TO ROW 'r0' WHERE b TOP 3"
    for flags in ([], ["--analyze"]):
        explained = table.run("explain", *flags, statement, "--json").expect(OK).line
        assert statement in explained["statement"]
        plan = explained["plan"]
        operators = list(walk(plan))
        assert len(operators) >= 2
        for node in operators:
            assert {"operator", "detail", "estimate", "inputs"} <= set(node)
            assert ("actual" in node) == bool(flags)
    words = table.run("query", f"EXPLAIN {statement}").expect(OK).text
    assert plan["operator"] in words
    assert table.run("explain", statement).expect(OK).stdout


def walk(node):
    yield node
    for child in node["inputs"]:
        yield from walk(child)
