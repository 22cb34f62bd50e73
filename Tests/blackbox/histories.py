"""A random history: operations drawn at random, done by gradctl and by the model, and compared.

After every operation everything that a user can see is compared for every snapshot left: the lines
of `snapshots`, `info`, the answers to questions. A snapshot's answers are computed once, when it is
new; from then on they must be the same bytes, whatever comes.
"""

import json

import numpy as np

import second_reader
from graddb import OK, USAGE, Database
from history_operations import CODECS, Operations
from history_questions import FIELDS, Questions
from second_reader import Model, row_bytes

QUERIES = 2


class History(Operations):
    """A table `t` in a database of its own, and its model."""

    def __init__(self, directory, files, random, unit="example", integer_ids=False, row_group=4):
        self.directory, self.files, self.random = directory, files, random
        self.rng = np.random.default_rng(random.randrange(1 << 32))
        self.db = Database(directory / "db").init()
        self.integer_ids, self.unit = integer_ids, unit
        self.layers = {name: (dims, random.sample(CODECS, random.choice([1, 1, 2])))
                       for name, dims in (("grad", 20), ("head", 9))}
        self.model = Model(self.layers, FIELDS)
        self.model.tokens = unit == "token"
        words = [f"{name}:{dims}:{'+'.join(codecs)}" for name, (dims, codecs) in self.layers.items()]
        self.db.create("t", words, [f"{n}:{t}" for n, t in FIELDS.items()], row_group, unit)
        queries = {name: self._vectors(QUERIES, dims) for name, (dims, _) in self.layers.items()}
        self.query_file = files.tensors("queries.safetensors", queries)
        self.questions = Questions(random, queries, integer_ids)
        self.pool = self._ids()
        self.asked, self.said, self.done, self.messages = {}, {}, [], 0
        self.ask_new()

    def _vectors(self, count, dims):
        return self.rng.standard_normal((count, dims)).astype(np.float32)

    def _ids(self):
        if self.integer_ids:
            return [*range(-6, 30), 2**63 - 1, -(2**63)]
        if self.unit == "token":
            return [f"{example}/{token}" for example in ("a", "b/c", "é") for token in range(12)]
        return [f"row {i}" for i in range(30)] + ["é", "e\u0301", '"quoted"', "[1]", "7", "漢"]

    # What is compared.

    def compare(self, deep=True):
        lines = {line["snapshot"]: line for line in self.db.snapshots("t")}
        model = self.model
        assert list(lines) == sorted(model.states, reverse=True)
        for number, state in model.states.items():
            line = lines[number]
            model.times.setdefault(number, line["time"])
            wanted = {
                "snapshot": number, "parent": state.parent, "time": model.times[number],
                "operation": state.operation, "message": state.message,
                "checkpoint": state.checkpoint, "rows": len(state.rows), "deleted": state.deleted,
                "hash": state.hash, "restored": state.restored,
                "tags": sorted(tag for tag, to in model.tags.items() if to == number),
            }
            found = {key: line[key] for key in wanted} | {"tags": sorted(line["tags"])}
            assert found == wanted, self
        hashes = {}
        for state in model.states.values():
            assert hashes.setdefault(lines[state.number]["hash"], state.held) == state.held
        assert len(hashes) == len({state.held for state in model.states.values()})
        self._compare_info(lines.get(model.newest.number))
        self.ask_new()
        self._ask_again()
        if deep:
            assert self.db.check()["problems"] == 0
            self._export(self.random.choice([model.empty, *model.states.values()]))

    def _compare_info(self, line):
        info, state = self.db.info("t"), self.model.newest
        if line:
            assert (info["segments"], info["bytes"]) == (line["segments"], line["bytes"])
        assert (info["rows"], info["snapshot"]) == (len(state.rows), state.number)
        assert {layer["name"]: layer["codecs"] for layer in info["layers"]} == {
            name: [e.codec for e in encodings] for name, encodings in state.encodings.items()}
        assert info["checkpoints"] == [
            {"name": c.name, "step": c.step, "weight": c.weight, "rows": len(state.at(c.name))}
            for c in sorted(state.checkpoints.values(), key=lambda c: c.number)]
        assert sorted(info["preconditioners"]) == sorted(state.preconditioners)
        assert info["tags"] == self.model.tags
        dims = self.model.dims
        live = sum(row_bytes(encoding.codec, dims[name]) * len(state.vectors)
                   for name, encodings in state.encodings.items() for encoding in encodings)
        wanted = {"deleted": state.deleted, "vectors": len(state.vectors), "live_bytes": live,
                  "snapshots": len(self.model.states)}
        self._agree(info, wanted)
        assert sum(info["codec_bytes"].values()) == info["bytes"]
        (table,) = self.db.info()["tables"]
        self._agree(table, {"table": "t", "rows": len(state.rows), "snapshot": state.number,
                            "deleted": state.deleted, "bytes": info["bytes"]})

    def _answers(self, statements):
        """The bytes that each statement's answer is."""
        script = "".join(f"{statement};\n" for statement in statements).encode()
        said = self.db.run("query", "-", "--format", "json", "--param", f"q={self.query_file}",
                           stdin=script).expect(OK).stdout.splitlines()
        assert len(said) == len(statements)
        return said

    def ask_new(self):
        """Answers of snapshots that were not asked before, by definition."""
        for number, state in [(0, self.model.empty), *self.model.states.items()]:
            if number in self.asked:
                continue
            self.asked[number] = self.questions.of(state)
            texts = [question.statement(number) for question in self.asked[number]]
            said = self._answers(texts)
            for question, text, answer in zip(self.asked[number], texts, said):
                question.assert_answered(json.loads(answer), f"{text}\n{self}")
            self.said[number] = said
            if state.restored is not None and state.restored in self.said:
                self._same_as(state.restored, number)
            elif state.operation == "compact" and state.parent in self.said:
                self._same_as(state.parent, number)

    def _same_as(self, old, new):
        """A restored or compacted snapshot answers the older one's questions with the same bytes."""
        assert self._answers([q.statement(new) for q in self.asked[old]]) == self.said[old], self

    def _ask_again(self):
        numbers = [0, *self.model.states]
        said = self._answers([q.statement(n) for n in numbers for q in self.asked[n]])
        for number in numbers:
            count = len(self.asked[number])
            assert said[:count] == self.said[number], f"snapshot {number}\n{self}"
            said = said[count:]
        for number in set(self.said) - set(numbers):
            del self.said[number]
            refused = self.db.run("query", f"FROM t AT {number} SCORE self ALL", "--json")
            assert refused.expect(USAGE).error["kind"] == "usage"

    def _export(self, state):
        """All scores of a snapshot as an array, in the order of row numbers."""
        out = self.directory / "scores.npy"
        self.db.query_result(f"SELECT row FROM t AT {state.number} SCORE dot TO $q EACH ALL", "--out", out,
                             params={"q": self.query_file}, format="npy")
        answers = self.questions.scored(state, state.newest_checkpoint(), "dot")
        assert np.load(out).tolist() == [[score for _, score in answer] for answer in answers], self
        lines = (self.directory / "scores.npy.rows.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [
            {"id": state.rows[number].id, "row": number} for number, _ in answers[0]], self

    def problems(self):
        return second_reader.problems(self.db.path)

    def __str__(self):
        return "history:\n" + "\n".join(self.done)
