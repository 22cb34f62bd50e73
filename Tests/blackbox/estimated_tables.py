"""Tables whose scores can be estimated from less than whole rows, and what a plan did with them.

Rows are noise plus more or less of the first query, so that scores spread wider than estimates
err: else no estimate pays, and CONFIDENCE and BUDGET read everything. Some rows are heavy-tailed,
some all zero, and some are duplicates, among them the best and the worst row.
"""

import json

import numpy as np

from gradient_files import as_type
from graddb import OK

FIELDS = ["bucket:int"]
ROWS = 1000
QUERIES = 5
# Rows by bucket: `bucket = 13` keeps 1%.
BUCKETS = 100


def spread_rows(random, query, count=ROWS, spread=0.3):
    """Rows that the query likes and dislikes, some of them the same."""
    likeness = spread * random.standard_normal((count, 1), dtype=np.float32)
    rows = random.standard_normal((count, len(query)), dtype=np.float32)
    rows[3::50] = random.standard_t(3, rows[3::50].shape)
    rows += likeness * query
    rows[::97] = 0
    cosines = rows @ query / np.maximum(np.linalg.norm(rows, axis=1), 1e-9)
    for extreme in (int(cosines.argmax()), int(cosines.argmin())):
        rows[(extreme + 11) % count] = rows[extreme]
        rows[(extreme + count // 2) % count] = rows[extreme]
    return as_type(rows, "F16")


class EstimatedTable:
    """A table `t` of rows that spread, in two segments of several row groups each."""

    def __init__(self, database, files, layers, count=ROWS, row_group=256, seed=1):
        random = np.random.default_rng([seed, count, *(dims for dims, _ in layers.values())])
        self.database, self.count, self.answers = database, count, {}
        queries = {
            name: as_type(random.standard_normal((QUERIES, dims)), "F16")
            for name, (dims, _) in layers.items()
        }
        self.rows = {n: spread_rows(random, q[0], count) for n, q in queries.items()}
        words = [f"{n}:{dims}:{codecs}" for n, (dims, codecs) in layers.items()]
        database.create("t", words, FIELDS, row_group)
        fields = [{"id": f"r{row}", "bucket": row % BUCKETS} for row in range(count)]
        half = count * 2 // 3
        for part in (slice(0, half), slice(half, count)):
            if fields[part]:
                database.ingest(
                    "t",
                    files.tensors("rows.st", {n: v[part] for n, v in self.rows.items()}, "F16"),
                    checkpoint="c1",
                    metadata=files.metadata("rows.jsonl", fields[part]),
                )
        self.params = {
            "q": files.tensors("queries.st", queries, "F16"),
            "one": files.tensors("query.st", {n: q[:1] for n, q in queries.items()}, "F16"),
        }

    def ask_all(self, questions):
        """Asks in one run; `ask` then has the answers."""
        script = "".join(f"SELECT row FROM t SCORE {question};\n" for question in questions)
        arguments = [f"--param={name}={file}" for name, file in self.params.items()]
        said = self.database.run(
            "query", "-", "--format", "json", *arguments, stdin=script.encode()).expect(OK).text
        for question in questions:
            self.answers[question], end = json.JSONDecoder().raw_decode(said)
            said = said[end:].lstrip()
        assert not said

    def ask(self, question, *flags):
        if not flags and question in self.answers:
            return self.answers[question]
        statement = f"SELECT row FROM t SCORE {question}"
        return self.database.query(statement, *flags, params=self.params)

    def passes(self, question, *flags):
        return passes(self.database, f"SELECT row FROM t SCORE {question}", self.params, *flags)


    def estimating(self, question):
        """Flags that make it estimate, which does not pay where a table is small; none where it cannot."""
        statement = f"SELECT row FROM t SCORE {question}"
        names = estimates(plan_names(self.database, statement, self.params))
        return ["--plan", names[0]] if names else []


def plan_names(database, statement, params):
    """The plans that a statement has, the cheapest first."""
    arguments = [f"--param={name}={file}" for name, file in params.items()]
    explained = database.json("explain", statement, *arguments).line
    return [explained["chosen"], *(plan["plan"] for plan in explained["rejected"])]


def scan_node(database, statement, params, *flags):
    """The scan operator of a statement's plan, as it ran."""
    arguments = ["explain", "--analyze", statement, *flags]
    for name, file in params.items():
        arguments += ["--param", f"{name}={file}"]
    node = database.json(*arguments).line["plan"]
    while node["operator"] != "scan":
        node = node["inputs"][0]
    return node


def passes(database, statement, params, *flags):
    """What the passes of a statement's scan were for; none where one pass did it all."""
    scan = scan_node(database, statement, params, *flags)
    return [node["detail"]["to"] for node in scan["inputs"] if node["operator"] == "pass"]


def estimates(names):
    """Of passes, those that estimate all rows or candidates."""
    return [name for name in names if name.startswith("estimate by")]


def ranking(answer):
    return [(line["query"], line["end"], line["rank"], line["row"], line["score"]) for line in answer]
