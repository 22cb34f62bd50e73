"""Statements over one snapshot of a model's table, and their answers by definition.

A question's statement has `{at}` where AT stands. Scores over stored vectors are exact (codecs.md),
so answers are compared bit for bit but for sums of groups and preconditioned scores, whose last bits
are not defined.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

import predicates
from second_reader import codec, scores

FIELDS = {"s": "string", "i": "int", "f": "float", "b": "bool"}
DAMPING = 0.1


@dataclass
class Question:
    """`expected` has, in order, lines of those keys that are compared; `close` is the tolerance of
    scores relative to the largest, 0 for none. With `unordered` each answer's lines go by row."""

    text: str
    expected: list
    close: float = 0.0
    unordered: bool = False

    def statement(self, number):
        return self.text.format(at=f"AT {number}")

    def assert_answered(self, lines, about):
        keys = list(self.expected[0]) if self.expected else []
        found, expected = [{key: line[key] for key in keys} for line in lines], self.expected
        assert len(lines) == len(expected), f"{about}: {len(lines)} lines, not {len(expected)}"
        if self.unordered:
            found, expected = by_row(found), by_row(expected)
        for line, wanted in zip(found, expected):
            if self.close and "score" in wanted:
                room = self.close * max(abs(other["score"]) for other in self.expected)
                assert abs(line["score"] - wanted["score"]) <= room, f"{about}: {line}, not {wanted}"
                line = line | {"score": wanted["score"]}
            assert repr(line) == repr(wanted), f"{about}: {line}, not {wanted}"


def by_row(lines):
    """The lines of several answers, which begin where the rank is 1, each in the order of rows."""
    answers = []
    for line in lines:
        if line["rank"] == 1:
            answers.append([])
        answers[-1].append({key: value for key, value in line.items() if key != "rank"})
    return [line for answer in answers for line in sorted(answer, key=lambda line: line["row"])]


def row_values(state, number):
    """What conditions see of a row."""
    row = state.rows[number]
    return {name: row.fields.get(name) for name in state.model.fields} | {"id": row.id, "row": number}


def passing(state, numbers, condition):
    return [n for n in numbers if condition is None or condition.of(row_values(state, n)) is True]


def lines_of(state, answers, end="top", limit=None, fields=(), query=None):
    """Result lines of [(row number, score)] in order of `answers`, one list per query."""
    found = []
    for numbered in answers:
        numbers = np.array([number for number, _ in numbered], np.int64)
        values = np.array([score for _, score in numbered], np.float64)
        limit_ = len(numbered) if limit is None else limit
        for rank, (number, score) in enumerate(scores.best(numbers, values, limit_, end), 1):
            row = row_values(state, number)
            found.append({"rank": rank, "end": end, "id": row["id"], "score": score,
                          **{name: row[name] for name in fields}})
    return found


class Questions:
    """Of one table: `queries[layer]` is [n, dims]; `parameter` names them in statements."""

    def __init__(self, random, queries, integer_ids=False, parameter="$q"):
        self.random, self.queries, self.parameter = random, queries, parameter
        self.integer_ids = integer_ids

    def condition(self):
        """A random one; those of predicates.py take ids for strings."""
        while True:
            found = predicates.random_condition(self.random)
            if not (self.integer_ids and re.search(r"\bid\b", found.text)):
                return found

    def of(self, state):
        """Questions to a state, every one of which has an answer."""
        asked = [self._all(state), self._self(state), self._grouped(state)]
        for checkpoint in state.checkpoints:
            asked.append(self._share(state, checkpoint))
        if len(state.checkpoints) > 1:
            asked.append(self._across(state))
        newest = state.newest_checkpoint()
        if newest is not None and state.at(newest):
            asked += [self._row(state, newest), *self._rows_where(state, newest)]
        return asked + [self._preconditioned(state, name, checkpoint)
                        for name, made in state.preconditioners.items()
                        for checkpoint in made["checkpoints"]]

    def scored(self, state, checkpoint, measure, queries=None):
        """[queries] of [(row number, score)], in the order of numbers."""
        if checkpoint is None or not state.at(checkpoint):
            return [[] for _ in range(len(next(iter(self.queries.values()))))]
        asked = queries or scores.Queries(state, self.queries)
        numbers, found = scores.score(state, asked, checkpoint, measure)
        return [list(zip(numbers.tolist(), row.tolist())) for row in found]

    def reduced(self, answers, reduction):
        numbers = [number for number, _ in answers[0]]
        values = np.array([[score for _, score in answer] for answer in answers])
        total = np.zeros(len(numbers))
        for row in values:
            total = total + row
        if reduction == "MEAN":
            total = total / len(values)
        elif reduction == "MAX":
            total = values.max(axis=0)
        return list(zip(numbers, total.tolist()))

    def filtered(self, state, answers, condition):
        kept = {n for answer in answers for n in passing(state, [n for n, _ in answer], condition)}
        return [[pair for pair in answer if pair[0] in kept] for answer in answers]

    def _all(self, state):
        answers = self.scored(state, state.newest_checkpoint(), "dot")
        return Question(
            f"SELECT row, * FROM t {{at}} SCORE dot TO {self.parameter} EACH ALL",
            lines_of(state, answers, fields=["row", *state.model.fields]))

    def _self(self, state):
        newest, norms = state.newest_checkpoint(), 0.0
        numbers = state.at(newest)
        for layer in state.layers:
            norms = norms + state.encoded(newest, layer)[1].squared_norms
        answer = list(zip(numbers, (np.zeros(len(numbers)) + norms).tolist()))
        return Question("SELECT row FROM t {at} SCORE self ALL",
                        lines_of(state, [answer], fields=["row"]))

    def _share(self, state, checkpoint):
        percent = self.random.choice(["0.5", "12.5", "37", "50", "100"])
        reduction = self.random.choice(["MEAN", "SUM", "MAX"])
        condition = self.random.choice([None, self.condition()])
        answer = self.filtered(
            state, [self.reduced(self.scored(state, checkpoint, "cosine"), reduction)], condition)[0]
        limit = math.ceil(len(answer) * round(float(percent) * 10) / 1000)
        where = f"WHERE {escaped(condition.text)}" if condition else ""
        return Question(
            f"SELECT row FROM t {{at}} SCORE cosine TO {self.parameter} {reduction} "
            f"ACROSS '{checkpoint}' {where} TOP {percent}% BOTTOM {percent}%",
            lines_of(state, [answer], "top", limit, ["row"])
            + lines_of(state, [answer], "bottom", limit, ["row"]))

    def _across(self, state):
        weights = {name: self.random.choice([-2.0, 0.25, 1e-3, 3.0]) for name in state.checkpoints}
        condition = self.condition()
        totals = {}
        for name, weight in weights.items():
            for number, score in self.reduced(self.scored(state, name, "dot"), "MEAN"):
                totals[number] = totals.get(number, 0.0) + weight * score
        answer = self.filtered(state, [sorted(totals.items())], condition)[0]
        across = ", ".join(f"'{name}' WEIGHT {weight!r}" for name, weight in weights.items())
        return Question(
            f"SELECT row FROM t {{at}} SCORE dot TO {self.parameter} MEAN ACROSS {across} "
            f"WHERE {escaped(condition.text)} TOP 5 BOTTOM 3",
            lines_of(state, [answer], "top", 5, ["row"])
            + lines_of(state, [answer], "bottom", 3, ["row"]))

    def _grouped(self, state):
        column = self.random.choice(["s", "b", *(["example"] if state.model.tokens else [])])
        reduction = self.random.choice(["sum", "mean", "max", "min", "count"])
        reduce = {"sum": sum, "mean": lambda s: sum(s) / len(s), "max": max, "min": min,
                  "count": len}[reduction]
        expected = []
        for answer in self.scored(state, state.newest_checkpoint(), "dot"):
            members = {}
            for number, score in answer:
                value = (state.rows[number].id.rpartition("/")[0] or state.rows[number].id
                         if column == "example" else state.rows[number].fields.get(column))
                members.setdefault(value, []).append((number, score))
            groups = [(value, len(rows), float(reduce([s for _, s in rows])), rows[0][0])
                      for value, rows in members.items()]
            groups.sort(key=lambda group: (-group[2], group[3]))
            expected += [{"rank": rank, "id": value, "score": score, "rows": rows}
                         for rank, (value, rows, score, _) in enumerate(groups, 1)]
        return Question(
            f"SELECT {column}, rows FROM t {{at}} SCORE dot TO {self.parameter} EACH "
            f"GROUP BY {column} WITH {reduction} ALL", expected, 1e-12)

    def _row(self, state, checkpoint):
        number = self.random.choice(state.at(checkpoint))
        row_id = state.rows[number].id
        queries = scores.Queries.of_row(state, checkpoint, row_id)
        name = repr(row_id) if isinstance(row_id, int) else "'" + row_id.replace("'", "''") + "'"
        return Question(f"SELECT row FROM t {{at}} SCORE dot TO ROW {escaped(name)} ALL",
                        lines_of(state, self.scored(state, checkpoint, "dot", queries),
                                 fields=["row"]))

    def _rows_where(self, state, checkpoint):
        """One question, or none where no row fulfils the condition."""
        condition = self.condition()
        chosen = passing(state, state.at(checkpoint), condition)
        if not chosen:
            return []
        answers = []
        for number in chosen:
            queries = scores.Queries.of_row(state, checkpoint, state.rows[number].id)
            answers += self.scored(state, checkpoint, "dot", queries)
        return [Question(
            f"SELECT row FROM t {{at}} SCORE dot TO ROWS WHERE {escaped(condition.text)} MAX ALL",
            lines_of(state, [self.reduced(answers, "MAX")], fields=["row"]))]

    def _preconditioned(self, state, name, checkpoint):
        """A diagonal one of the rows there were, of the codecs there were."""
        made, vectors = state.preconditioners[name]["of"], {}
        for layer in made.layers:
            rows = made.decoded(checkpoint, layer).astype(np.float64)
            diagonal = (rows**2).mean(axis=0)
            diagonal = diagonal + DAMPING * diagonal.mean()
            vectors[layer["name"]] = (self.queries[layer["name"]] / diagonal).astype(np.float32)
        answers = self.scored(state, checkpoint, "dot", scores.Queries(state, vectors))
        rough = any(layer["codec"] in codec.ROTATED for layer in state.layers)
        # H⁻¹q in its last bit may quantise a query otherwise.
        return Question(f"SELECT row FROM t {{at}} SCORE dot TO {self.parameter} EACH "
                        f"ACROSS '{checkpoint}' PRECONDITION {name} ALL",
                        lines_of(state, answers, fields=["row"]), 2e-2 if rough else 1e-6, True)


def escaped(text):
    """For str.format."""
    return text.replace("{", "{{").replace("}", "}}")
