"""The rows of the demo's table `tokens`, in the order of their recorded gradients, as JSON Lines.

    python3 tools/demo/tokens.py > tokens.jsonl        needs Python alone

A row is a token of an answer: `id` is the example's, "/", and the token's place in the text, counted
from 0; `example`, `position` and `text` say the same. End marks have no rows.
"""

import json
from pathlib import Path

import corpus

ROWS = Path(__file__).resolve().parent / "data" / "rows.jsonl"


def of_row(row):
    """The tokens of a row's answer."""
    tokens = corpus.tokenise(row["text"])
    return [{"id": f"{row['id']}/{place}", "example": row["id"], "position": place,
             "text": tokens[place]}
            for place in range(tokens.index(corpus.ARROW) + 1, len(tokens))]


def main():
    for line in ROWS.read_text("utf-8").splitlines():
        for token in of_row(json.loads(line)):
            print(json.dumps(token, ensure_ascii=False))


if __name__ == "__main__":
    main()
