"""Makes format-spec/vectors/database/: a small database, and database.json with its content.

The content comes from the inputs below by a model of each table's history (history_model.py), decoded
vectors and scores from this reader. Where gradctl says the same things they must agree, scores bit for
bit, or nothing is made.
"""

import os
import shutil

import numpy as np

import check
import codec
import garbage
import golden_json
import gradctl
import questions
from database import Database
from history_model import Model

LAYERS = {"examples": {"grad": (24, "int8")}, "pairs": {"head": (10, "f16"), "body": (1030, "f32")},
          "small": {"half": (33, "bf16"), "nibbles": (33, "int4"), "signs": (33, "bit")},
          "recoded": {"grad": (40, "f32"), "both": (20, "bit+f16")},
          "lived": {"grad": (24, "int8"), "head": (10, "f32")}}
EVERY_TYPE = {"source": "string", "tokens": "int", "loss": "float", "flagged": "bool"}
FIELDS = {"examples": EVERY_TYPE, "pairs": {}, "small": {}, "recoded": {}, "lived": EVERY_TYPE}
EXAMPLES = {
    "alpaca-0": {"source": "alpaca", "tokens": 17, "loss": 2.5, "flagged": True},
    "alpaca-1": {"source": "alpaca", "tokens": -3, "flagged": False},
    "dolly-0": {"source": "dolly", "loss": -0.0},
    "é": {},
    "zero": {"source": "", "tokens": 2**53 + 1, "loss": 1e-300, "flagged": True},
    "dolly-1": {"source": "dolly", "tokens": 0, "flagged": False},
    "late": {"tokens": 99},
    "fleeting": {"source": "once", "tokens": 1},
    "gone-1": {"source": "forgotten", "tokens": -1},
    "gone-2": {"source": "never seen again"},
}
# What an id that was deleted comes again with.
AGAIN = {"fleeting": {"source": "again", "tokens": 5}}
# The steps of each table, in order: a command and what it takes (class Writer).
HISTORIES = {
    "examples": [
        ("ingest", "step-100", ["alpaca-0", "alpaca-1", "dolly-0", "é", "zero"], "first", "five rows",
         100, 2e-5),
        ("ingest", "step-300", ["late", "zero", "dolly-1", "alpaca-1", "alpaca-0", "dolly-0"], None,
         "another order", 300, 1e-5),
        ("ingest", "step-100", ["dolly-1"], "final"),
    ],
    "pairs": [("ingest", "only", [7, -1, 2**63 - 1, 3])],
    "small": [("ingest", "only", [4, -1, 0, 9, 2])],
    "recoded": [
        ("ingest", "one", [0, 1, -1, 3], None, "", None, 0.5),
        ("ingest", "two", [3, 1, 0], "then", "", None, 0.25),
        ("recode", "grad", "int8"), ("recode", "grad", "bit", True), ("recode", "grad", "int4", True),
        ("ingest", "one", [4, 5]),
        ("recode", "both", "bit"), ("recode", "grad", "int8"), ("recode", "grad", "f16", True),
    ],
    "lived": [
        ("ingest", "a", ["alpaca-0", "alpaca-1", "dolly-0", "fleeting"], "first", "", 1, 0.5),
        ("ingest", "b", ["dolly-0", "late", "alpaca-0", "zero"], None, "", 2, 0.25),
        ("ingest", "a", ["gone-1", "gone-2"]),
        ("ingest", "gone", ["gone-2", "dolly-0"]),
        ("delete", "gone-1", "fleeting", "gone-2"),
        ("ingest", "a", ["fleeting", "dolly-1"]),
        ("precondition", "fisher", "a"),
        ("recode", "grad", "bit", True),
        ("restore", 1, "back"),
        ("ingest", "a", ["é"]),
        ("restore", 8),
        ("recode", "head", "f16"),
        ("compact",),
        ("delete", "alpaca-1"),
        ("expire", 4),
        ("gc", 3),
        ("ingest", "b", ["é", "fleeting"], "final"),
    ],
}
ZERO_IDS = {"zero", -1}
NEEDLESS = ("LOG", "LOCK", "OPTIONS-", "IDENTITY")


def make(folder, scratch):
    db, rng = os.path.join(scratch, "database"), np.random.default_rng(20260131)
    models = write_database(db, scratch, rng)
    strip(db)
    with Database(db) as database:
        assert garbage.left(database) == []
        content = {"tables": {name: describe(database, name, model)
                              for name, model in models.items()},
                   "questions": ask(database, db, scratch, rng)}
    left = sorted(os.listdir(db))
    assert gradctl.run(db, "check", "--deep")[-1]["ok"]
    assert sorted(os.listdir(db)) == left
    shutil.copytree(db, os.path.join(folder, "database"))
    golden_json.write(os.path.join(folder, "database.json"), content)


def write_database(db, scratch, rng):
    """Runs gradctl, and a model of each table, which it returns by name."""
    gradctl.run(db, "init")
    models = {}
    for table in LAYERS:
        writer = models[table] = Writer(db, table, scratch, rng)
        for step in HISTORIES[table]:
            writer.do(step)
    return {name: writer.model for name, writer in models.items()}


class Writer:
    """Does the steps of a table, with gradctl and with the model."""

    def __init__(self, db, table, scratch, rng):
        self.db, self.table, self.scratch, self.rng = db, table, scratch, rng
        self.layers = {name: (dims, kind.split("+")) for name, (dims, kind) in LAYERS[table].items()}
        self.model = Model(self.layers, FIELDS[table])
        options = [part for name, (dims, kind) in LAYERS[table].items()
                   for part in ("--layer", f"{name}:{dims}:{kind}")]
        options += [part for name, kind in FIELDS[table].items()
                    for part in ("--field", f"{name}:{kind}")]
        gradctl.run(db, "create", table, *options, "--row-group", 3)

    def do(self, step):
        """A step is the command, then what it takes; keywords are options, but of `ingest`."""
        command, *arguments = step
        getattr(self, command)(*arguments)

    def run(self, command, *arguments, **options):
        for name, value in options.items():
            if value is not None and value is not False:
                arguments += (f"--{name.replace('_', '-')}", *([] if value is True else [value]))
        return gradctl.run(self.db, command, self.table, *arguments)[0]

    def agree(self, said, wanted):
        assert {key: said[key] for key in wanted} == wanted, (said, wanted)

    def ingest(self, checkpoint, ids, tag=None, message="", step=None, weight=None):
        vectors = {}
        for layer, (dims, _) in self.layers.items():
            rows = self.rng.integers(-9, 10, (len(ids), dims)).astype(np.float32)
            rows[:, :10] /= 16
            rows[[row_id in ZERO_IDS for row_id in ids]] = 0
            vectors[layer] = rows
        # An id that came before has the fields of then, unless the row was deleted.
        fields = [dict(EXAMPLES[row_id]) if FIELDS[self.table] else {} for row_id in ids]
        if any(row_id in AGAIN and self.model.newest.next_row for row_id in ids):
            fields = [AGAIN.get(row_id, values) for row_id, values in zip(ids, fields)]
        wanted = self.model.ingest(checkpoint, ids, fields, vectors, step, weight, False, tag, message)
        options = [part for name, value in [("--step", step), ("--weight", weight), ("--tag", tag),
                                            ("--message", message or None)]
                   if value is not None for part in (name, value)]
        self.agree(gradctl.ingest(self.db, self.table, self.scratch, vectors, checkpoint, ids,
                                  fields if FIELDS[self.table] else None, options), wanted)

    def recode(self, layer, kind, beside=False):
        self.model.recode(layer, kind, beside)
        self.run("recode", layer=layer, codec=kind, beside=beside)

    def delete(self, *ids):
        wanted = self.model.delete(ids)
        text = "".join(f"{row_id}\n" for row_id in ids)
        self.agree(gradctl.run(self.db, "delete", self.table, "--ids", "-", script=text)[0], wanted)

    def restore(self, number, tag=None):
        self.agree(self.run("restore", to=number, tag=tag), self.model.restore(number, tag))

    def compact(self):
        self.agree(self.run("compact", "--all"), {"snapshot": self.model.compact().number})

    def precondition(self, name, *checkpoints):
        self.model.precondition(name, checkpoints)
        self.run("precondition", "--checkpoint", *checkpoints, name=name, kind="diagonal")

    def expire(self, keep_last):
        self.agree(self.run("expire", keep_last=keep_last), self.model.expire(keep_last))

    def gc(self, rows):
        assert gradctl.run(self.db, "gc")[0]["rows"] == rows
        self.model.forgotten |= self.model.unseen_rows()


def strip(db):
    """Removes what a reader does not need, empty write-ahead logs among it."""
    for name in os.listdir(db):
        path = os.path.join(db, name)
        if name.endswith(".log"):
            assert os.path.getsize(path) == 0, "the write-ahead log holds something"
        if name.startswith(NEEDLESS) or name.endswith(".log"):
            os.remove(path)
        elif name == "staging":
            os.rmdir(path)


def describe(database, name, model):
    """What a table must hold, by its model; asserts that the reader finds just that."""
    table, newest = database.table(name), model.newest
    names, every = list(FIELDS[name]), model.every_row()
    ids = [None if row is None else row.id for row in every]
    values = {field: [None if row is None else row.fields.get(field) for row in every]
              for field in names}
    assert table.column("id") == ids and table.tags == model.tags
    assert all(table.column(field) == column for field, column in values.items())
    for number, state in model.states.items():
        at = database.table(name, number)
        assert check.problems(at) == []
        assert list(at.records()) == [
            (n, state.rows[n].id, {field: state.rows[n].fields.get(field) for field in names})
            for n in sorted(state.rows)]
    return {
        "table": table.number, "unit": "example", "row_group": 3,
        "layers": [{"name": layer, "dims": dims, "seed": table.layer(layer)["seed"]}
                   for layer, (dims, _) in LAYERS[name].items()],
        "fields": FIELDS[name], "ids": ids, "field_values": values,
        "snapshots": [_snapshot(database.table(name, number), state)
                      for number, state in sorted(model.states.items())],
        "tags": model.tags,
        "checkpoints": {checkpoint: _checkpoint(table, newest, checkpoint)
                        for checkpoint in newest.checkpoints},
    }


def _snapshot(table, state):
    described = {
        "snapshot": state.number, "parent": state.parent, "operation": state.operation,
        "restored": state.restored, "checkpoint": state.checkpoint, "message": state.message,
        "next_row": state.next_row, "deleted": state.deleted, "segments": len(table.segments),
        "hash": state.hash,
        "codecs": {layer: [encoding.codec for encoding in encodings]
                   for layer, encodings in state.encodings.items()},
        "deleted_rows": [n for n in range(state.next_row) if n not in state.rows],
    }
    assert table.document["hash"] == state.hash
    return described


def _checkpoint(table, state, name):
    """The vectors of a checkpoint in the finest encodings of the newest snapshot, as the model's encoder
    has them, which must be what is stored."""
    numbers = state.stored_order(name)
    checkpoint = state.checkpoints[name]
    described = {"step": checkpoint.step, "weight": checkpoint.weight, "rows": numbers, "vectors": {}}
    for layer in state.layers:
        found, decoded = table.vectors(name, table.layer(layer["name"]))
        own = codec.join([state.vectors[name, n].encoded[layer["encoding"]] for n in numbers])
        assert found == numbers
        assert codec.decode(layer["codec"], int(layer["seed"], 16), own).tobytes() == decoded.tobytes()
        decimals = {"decimals": 7} if layer["codec"] in codec.ROTATED else {}
        described["vectors"][layer["name"]] = golden_json.rows(decoded, **decimals)
    return described


def ask(database, db, scratch, rng):
    """Questions with their exact answers; gradctl must give the same."""
    def vectors(count, dims):
        return (rng.integers(-9, 10, (count, dims)) / 8).tolist()

    grad = {"grad": vectors(2, 24)}
    both = {"head": vectors(2, 10), "body": rng.integers(-1, 2, (2, 1030)).tolist()}
    small = {name: vectors(2, 33) for name in LAYERS["small"]}
    recoded = {"grad": vectors(2, 40), "both": vectors(2, 20)}
    lived = {"grad": vectors(2, 24), "head": vectors(2, 10)}
    asked = [
        _question("examples", "dot", grad, [["step-300", None]]),
        _question("examples", "cosine", grad, [["step-100", None]], mean=True, end="bottom"),
        _question("examples", "dot", grad, [["step-300", 0.3], ["step-100", 0.1]], mean=True),
        _question("examples", "cosine", {"row": "dolly-1"},
                  [["step-100", 2e-5], ["step-300", 1e-5]]),
        _question("examples", "dot", {"row": "alpaca-1"}, [["step-100", None]], snapshot=1),
        _question("pairs", "cosine", both, [["only", None]]),
        _question("pairs", "dot", {"head": both["head"][:1]}, [["only", None]], snapshot=1),
        _question("small", "cosine", small, [["only", None]]),
        _question("small", "cosine", {"row": 9}, [["only", None]]),
        *(_question("small", "dot", {name: small[name]}, [["only", None]], mean=True)
          for name in small),
        *(_question("recoded", "dot", recoded, [["one", None]], snapshot=snapshot)
          for snapshot in (None, 1, 3, 5, 8)),
        _question("recoded", "cosine", recoded, [["two", 0.25], ["one", 0.5]], snapshot=6),
        _question("recoded", "cosine", {"row": 1}, [["two", None]]),
        _question("recoded", "cosine", {"row": 1}, [["two", None]], snapshot=4),
        *(_question("lived", "dot", lived, [["a", None]], snapshot=snapshot)
          for snapshot in (None, 1, 9, 11, 13, 14)),
        _question("lived", "cosine", lived, [["b", 0.25], ["a", 0.5], ["gone", -1.0]], mean=True),
        *(_question("lived", "cosine", {"row": "fleeting"}, [["a", None]], snapshot=snapshot)
          for snapshot in (1, 9, 11, 14)),
        _question("lived", "dot", {"row": "fleeting"}, [["b", None]], end="bottom"),
    ]
    file = os.path.join(scratch, "query.safetensors")
    for question in asked:
        question["answers"] = questions.answer(database, question)
        question["statement"] = questions.statement(question)
        if "row" not in question["query"]:
            gradctl.write_safetensors(file, {name: np.array(rows, np.float32)
                                             for name, rows in question["query"].items()})
        said = gradctl.answers(db, [question["statement"]], {"q": file})[0]
        assert questions.split_answer(said) == question["answers"], question["statement"]
    return asked


def _question(table, measure, query, checkpoints, mean=False, end="top", snapshot=None):
    return {"table": table, "snapshot": snapshot, "measure": measure, "mean": mean, "end": end,
            "limit": 5, "checkpoints": checkpoints, "query": query}
