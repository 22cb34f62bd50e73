"""The text files of statements and answers: reading, writing, comparing. See README.md."""

import csv
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Strings that cannot be taken for something else.
PLAIN = re.compile(r"(?=[^\W\d]|\$)[\w /$'.+:*@\[\]-]*(?<! )")
FLOAT = re.compile(r"-?(\d+\.?\d*(e[+-]?\d+)?|inf)")


@dataclass
class Block:
    """A statement, what precedes it, and its answer."""

    comment: str
    statement: str
    answer: str
    file: "QueryFile"
    line: int


@dataclass
class QueryFile:
    path: Path
    head: str = ""
    directives: dict = field(default_factory=dict)
    blocks: list = field(default_factory=list)

    @property
    def parameters(self):
        return dict(value.split("=", 1) for value in self.directives.get("param", []))

    @property
    def format(self):
        return self.directives.get("format", ["jsonl"])[0]

    @property
    def tolerance(self):
        """Of scores, relative to the largest of an answer."""
        return float(self.directives.get("tolerance", ["1e-6"])[0])


def load(path):
    file = QueryFile(path)
    line = 1
    for part in re.split(r"\n(?:[ \t]*\n)+", path.read_text("utf-8").strip("\n")):
        if "\n----" not in part:
            file.head += part + "\n\n"
            for name, value in re.findall(r"^(param|format|tolerance): (.*)$", part, re.MULTILINE):
                file.directives.setdefault(name, []).append(value)
        else:
            above, _, answer = part.partition("\n----")
            lines = above.split("\n")
            comments = [text for text in lines if text.startswith("#")]
            statement = "\n".join(text for text in lines if not text.startswith("#"))
            file.blocks.append(Block("\n".join(comments), statement, answer.strip("\n"), file, line))
        line += part.count("\n") + 2
    return file


def save(file):
    blocks = [f"{b.comment}\n" * bool(b.comment) + f"{b.statement}\n----\n{b.answer}" for b in file.blocks]
    file.path.write_text(file.head + "\n\n".join(blocks) + "\n", "utf-8")


def all_files():
    return [load(path) for path in sorted(HERE.glob("*.test"))]


# ---- answers as text ----


def cell(value):
    """JSON, but with nine digits of a float, and strings bare where they are plain words."""
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value not in ("null", "true", "false", "inf"):
        return value
    return json.dumps(value, ensure_ascii=False)


def rows_text(rows):
    if not rows:
        return "no rows"
    lines = [list(rows[0])] + [[cell(value) for value in row.values()] for row in rows]
    return "\n".join("\t".join(line) for line in lines)


def csv_text(rows, columns):
    """What RFC 4180 makes of an answer, NULL as an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if v is None else json.dumps(v) if isinstance(v, bool) else
                         f"{v:.9g}" if isinstance(v, float) else v for v in row.values()])
    return text.getvalue().rstrip("\n")


def matrix_text(rows, order, selected, layers=None):
    """The object of `--format matrix`. `order` has the row number of each id."""
    queries = list(dict.fromkeys(row["query"] for row in rows))
    first = {}
    for row in rows:
        first.setdefault(row["id"], row)
    ids = sorted(first, key=order)

    def table(layer):
        at = {(row["query"], row["id"]): row["score"] for row in rows if row.get("layer") == layer}
        return [[rounded(at.get((query, i))) for i in ids] for query in queries]

    found = {"queries": queries, "ids": ids}
    if layers is not None:
        found |= {"layers": layers, "scores": [table(layer) for layer in layers]}
    else:
        found["scores"] = table(None)
    found |= {name: [first[i][name] for i in ids] for name in selected}
    return json.dumps(found, ensure_ascii=False)


def rounded(score):
    return None if score is None else float(f"{score:.9g}")


def documents(text):
    """JSON documents that stand one after the other."""
    decoder, place, found = json.JSONDecoder(), 0, []
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        document, place = decoder.raw_decode(text, place)
        found.append(document)
    return found


# ---- comparing ----


def differences(expected, actual, tolerance):
    """Where two answers differ: a list of messages. Scores may be off by `tolerance` times the
    largest score, as other columns called score…; other numbers with a point by 1e-8 of themselves."""
    want, got = expected.split("\n"), actual.split("\n")
    if len(want) != len(got):
        return [f"{len(got)} lines, not {len(want)}"]
    names = want[0].split("\t")
    if want[0] != got[0]:
        return [f"columns {got[0]!r}, not {want[0]!r}"]
    table = [line.split("\t") for line in want[1:]]
    spread = max((abs(float(row[names.index("score")])) for row in table), default=0) if table else 0
    found = []
    for number, (a, b) in enumerate(zip(table, (line.split("\t") for line in got[1:])), 1):
        for name, x, y in zip(names, a, b):
            slack = tolerance * spread if name.startswith("score") else None
            if x != y and not close(x, y, slack if name != "expected_recall" else 0.01):
                found.append(f"row {number}, {name}: {y}, not {x}")
    return found


def close(x, y, slack):
    if not (FLOAT.fullmatch(x) and FLOAT.fullmatch(y)):
        return False
    x, y = float(x), float(y)
    return abs(x - y) <= (1e-8 * abs(x) if slack is None else slack)


def same(expected, actual, tolerance):
    """Whether two JSON values are the same, floats within a tolerance of the largest."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return list(expected) == list(actual) and all(
            same(expected[name], actual[name], tolerance) for name in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(
            same(a, b, tolerance) for a, b in zip(expected, actual))
    if isinstance(expected, float) or isinstance(actual, float):
        return (isinstance(expected, (int, float)) and isinstance(actual, (int, float))
                and abs(expected - actual) <= tolerance * max(1.0, abs(expected)))
    return type(expected) is type(actual) and expected == actual


def matches(pattern, text):
    """Whether a text is what a pattern says, in which … stands for any run of characters."""
    parts = [re.escape(part) for part in pattern.split("…")]
    return re.fullmatch(".*".join(parts), text, re.DOTALL) is not None
