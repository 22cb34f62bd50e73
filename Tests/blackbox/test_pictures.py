"""The whole-answer formats of `query`: matrix, heatmap, svg and png."""

import json
import re
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest

from gradient_files import Files
from graddb import IO, OK, USAGE, Database
from terminal import display_width, run_on_terminal

WORDS = ["the", "<sleeps> & \"dreams\"", "café", "漢字", "a\x1b[31mb\x07c", "y" * 60, "zero", None]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def table(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("pictures")
    files = Files(directory)
    database = Database(directory / "db").init()
    database.create("t", ["a:16:f32", "b:8:f32"], ["word:string", "n:int"], row_group=32)
    generator = np.random.default_rng(5)
    vectors = generator.standard_normal((300, 24)).astype(np.float32)
    queries = generator.standard_normal((7, 24)).astype(np.float32)
    rows = [{"id": f"ex/{i}", "n": i, "word": WORDS[i % len(WORDS)]} for i in range(300)]
    database.ingest(
        "t", files.tensors("v.safetensors", {"a": vectors[:, :16], "b": vectors[:, 16:]}),
        checkpoint="c", metadata=files.metadata("m.jsonl", rows),
    )  # fmt: skip
    database.q = files.tensors("q.safetensors", {"a": queries[:, :16], "b": queries[:, 16:]})
    database.vectors, database.queries = vectors, queries
    return database


def ask(table, statement, format, *flags, **options):
    return table.run(
        "query", statement, "--param", f"q={table.q}", "--format", format, *flags, **options
    )


STATEMENTS = [
    "FROM t SCORE cosine TO $q TOP 3",
    "SELECT n, word FROM t SCORE dot TO $q TOP 2 BOTTOM 2",
    "SELECT id, word AS w, score FROM t SCORE dot TO $q WHERE n < 20 ALL",
    "SELECT n FROM t SCORE cosine TO $q MEAN TOP 5",
    "SELECT n PER LAYER FROM t SCORE dot TO $q TOP 2",
    "SELECT rows FROM t SCORE dot TO $q GROUP BY word WITH sum TOP 4",
    "SELECT n FROM t SCORE self TOP 4",
    "SELECT n FROM t SCORE dot TO $q WHERE n > 1000",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_matrix_has_the_rows_of_the_answer(table, statement):
    matrix = ask(table, statement, "matrix").expect(OK).line
    rows = ask(table, statement, "jsonl").expect(OK).lines
    assert matrix["queries"] == list(dict.fromkeys(row["query"] for row in rows))
    # Rows by their numbers, groups by their first rows: in this table ids count, and words begin so.
    order = {f"ex/{i}": i for i in range(300)} | {word: i for i, word in enumerate(WORDS)}
    assert matrix["ids"] == sorted({row["id"] for row in rows}, key=order.get)
    layers = matrix.get("layers")
    assert (layers is None) == ("PER LAYER" not in statement)
    scores = matrix["scores"] if layers else [matrix["scores"]]
    assert np.shape(scores) == (len(layers or [1]), len(matrix["queries"]), len(matrix["ids"])) or not rows
    found = {
        (layer, query, id): scores[i][j][k]
        for i, layer in enumerate(layers or [None])
        for j, query in enumerate(matrix["queries"])
        for k, id in enumerate(matrix["ids"])
        if scores[i][j][k] is not None
    }
    assert found == {(row.get("layer"), row["query"], row["id"]): row["score"] for row in rows}
    for name in set(matrix) - {"queries", "ids", "layers", "scores"}:
        by_id = {row["id"]: row[name] for row in rows}
        assert matrix[name] == [by_id[id] for id in matrix["ids"]]


def test_a_matrix_holds_true_cosines(table):
    matrix = ask(table, "SELECT id FROM t SCORE cosine TO $q ALL", "matrix").line
    rows, queries = table.vectors.astype(float), table.queries.astype(float)
    expected = (queries @ rows.T) / np.outer(
        np.linalg.norm(queries, axis=1), np.linalg.norm(rows, axis=1)
    )
    assert np.abs(np.array(matrix["scores"]) - expected).max() < 1e-12


def test_columns_that_have_no_one_value_are_refused(table):
    for name in ("rank", "query"):
        ask(table, f"SELECT {name} FROM t SCORE dot TO $q TOP 2", "matrix").expect(USAGE)
    ask(table, "SELECT layer PER LAYER FROM t SCORE dot TO $q TOP 2", "matrix").expect(USAGE)


def test_several_statements_have_a_matrix_each(table, tmp_path):
    script = "SELECT n FROM t SCORE dot TO $q TOP 1; SELECT n FROM t SCORE dot TO $q TOP 2"
    assert len(ask(table, script, "matrix").expect(OK).lines) == 2
    out = tmp_path / "m.jsonl"
    assert ask(table, script, "matrix", "--out", out).expect(OK).stdout == b""
    assert len(out.read_text().splitlines()) == 2
    for format in ("svg", "png"):
        ask(table, script, format, "--out", tmp_path / "x").expect(USAGE)
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]


def test_more_cells_than_can_be_seen_are_refused(gradctl, tmp_path):
    files, database = Files(tmp_path), Database(tmp_path / "db").init()
    database.create("t", ["grad:4:f32"])
    vectors = np.random.default_rng(0).standard_normal((501, 4)).astype(np.float32)
    database.ingest("t", files.grad("v.safetensors", vectors), checkpoint="c")
    for count, status in ((500, OK), (501, USAGE)):
        path = files.npy("q.npy", vectors[:count])
        statement = f"SELECT id FROM t SCORE dot TO '{path}' WHERE row < {count} ALL"
        for format in ("matrix", "png"):
            flags = ["--out", tmp_path / "p"] if format == "png" else []
            result = database.run("query", statement, "--format", format, *flags).expect(status)
            assert status == OK or result.stdout == b""


# MARK: heat maps

@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("limit", ["WHERE n < 5 ALL", "WHERE n < 30 ALL", "ALL", "TOP 2 BOTTOM 2"])
@pytest.mark.parametrize("flags", [[], ["--no-color"]])
def test_a_heat_map_fits_the_terminal(table, columns, limit, flags):
    screen = run_on_terminal(
        "query", f"SELECT word FROM t SCORE dot TO $q {limit}", "--param", f"q={table.q}", "--db", table.path,
        "--format", "heatmap", *flags, columns=columns,
    )  # fmt: skip
    assert screen.status == OK
    assert max(display_width(line) for line in screen.lines) <= columns
    # A line for the columns, one for each query, one for the scale.
    assert sum(line.startswith("$q[") for line in screen.lines) == 7
    assert ("\x1b[48;5;" in screen.terminal) == (not flags)
    assert "\x1b[31m" not in screen.terminal and "\x07" not in screen.terminal
    assert ("the strongest score of" in screen.terminal) == (limit == "ALL")


def test_colours_are_those_that_the_terminal_has(table):
    arguments = ["query", "SELECT n FROM t SCORE dot TO $q TOP 3", "--param", f"q={table.q}"]
    arguments += ["--db", table.path, "--format", "heatmap"]
    assert "\x1b[48;2;" in run_on_terminal(*arguments, COLORTERM="truecolor").terminal
    assert "\x1b[" not in run_on_terminal(*arguments, NO_COLOR="1", COLORTERM="truecolor").terminal
    assert "\x1b" not in ask(table, "SELECT n FROM t SCORE dot TO $q TOP 3", "heatmap").text


def test_characters_tell_signs_and_sizes(table):
    text = ask(table, "SELECT n FROM t SCORE dot TO $q WHERE n < 20 ALL", "heatmap").text.splitlines()
    matrix = np.array(ask(table, "SELECT n FROM t SCORE dot TO $q WHERE n < 20 ALL", "matrix").line["scores"])
    lines = [line for line in text if line.startswith("$q[")]
    width = (80 - len("$q[0]") - 2) // 20
    largest = np.abs(matrix).max()
    for line, scores in zip(lines, matrix):
        drawn = line.ljust(80)[len("$q[0]") + 2 :][::width]
        for character, score in zip(drawn, scores):
            size = abs(score) / largest
            if size < 0.02:
                assert character == " "
            else:
                assert character == ("░▒▓█" if score > 0 else ".-=#")[int(np.ceil(size * 4)) - 1]
    assert re.fullmatch(r"-\S+ #=-\. ░▒▓█ \S+", text[-1])


def test_an_empty_answer_is_said(table, tmp_path):
    nothing = "SELECT n FROM t SCORE dot TO $q WHERE n > 1000"
    assert "no rows" in ask(table, nothing, "heatmap").expect(OK).text
    for format in ("svg", "png"):
        ask(table, nothing, format, "--out", tmp_path / "x").expect(OK)


# MARK: pictures


def png(path):
    """Pixels as an array [height, width, 3]; every checksum is looked at."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, chunks = 8, {}
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        (crc,) = struct.unpack(">I", data[position + 8 + length : position + 12 + length])
        assert crc == zlib.crc32(kind + body)
        chunks[kind] = body
        position += 12 + length
    assert position == len(data) and list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, kind, rest) == (8, 3, [0, 0, 0])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    return palette[lines[:, 1:]]


def svg(path):
    root = ElementTree.fromstring(path.read_bytes())
    rectangles = [r for r in root.iter(SVG + "rect") if r.find(SVG + "title") is not None]
    return root, rectangles, [t.text for t in root.iter(SVG + "text")]


def test_an_svg_has_a_cell_for_each_score(table, tmp_path):
    out = tmp_path / "map.svg"
    statement = "SELECT word FROM t SCORE cosine TO $q WHERE n < 16 ALL"
    assert ask(table, statement, "svg", "--out", out).expect(OK).stdout == b""
    matrix = ask(table, statement, "matrix").line
    root, rectangles, texts = svg(out)
    assert len(rectangles) == 7 * 16
    largest = np.abs(matrix["scores"]).max()
    for rectangle, score in zip(rectangles, np.ravel(matrix["scores"])):
        assert float(rectangle.find(SVG + "title").text.rsplit(" ", 1)[1]) == score
        red, green, blue = (int(rectangle.get("fill")[i : i + 2], 16) for i in (1, 3, 5))
        # Blue is above, orange below, and dark is far from zero.
        if abs(score) > 0.05 * largest:
            assert (blue > red) == (score > 0)
    darkness = [-sum(int(r.get("fill")[i : i + 2], 16) for i in (1, 3, 5)) for r in rectangles]
    positive = [(s, d) for s, d in zip(np.ravel(matrix["scores"]), darkness) if s > 0]
    assert [d for _, d in sorted(positive)] == sorted(d for _, d in positive)
    assert {"$q[0]", "$q[6]", "the", WORDS[1], "café", "漢字", "0"} <= set(texts)
    assert any(text.startswith("yyyy") and len(text) == 24 and "…" in text for text in texts)
    # All of it is inside.
    _, _, width, height = map(float, root.get("viewBox").split())
    for element in [*root.iter(SVG + "text"), *rectangles]:
        assert 0 <= float(element.get("x")) <= width and 0 <= float(element.get("y")) <= height


def test_a_png_shows_what_the_svg_shows(table, tmp_path):
    statement = "SELECT word PER LAYER FROM t SCORE dot TO $q TOP 3"
    for format in ("svg", "png"):
        ask(table, statement, format, "--out", tmp_path / format).expect(OK)
    root, _, texts = svg(tmp_path / "svg")
    pixels = png(tmp_path / "png")
    _, _, width, height = map(float, root.get("viewBox").split())
    assert pixels.shape[:2] == (2 * int(np.ceil(height)), 2 * int(np.ceil(width)))
    shapes = [r for r in root.iter(SVG + "rect") if r.get("x")]
    for shape in shapes:
        x, y, w, h = (float(shape.get(name)) for name in ("x", "y", "width", "height"))
        colour = [int(shape.get("fill")[i : i + 2], 16) for i in (1, 3, 5)]
        assert list(pixels[int(2 * (y + h / 2)), int(2 * (x + w / 2))]) == colour
    assert {"a", "b", "no score"} <= set(texts)
    # Letters are black, and there are many of them.
    assert (pixels == 0).all(axis=2).sum() > 2000


def test_wide_answers_are_binned_and_say_so(table, tmp_path):
    Files(tmp_path).tensors(
        "many.safetensors",
        {
            "a": np.random.default_rng(1).standard_normal((430, 16)).astype(np.float32),
            "b": np.random.default_rng(2).standard_normal((430, 8)).astype(np.float32),
        },
    )
    statement = f"SELECT n FROM t SCORE dot TO '{tmp_path / 'many.safetensors'}' ALL"
    for format in ("svg", "png"):
        table.run("query", statement, "--format", format, "--out", tmp_path / format).expect(OK)
    _, _, texts = svg(tmp_path / "svg")
    assert "each cell is the strongest score of 2 queries" in texts
    assert png(tmp_path / "png").shape[0] < 1400


def test_pictures_want_a_file_and_leave_what_was_there(table, tmp_path):
    statement = "SELECT n FROM t SCORE dot TO $q TOP 2"
    for format in ("svg", "png"):
        ask(table, statement, format).expect(USAGE)
        ask(table, statement, format, "--out", tmp_path).expect(IO)
        ask(table, statement, format, "--out", tmp_path / "none" / "x").expect(IO)
        out = tmp_path / format
        out.write_text("before")
        ask(table, "SELECT nn FROM t SCORE dot TO $q", format, "--out", out).expect(USAGE)
        assert out.read_text() == "before"
        ask(table, statement, format, "--out", out).expect(OK)
        assert out.read_bytes()[:5] != b"befor"
    ask(table, statement, "heatmap", "--out", tmp_path / "x").expect(USAGE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["png", "svg"]


def test_explain_is_no_picture(table, tmp_path):
    result = ask(table, "EXPLAIN SELECT n FROM t SCORE dot TO $q TOP 2", "matrix").expect(OK)
    assert "plan" in json.loads(result.text)
