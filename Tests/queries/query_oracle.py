"""The right answer to a statement, in float64 and plain Python.

Nothing is shared with the engine but the specification. What is summed, and by whom it was
defined:

    dot         <q, g> over the chosen layers
    cosine      <q, g> / (|q| |g|), norms over the chosen layers together; a zero row scores 0
    self        <g, g>, a row's influence on itself (Pruthi and others, NeurIPS 2020)
    ACROSS      sum over checkpoints of weight · score: TracIn (the same), with learning rates as
                weights and queries of each checkpoint's own
    PRECONDITION  q' H^-1 g by numpy.linalg.solve: influence functions (Koh and Liang, ICML 2017), in
                the space of a projection TRAK (Park and others, ICML 2023) and LoGra (Choe and
                others, 2024); the cosine of H^-1/2 q and H^-1/2 g: TrackStar (Chang and others, 2024)
    H           (1/n) sum of g g' + damping · I; Frequent Directions (Ghashami and others, 2016) come
                to the same where no gradients have more directions than are kept

An answer is a list of rows: dictionaries in the order of the columns that gradctl prints.
"""

import datetime
import math
import re
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

import conditions
from query_words import Refused

PSEUDO = ("id", "score", "rank", "row", "checkpoint", "query")
ALWAYS = ("query", "rank", "end", "id", "score")


@dataclass
class Checkpoint:
    name: str
    weight: float | None
    vectors: dict  # layer: float64 [rows of the table, dims]
    has: np.ndarray  # bool [rows of the table]


@dataclass
class Table:
    """A table as one snapshot sees it. `rows` are in the order of row numbers."""

    name: str
    layers: list
    fields: dict  # name: type
    rows: list
    checkpoints: list
    unit: str = "example"
    tags: dict = field(default_factory=dict)
    snapshots: dict = field(default_factory=dict)  # number: the table then
    preconditioners: dict = field(default_factory=dict)  # name: {(layer, checkpoint): H}
    first_time: str = "2026-11-01"  # no statement asks for a time near that of the first snapshot

    @property
    def types(self):
        ids = "int" if self.rows and isinstance(self.rows[0]["id"], int) else "string"
        tokens = {"example": "string", "token": "int"} if self.unit == "token" else {}
        return {**tokens, **self.fields, "id": ids, "row": "int"}

    def values(self, row):
        """A row's columns: fields, and what its id and number say."""
        fields = self.rows[row]
        tokens = token_of(fields["id"]) if self.unit == "token" else {}
        return {**tokens, **{name: fields.get(name) for name in self.fields}, "id": fields["id"], "row": row}

    def at(self, version):
        if version is None:
            return self
        wanted, place = version
        number = self.tags.get(wanted, wanted)
        if number in self.snapshots:
            return self.snapshots[number]
        if isinstance(number, str) and after(number, self.first_time):
            return self
        raise Refused(f"no snapshot {wanted}", place)


def after(text, time):
    """Whether a text is a time, and one after another."""
    try:
        date, _, clock = text.partition("T")
        datetime.date.fromisoformat(date)
    except ValueError:
        return False
    return text > time and re.fullmatch(r"|\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", clock) is not None


def token_of(identifier):
    if isinstance(identifier, int) or "/" not in identifier:
        return {"example": str(identifier), "token": None}
    example, _, token = identifier.rpartition("/")
    whole = token.isascii() and token.isdigit() and int(token) < 2**63
    return {"example": example, "token": int(token) if whole else None}


def preconditioner(table, kind="dense", damping=None, layers=None, checkpoints=None):
    """H of each layer at each checkpoint."""
    found = {}
    for checkpoint in checkpoints or [table.checkpoints[-1].name]:
        stored = next(c for c in table.checkpoints if c.name == checkpoint)
        for layer in layers or table.layers:
            g = stored.vectors[layer][stored.has]
            h = g.T @ g / len(g)
            h = np.diag(np.diag(h)) if kind == "diagonal" else h
            amount = np.mean(np.diag(h)) / 10 if damping is None else damping
            found[layer, checkpoint] = h + amount * np.eye(len(h))
    return found


def question(tables, files, parameters, statement):
    """A statement with its names resolved, which then has an `answer()`."""
    if statement.table is None:
        raise Refused("no table", None)
    if statement.table.value not in tables:
        raise Refused(f"no table {statement.table.value}", statement.table.start)
    table = tables[statement.table.value].at(statement.at)
    return Question(table, files, parameters, statement)


class Question:
    def __init__(self, table, files, parameters, statement):
        self.table, self.files, self.parameters, self.statement = table, files, parameters, statement
        self.chosen = self.chosen_checkpoints()
        self.layers = self.chosen_layers()
        self.matrices = self.chosen_matrices()
        self.rows = [row for row in range(len(table.rows)) if any(c.has[row] for c, _ in self.chosen)]
        self.columns = self.selected()
        self.names, self.queries = self.query_vectors()
        self.clarity = np.inf  # see `gap`: of what was chosen, and the first that was not
        if statement.measure == "cosine" and any(
                not any(q.any() for q in query.values()) for each in self.queries for query in each):
            raise Refused("a zero query")

    # ---- names ----

    def chosen_checkpoints(self):
        across, there = self.statement.clauses.get("ACROSS"), self.table.checkpoints
        if across is None:
            return [(there[-1], 1.0)]
        if across == "ALL":
            across = [(None, c.name, None) for c in there]
        chosen = []
        for place, name, weight in across:
            found = next((c for c in there if c.name == name), None)
            if found is None or any(c is found for c, _ in chosen):
                raise Refused(f"no checkpoint {name}, or twice", place)
            alone = len(across) == 1 and self.statement.clauses["ACROSS"] != "ALL"
            weight = weight if weight is not None else 1.0 if alone else found.weight
            if weight is None:
                raise Refused(f"{name} has no weight", place)
            chosen.append((found, weight))
        return chosen

    def chosen_layers(self):
        patterns = self.statement.clauses.get("LAYERS")
        if patterns is None:
            return self.table.layers
        chosen = set()
        for place, pattern in patterns:
            expression = re.compile("".join(
                {"*": ".*", "?": "."}.get(c) or re.escape(c) for c in pattern), re.DOTALL)
            found = {name for name in self.table.layers if expression.fullmatch(name)}
            if not found:
                raise Refused(f"no layer {pattern}", place)
            chosen |= found
        return [name for name in self.table.layers if name in chosen]

    def chosen_matrices(self):
        if "PRECONDITION" not in self.statement.clauses:
            return None
        place, name = self.statement.clauses["PRECONDITION"]
        found = self.table.preconditioners.get(name)
        parts = [(layer, c.name) for layer in self.layers for c, _ in self.chosen]
        if found is None:
            raise Refused(f"no preconditioner {name}", place)
        if any(part not in found for part in parts):
            raise Refused(f"{name} has not all layers and checkpoints")
        return found

    def selected(self):
        """(name in the answer, name of the column) for what follows the fixed columns."""
        statement, group = self.statement, self.statement.clauses.get("GROUP")
        known = {**self.table.types, **dict.fromkeys(PSEUDO)}
        star = list(self.table.fields)
        if group:
            place, column, _ = group
            groupable = {**self.table.fields, **({"example": 0} if self.table.unit == "token" else {})}
            if column not in groupable:
                raise Refused(f"no column {column} to group by", place)
            star = [column] if column == "rows" else [column, "rows"]
            known = dict.fromkeys([column, "rows", "id", "score", "rank", "query", "checkpoint"])
        if statement.per_layer:
            known["layer"] = None
        found = []
        for name, alias, place in statement.items:
            if name != "*" and name not in known:
                raise Refused(f"no column {name}", place)
            found += [(n, n) for n in star] if name == "*" else [(alias or name, name)]
        fixed = ALWAYS + (("layer",) if statement.per_layer else ())
        for shown, name in found:
            if shown != name and shown in fixed or any(s == shown and n != name for s, n in found):
                raise Refused(f"{shown} is a column already")
        return [(shown, name) for shown, name in found if shown not in fixed]

    def condition(self, node):
        return conditions.Condition(node, self.table.types, self.parameters)

    # ---- queries ----

    def query_vectors(self):
        """Names of the queries, and for each checkpoint and query its vector in each layer."""
        statement = self.statement
        if statement.measure == "self":
            return ["self"], []
        kind, value, place = statement.source
        if kind in ("row", "rows"):
            return self.row_vectors(kind, value, place)
        name = value
        if kind == "parameter" and value[1:] not in self.parameters:
            raise Refused(f"nothing is bound to {value}", place)
        path = value if kind == "file" else self.parameters[value[1:]]
        queries = []
        for checkpoint, _ in self.chosen:
            tensors = self.files[path.replace("{checkpoint}", checkpoint.name)]
            vectors = {layer: np.atleast_2d(tensors[layer]).astype(np.float64) for layer in self.layers}
            if any(v.shape[1] != checkpoint.vectors[layer].shape[1] for layer, v in vectors.items()):
                raise Refused("other dims")
            count = len(vectors[self.layers[0]])
            queries.append([{layer: v[i] for layer, v in vectors.items()} for i in range(count)])
        count = len(queries[0])
        if any(len(each) != count for each in queries):
            raise Refused("different numbers of queries")
        return [name] if count == 1 else [f"{name}[{i}]" for i in range(count)], queries

    def row_vectors(self, kind, value, place):
        """Of rows of the table that every chosen checkpoint has."""
        complete = [row for row in self.rows if all(c.has[row] for c, _ in self.chosen)]
        if kind == "rows":
            condition = self.condition(value)
            rows = [row for row in complete if condition.keeps(self.table.values(row))]
        else:
            rows = [row for row in complete if str(self.table.rows[row]["id"]) == str(value)]
        if not rows:
            raise Refused("no such row", place)
        ids = [value] if kind == "row" else [self.table.rows[row]["id"] for row in rows]
        names = [f"ROW {i}" if isinstance(i, int) else "ROW '" + i.replace("'", "''") + "'" for i in ids]
        return names, [[{layer: c.vectors[layer][row] for layer in self.table.layers} for row in rows]
                       for c, _ in self.chosen]

    # ---- scores ----

    def scores(self, layers):
        """[answers, rows of the table], over some of the layers."""
        total = 0.0
        for place, (checkpoint, weight) in enumerate(self.chosen):
            queries = self.queries[place] if self.queries else [None]
            each = np.stack([self.checkpoint_scores(query, checkpoint, layers) for query in queries])
            if self.statement.reduction in ("MEAN", "SUM"):
                each = each.sum(axis=0, keepdims=True)
            if self.statement.reduction == "MEAN":
                each /= len(queries)
            total = total + weight * np.where(checkpoint.has, each, 0.0)
        return total.max(axis=0, keepdims=True) if self.statement.reduction == "MAX" else total

    def checkpoint_scores(self, query, checkpoint, layers):
        dots, row_squares, query_square = 0.0, 0.0, 0.0
        for layer in layers:
            rows = np.where(checkpoint.has[:, None], checkpoint.vectors[layer], 0.0)
            solved = rows
            if self.matrices:
                solved = np.linalg.solve(self.matrices[layer, checkpoint.name], rows.T).T
            row_squares = row_squares + (rows * solved).sum(axis=1)
            if query is not None:
                dots = dots + (solved * query[layer]).sum(axis=1)
                q = query[layer]
                inverse = np.linalg.solve(self.matrices[layer, checkpoint.name], q) if self.matrices else q
                query_square += float((q * inverse).sum())
        if self.statement.measure == "self":
            return row_squares
        if self.statement.measure == "dot":
            return dots
        norms = np.sqrt(row_squares) * np.sqrt(query_square)
        return np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)

    # ---- answers ----

    def answer(self):
        where = self.statement.clauses.get("WHERE")
        condition = self.condition(where) if where else None
        rows = [r for r in self.rows if not condition or condition.keeps(self.table.values(r))]
        self.passing = rows
        whole = self.scores(self.layers)
        parts = [(layer, self.scores([layer])) for layer in self.layers] if self.statement.per_layer else []
        found = []
        for place, name in enumerate(self.answer_names(len(whole))):
            units = self.units(rows)
            scored = [(self.unit_score(unit, whole[place]), unit) for unit in units]
            for end, wanted in self.statement.ends.items():
                ordered, count = ranked(scored, end, wanted)
                self.clarity = min(self.clarity, gap([score for score, _ in ordered[:count + 1]]))
                for rank, (score, unit) in enumerate(ordered[:count], 1):
                    shown = [(layer, self.unit_score(unit, of_layer[place])) for layer, of_layer in parts]
                    found += [self.line(name, rank, end, unit, s, layer, score)
                              for layer, s in shown or [(None, score)]]
        return found

    def answer_names(self, count):
        if self.statement.reduction == "EACH":
            return self.names
        assert count == 1
        kind = self.statement.source[0]
        return [self.names[0].split("[")[0] if kind in ("file", "parameter") else
                " ".join(self.statement.source_text.split()) if kind == "rows" else self.names[0]]

    def units(self, rows):
        """Rows, or groups of rows in the order of their first ones: lists of row numbers."""
        if "GROUP" not in self.statement.clauses:
            return [[row] for row in rows]
        groups = {}
        for row in rows:
            groups.setdefault(self.table.values(row)[self.statement.clauses["GROUP"][1]], []).append(row)
        return list(groups.values())

    def unit_score(self, unit, scores):
        values = [float(scores[row]) for row in unit]
        if "GROUP" not in self.statement.clauses:
            return values[0]
        total = 0.0
        for value in values:
            total += value
        return {"SUM": total, "MEAN": total / len(values), "MAX": max(values), "MIN": min(values),
                "COUNT": float(len(values))}[self.statement.clauses["GROUP"][2]]

    def line(self, query, rank, end, unit, score, layer, whole):
        values = {**self.table.values(unit[0]), "score": score, "rank": rank, "query": query, "layer": layer,
                  "checkpoint": "+".join(c.name for c, _ in self.chosen)}
        identifier = values["id"]
        if "GROUP" in self.statement.clauses:
            column = self.statement.clauses["GROUP"][1]
            identifier = values[column]
            values = {**values, "rows": len(unit), "id": identifier, column: identifier}
        line = {"query": query, "rank": rank, "end": end, "id": identifier, "score": score}
        if layer is not None:
            line["layer"] = layer
        if "BUDGET" in self.statement.clauses:
            line |= {"score_low": score, "score_high": score, "expected_recall": 1.0}
        return line | {shown: values[name] for shown, name in self.columns}


def ranked(scored, end, wanted):
    """All (score, unit), which come in the order of row numbers, best first; how many are wanted."""
    sign = -1.0 if end == "top" else 1.0
    ordered = sorted(scored, key=lambda pair: sign * pair[0])  # stable: ties keep their order
    if wanted == "ALL":
        return ordered, len(ordered)
    if isinstance(wanted, Fraction):
        wanted = math.ceil(wanted * len(scored) / 100)
    return ordered, wanted


def gap(scores):
    """The smallest difference of two that differ, relative to the largest: how clear an order is."""
    distinct = np.unique(np.asarray(scores, dtype=np.float64))
    if len(distinct) < 2:
        return np.inf
    return float(np.min(np.diff(distinct)) / np.max(np.abs(distinct)))

