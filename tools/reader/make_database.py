"""Makes format-spec/vectors/database/: a small database, and database.json with its content.

The content comes from the inputs below, decoded vectors and scores from this reader. Where gradctl
says the same things they must agree, scores bit for bit, or nothing is made.
"""

import os
import shutil

import numpy as np

import check
import codec
import golden_json
import gradctl
import questions
from database import Database

LAYERS = {"examples": {"grad": (24, "int8")}, "pairs": {"head": (10, "f16"), "body": (1030, "f32")},
          "small": {"half": (33, "bf16"), "nibbles": (33, "int4"), "signs": (33, "bit")},
          "recoded": {"grad": (40, "f32"), "both": (20, "bit+f16")}}
FIELDS = {"examples": {"source": "string", "tokens": "int", "loss": "float", "flagged": "bool"},
          "pairs": {}, "small": {}, "recoded": {}}
EXAMPLES = {
    "alpaca-0": {"source": "alpaca", "tokens": 17, "loss": 2.5, "flagged": True},
    "alpaca-1": {"source": "alpaca", "tokens": -3, "flagged": False},
    "dolly-0": {"source": "dolly", "loss": -0.0},
    "é": {},
    "zero": {"source": "", "tokens": 2**53 + 1, "loss": 1e-300, "flagged": True},
    "dolly-1": {"source": "dolly", "tokens": 0, "flagged": False},
    "late": {"tokens": 99},
}
# (table, checkpoint, step, weight, ids in the order they come, tag, message), in this order.
INGESTS = [
    ("examples", "step-100", 100, 2e-5, ["alpaca-0", "alpaca-1", "dolly-0", "é", "zero"], "first",
     "five rows"),
    ("pairs", "only", None, None, [7, -1, 2**63 - 1, 3], None, ""),
    ("examples", "step-300", 300, 1e-5, ["late", "zero", "dolly-1", "alpaca-1", "alpaca-0",
                                         "dolly-0"], None, "another order"),
    ("examples", "step-100", None, None, ["dolly-1"], "final", ""),
    ("small", "only", None, None, [4, -1, 0, 9, 2], None, ""),
    ("recoded", "one", None, 0.5, [0, 1, -1, 3], None, ""),
    ("recoded", "two", None, 0.25, [3, 1, 0], "then", ""),
    ("recoded", "one", None, None, [4, 5], None, ""),
]
# (layer, codec, beside the others), after the ingest of that number into the table.
RECODES = {("recoded", 2): [("grad", "int8", False), ("grad", "bit", True), ("grad", "int4", True)],
           ("recoded", 3): [("both", "bit", False), ("grad", "int8", False),
                            ("grad", "f16", True)]}
ZERO_IDS = {"zero", -1}
NEEDLESS = ("LOG", "LOCK", "OPTIONS-", "IDENTITY")


def make(folder, scratch):
    db, rng = os.path.join(scratch, "database"), np.random.default_rng(20260131)
    given = write_database(db, scratch, rng)
    strip(db)
    with Database(db) as database:
        content = {"tables": {name: describe(database.table(name), given[name]) for name in LAYERS},
                   "questions": ask(database, db, scratch, rng)}
    left = sorted(os.listdir(db))
    assert gradctl.run(db, "check", "--deep")[-1]["ok"]
    assert sorted(os.listdir(db)) == left
    shutil.copytree(db, os.path.join(folder, "database"))
    golden_json.write(os.path.join(folder, "database.json"), content)


def write_database(db, scratch, rng):
    """Runs the ingests; returns {table: {checkpoint: {layer: {id: vector}}}} as they were given."""
    gradctl.run(db, "init")
    for table, layers in LAYERS.items():
        options = [part for name, (dims, kind) in layers.items()
                   for part in ("--layer", f"{name}:{dims}:{kind}")]
        options += [part for name, kind in FIELDS[table].items()
                    for part in ("--field", f"{name}:{kind}")]
        gradctl.run(db, "create", table, *options, "--row-group", 3)
    given = {table: {} for table in LAYERS}
    for table, checkpoint, step, weight, ids, tag, message in INGESTS:
        tensors = {}
        for layer, (dims, _) in LAYERS[table].items():
            rows = rng.integers(-9, 10, (len(ids), dims)).astype(np.float32)
            rows[:, :10] /= 16
            rows[[row_id in ZERO_IDS for row_id in ids]] = 0
            tensors[layer] = rows
            kept = given[table].setdefault(checkpoint, {}).setdefault(layer, {})
            kept.update(zip(ids, rows))
        options = [part for name, value in [("--step", step), ("--weight", weight), ("--tag", tag),
                                            ("--message", message or None)]
                   if value is not None for part in (name, value)]
        fields = [EXAMPLES[row_id] for row_id in ids] if FIELDS[table] else None
        gradctl.ingest(db, table, scratch, tensors, checkpoint, ids, fields, options)
        for recode in history(table)[gradctl.run(db, "info", table)[0]["snapshot"] :]:
            if "layer" not in recode:
                break
            gradctl.run(db, "recode", table, "--layer", recode["layer"], "--codec", recode["codec"],
                        *(["--beside"] if recode["beside"] else []))
    return given


def history(table):
    """What made each snapshot, from the first on: an ingest or a recode, and the codecs of each
    layer from then on."""
    codecs = {name: kind.split("+") for name, (_, kind) in LAYERS[table].items()}
    steps = []
    for number, ingest in enumerate([ingest for ingest in INGESTS if ingest[0] == table], 1):
        steps.append({"checkpoint": ingest[1], "ids": ingest[4], "tag": ingest[5],
                      "message": ingest[6], "codecs": dict(codecs)})
        for layer, kind, beside in RECODES.get((table, number), []):
            codecs[layer] = [kind] + (codecs[layer] if beside else [])
            steps.append({"checkpoint": None, "ids": [], "tag": None, "message": "",
                          "layer": layer, "codec": kind, "beside": beside,
                          "codecs": dict(codecs)})
    return steps


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


def describe(table, given):
    """What a table must hold, from the inputs; asserts that the reader finds just that."""
    assert check.problems(table) == []
    ingests = [ingest for ingest in INGESTS if ingest[0] == table.name]
    ids = list(dict.fromkeys(row_id for ingest in ingests for row_id in ingest[4]))
    names = list(FIELDS[table.name])
    expected = [{name: EXAMPLES[row_id].get(name) if names else None for name in names}
                for row_id in ids]
    assert list(table.records()) == [(i, ids[i], expected[i]) for i in range(len(ids))]
    steps = history(table.name)
    checkpoints = {name: _checkpoint(table, name, given[name], ids, steps) for name in given}
    for _, name, step, weight, *_ in reversed(ingests):  # the first ingest makes the checkpoint
        checkpoints[name].update(step=step, weight=weight)
    tags = {step["tag"]: i for i, step in enumerate(steps, 1) if step["tag"]}
    assert table.tags == tags
    return {
        "table": table.number, "unit": "example", "row_group": 3,
        "layers": [{"name": name, "dims": dims, "seed": table.layer(name)["seed"]}
                   for name, (dims, _) in LAYERS[table.name].items()],
        "fields": FIELDS[table.name], "ids": ids,
        "field_values": {name: [row[name] for row in expected] for name in names},
        "snapshots": _snapshots(steps), "tags": tags, "checkpoints": checkpoints,
    }


def _snapshots(steps):
    seen, snapshots, segments = set(), [], 0
    for i, step in enumerate(steps, 1):
        seen |= set(step["ids"])
        segments += step["checkpoint"] is not None
        codecs = {name: sorted(kinds, key=list(codec.DTYPES).index)
                  for name, kinds in step["codecs"].items()}
        snapshots.append({"snapshot": i, "parent": i - 1, "checkpoint": step["checkpoint"],
                          "next_row": len(seen), "segments": segments,
                          "message": step["message"], "codecs": codecs})
    return snapshots


def _checkpoint(table, name, layers, ids, steps):
    """The vectors of a checkpoint in the finest encodings of the newest snapshot, as this reader's
    encoder has them, which must be what is stored."""
    described = {"step": None, "weight": None,
                 "rows": [ids.index(row_id) for row_id in next(iter(layers.values()))],
                 "vectors": {}}
    for layer_name, by_id in layers.items():
        layer = table.layer(layer_name)
        seed, rows = int(layer["seed"], 16), np.array(list(by_id.values()))
        numbers, decoded = table.vectors(name, layer)
        assert numbers == described["rows"]
        parts, start = [], 0
        for snapshot, step in enumerate(steps, 1):
            if step["checkpoint"] == name:
                part = rows[start : start + len(step["ids"])]
                parts.append(table.encode_given(layer, snapshot, part))
                start += len(part)
        own = codec.decode(layer["codec"], seed, codec.join(parts))
        assert own.tobytes() == decoded.tobytes()
        if layer["codec"] in codec.ROTATED:
            described["vectors"][layer_name] = golden_json.rows(decoded, decimals=7)
        else:
            described["vectors"][layer_name] = golden_json.rows(decoded)
    return described


def ask(database, db, scratch, rng):
    """Questions with their exact answers; gradctl must give the same."""
    def vectors(count, dims):
        return (rng.integers(-9, 10, (count, dims)) / 8).tolist()

    grad = {"grad": vectors(2, 24)}
    both = {"head": vectors(2, 10), "body": rng.integers(-1, 2, (2, 1030)).tolist()}
    small = {name: vectors(2, 33) for name in LAYERS["small"]}
    recoded = {"grad": vectors(2, 40), "both": vectors(2, 20)}
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
