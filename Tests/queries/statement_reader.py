"""A statement's clauses, read by the grammar of format-spec/query-language.md."""

from dataclasses import dataclass, field
from fractions import Fraction

import conditions
from query_words import Reader, Refused

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass
class Statement:
    text: str
    explain: str | None = None  # "plan" or "analyze"
    items: list = field(default_factory=lambda: [("*", None, None)])  # name, alias, place
    per_layer: bool = False
    table: str | None = None
    at: tuple | None = None  # integer or string, place
    measure: str = ""
    source: tuple | None = None  # file, parameter, row or rows; its value; place
    source_text: str = "self"
    reduction: str = "EACH"
    clauses: dict = field(default_factory=dict)

    @property
    def ends(self):
        """What each end asks for: an integer, a share as a Fraction, or "ALL"."""
        if "ALL" in self.clauses:
            return {"top": "ALL"}
        named = {end.lower(): self.clauses[end] for end in ("TOP", "BOTTOM") if end in self.clauses}
        return named or {"top": 10}


def read(text):
    """The statement of a text that holds one."""
    reader = Reader(text)
    found = statement(reader)
    reader.accept(";")
    if reader.word.kind != "end":
        reader.refuse("a clause")
    return found


def split(script):
    """The texts of a script's statements, without comments around them."""
    reader, start, texts = Reader(script), None, []
    for word in reader.words:
        if word.text == ";" and word.kind == "sign":
            texts += [script[start:word.start]] if start is not None else []
            start = None
        elif start is None:
            start = word.start
    return texts + ([script[start:].rstrip()] if start is not None else [])


def statement(reader):
    s = Statement(reader.text)
    if reader.accept("EXPLAIN"):
        s.explain = "analyze" if reader.accept("ANALYZE") else "plan"
    if reader.accept("SELECT"):
        s.items = listed(reader, item)
        s.per_layer = reader.accept("PER", "LAYER")
    if reader.at("SCORE"):
        reader.refuse("FROM")  # gradctl has no other way to name the table
    if reader.accept("FROM"):
        s.table = reader.name()
    if reader.accept("AT"):
        version = reader.kind("integer", "string")
        s.at = (int(version.text) if version.kind == "integer" else version.value, version.start)
    reader.expect("SCORE")
    s.measure = reader.kind("word").text.lower()
    if s.measure != "self":
        if s.measure not in ("dot", "cosine"):
            raise Refused("no measure", reader.words[reader.next - 1].start)
        reader.expect("TO")
        source(reader, s)
        for reduction in ("EACH", "MEAN", "SUM", "MAX"):
            if reader.accept(reduction):
                s.reduction = reduction
                break
    while reader.word.kind == "word":
        clause(reader, s)
    return s


def listed(reader, one):
    found = [one(reader)]
    while reader.accept(","):
        found.append(one(reader))
    return found


def item(reader):
    place = reader.word.start
    if reader.accept("*"):
        return ("*", None, place)
    name = reader.name().value
    return (name, reader.name().value if reader.accept("AS") else None, place)


def source(reader, s):
    start = reader.word.start
    if reader.accept("ROWS", "WHERE"):
        s.source = ("rows", conditions.parse(reader), start)
    elif reader.accept("ROW"):
        text = reader.word.kind == "string"
        s.source = ("row", reader.kind("string").value if text else reader.number(), start)
    else:
        word = reader.kind("string", "parameter")
        s.source = ("file" if word.kind == "string" else "parameter", word.value, start)
    words = [w for w in reader.words[:reader.next] if w.start >= start]
    s.source_text = reader.text[start:words[-1].end]


def clause(reader, s):
    word = reader.word
    name = word.text.upper()
    if name in s.clauses:
        raise Refused(f"{name} twice", word.start)
    if name not in CLAUSES:
        reader.refuse("a clause")
    reader.take()
    for others in (("ALL", "TOP"), ("ALL", "BOTTOM"), ("EXACT", "CONFIDENCE"), ("EXACT", "BUDGET"),
                   ("CONFIDENCE", "BUDGET")):
        if name in others and any(other in s.clauses for other in others if other != name):
            raise Refused(f"{name} beside another")
    s.clauses[name] = CLAUSES[name](reader)


def layers(reader):
    return listed(reader, lambda reader: (reader.word.start, reader.kind("string").value))


def across(reader):
    if reader.accept("ALL"):
        return "ALL"
    return listed(reader, lambda reader: (
        reader.word.start, reader.kind("string").value,
        reader.number() if reader.accept("WEIGHT") else None))


def group(reader):
    reader.expect("BY")
    column = reader.name()
    reader.expect("WITH")
    for reduction in ("SUM", "MEAN", "MAX", "MIN", "COUNT"):
        if reader.accept(reduction):
            return (column.start, column.value, reduction)
    return reader.refuse("SUM, MEAN, MAX, MIN or COUNT")


def end(reader):
    word = reader.kind("integer", "float")
    if reader.accept("%"):
        if not 0 < Fraction(word.text) <= 100:
            raise Refused("no share", word.start)
        return Fraction(word.text)
    if word.kind == "float" or int(word.text) == 0:
        raise Refused("no number of rows", word.start)
    return int(word.text)


def confidence(reader):
    place, p = reader.word.start, reader.number()
    if not 0 < p < 1:
        raise Refused("no probability", place)
    return p


def budget(reader):
    word = reader.kind("duration")
    digits = word.text.rstrip("hmsu")
    seconds = float(digits) * UNITS[word.text[len(digits):]]
    if seconds <= 0:
        raise Refused("no time", word.start)
    return seconds


CLAUSES = {
    "LAYERS": layers, "ACROSS": across, "PRECONDITION": lambda reader: (
        reader.word.start, reader.name().value),
    "WHERE": conditions.parse, "GROUP": group, "TOP": end, "BOTTOM": end,
    "ALL": lambda reader: True, "EXACT": lambda reader: True, "CONFIDENCE": confidence, "BUDGET": budget,
}  # fmt: skip
