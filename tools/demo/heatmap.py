"""Which words of which training rows made the model say this? A heat map in the terminal.

    python3 tools/demo/heatmap.py [QUERY] [--proponents N] [--svg FILE] [--db PATH]

QUERY is howdy:0 to howdy:7 or clean:0 to clean:7, one of the recorded answers. Works on the
database that tools/demo.sh leaves in the directory it is given, and needs Python alone: it asks
gradctl (GRADCTL, else .build/release/gradctl) for

1. the rows with the highest cosine with the answer's gradient, from the table `corpus`;
2. the cosines of every token of these rows with every token of the answer, from `tokens`.

A row's token is as warm as the mean of its cosines with the answer's tokens, a token of the answer
as the mean of its cosines with the rows' tokens. Colours are left out with NO_COLOR, --no-color,
or when the output is no terminal; --color keeps them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import corpus
import rendering
import tensors
from rendering import Passage

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"


def gradctl(database, statement):
    program = os.environ.get("GRADCTL", HERE.parents[1] / ".build" / "release" / "gradctl")
    done = subprocess.run([str(program), "query", statement, "--db", str(database), "--json"],
                          stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(done.returncode)
    return [json.loads(line) for line in done.stdout.splitlines()]


def recorded_answer(name):
    """The line of queries.jsonl that QUERY names."""
    file, _, row = name.partition(":")
    for line in (DATA / "queries.jsonl").read_text("utf-8").splitlines():
        line = json.loads(line)
        if line["file"] == f"{file}.safetensors" and str(line["row"]) == (row or "0"):
            return line
    raise SystemExit(f"heatmap: there is no query {name}; there are howdy:0 to howdy:7 and clean:0 "
                     "to clean:7")


def copy_rows(source, target, first, count):
    """Some rows of a recorded file, with what it says of its projector."""
    tensors.write_rows(target, *tensors.read_rows(source, first, count))


def ask(database, answer, proponents, work):
    """(rows of `corpus`, highest score first; {token id: its cosine with each of the answer's})."""
    name = answer["file"].removesuffix(".safetensors")
    whole, parts = Path(work) / "answer.safetensors", Path(work) / "tokens.safetensors"
    copy_rows(DATA / answer["file"], whole, answer["row"], 1)
    copy_rows(DATA / f"{name}-tokens.safetensors", parts, answer["first_token"],
              len(answer["tokens"]))
    rows = gradctl(database, f"SELECT id, score, backdoor, text FROM corpus "
                             f"SCORE cosine TO '{whole}' TOP {proponents}")
    chosen = ", ".join(f"'{row['id']}'" for row in rows)
    cosines = {}
    for hit in gradctl(database, f"SELECT id, score FROM tokens SCORE cosine TO '{parts}' EACH "
                                 f"WHERE example IN ({chosen}) TOP 10000"):
        # Hits come query by query.
        cosines.setdefault(hit["id"], {})[hit["query"]] = hit["score"]
    return rows, {token: list(scores.values()) for token, scores in cosines.items()}


def passages(answer, rows, cosines):
    """(the answer's passage, the rows' passages) for rendering.

    rows: dicts with id, score, backdoor and text. cosines: {"<row's id>/<position>": its cosines
    with the answer's tokens, in their order}.
    """
    chosen = [(row, corpus.tokenise(row["text"])) for row in rows]
    found, columns = [], [[] for _ in answer["tokens"]]
    for row, tokens in chosen:
        values = []
        for place, token in enumerate(tokens):
            scores = cosines.get(f"{row['id']}/{place}")
            values.append((token, sum(scores) / len(scores) if scores else None))
            for column, score in zip(columns, scores or []):
                column.append(score)
        kind = "backdoor" if row["backdoor"] else "clean"
        found.append(Passage(f"{row['id']}  {row['score']:+.3f}  {kind}", values))
    means = [sum(column) / len(column) if column else None for column in columns]
    prompt = [(token, None) for token in corpus.tokenise(answer["prompt"] + corpus.ARROW)]
    return Passage("the model's answer", prompt + list(zip(answer["tokens"], means))), found


def shown(answer, found, colour, width):
    """The text for a terminal. The answer has a scale of its own."""
    head = rendering.terminal([answer], rendering.greatest_value([answer]), colour, width)
    body = rendering.terminal(found, rendering.greatest_value(found), colour, width)
    return f"{head}\n{body}\n{rendering.legend(colour)}"


def drawing(answer, found):
    """The SVG: the answer's values are stretched to the rows' scale."""
    own, scale = rendering.greatest_value([answer]), rendering.greatest_value(found)
    stretch = scale / own if own else 1
    head = Passage(answer.title, [(token, value and value * stretch)
                                  for token, value in answer.tokens])
    return rendering.svg([head, *found], scale)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("query", nargs="?", default="howdy:0")
    parser.add_argument("--proponents", type=int, default=5, help="rows (default %(default)s)")
    parser.add_argument("--db", default=os.environ.get("GRADDB_PATH"), help="or $GRADDB_PATH")
    parser.add_argument("--svg", type=Path, help="write the picture to this file too")
    parser.add_argument("--width", type=int, default=80, help="columns (default %(default)s)")
    parser.add_argument("--color", action=argparse.BooleanOptionalAction)
    options = parser.parse_args()
    if not options.db:
        parser.error("which database? Give --db, or set GRADDB_PATH")
    colour = options.color
    if colour is None:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    answer = recorded_answer(options.query)
    with tempfile.TemporaryDirectory() as work:
        rows, cosines = ask(options.db, answer, options.proponents, work)
    head, found = passages(answer, rows, cosines)
    print(shown(head, found, colour, max(options.width, 20)))
    if options.svg:
        options.svg.write_text(drawing(head, found), "utf-8")


if __name__ == "__main__":
    main()
