"""Reads a GradDB database without GradDB: python3 graddb_read.py DB [TABLE] (see README.md)."""

import argparse
import json
import sys

import numpy as np

from content import Content
from database import Database
from scores import Queries, best, score


def show_database(database):
    for key, document in sorted(database.catalog.items()):
        print(json.dumps({"key": key, "document": document}))


def show_table(table):
    """The schema and the totals of the newest snapshot, then its rows."""
    print(json.dumps({"table": table.name, "snapshot": table.snapshot, "rows": table.rows,
                      "deleted": table.next_row - table.rows, "hash": Content(table).hash,
                      "layers": table.layers, "fields": table.fields, "tags": table.tags,
                      "checkpoints": list(table.checkpoints)}))
    for number, row_id, fields in table.records():
        print(json.dumps({"row": number, "id": row_id} | fields))


def show_scores(table, layer, query_file, checkpoint):
    queries = Queries(table, {layer: np.load(query_file)})
    checkpoint = checkpoint or table.newest_checkpoint()
    numbers, scores = score(table, queries, checkpoint)
    ids = table.column("id")
    for query in range(queries.count):
        for rank, (number, value) in enumerate(best(numbers, scores[query], 10), 1):
            print(json.dumps({"query": query, "rank": rank, "id": ids[number], "score": value}))


def main():
    parser = argparse.ArgumentParser(description="Read a GradDB database without GradDB.")
    parser.add_argument("db", help="the database's directory")
    parser.add_argument("table", nargs="?", help="print this table's rows, not the catalog")
    parser.add_argument("--score", metavar="TABLE", help="the top 10 by dot instead")
    parser.add_argument("--layer", help="the layer to score (default: the first)")
    parser.add_argument("--query", metavar="FILE.npy", help="one query, or one per row")
    parser.add_argument("--checkpoint", help="default: the newest")
    options = parser.parse_args()
    if options.score and not options.query:
        parser.error("--score needs --query")
    with Database(options.db) as database:
        if options.score:
            table = database.table(options.score)
            layer = options.layer or table.layers[0]["name"]
            show_scores(table, layer, options.query, options.checkpoint)
        elif options.table:
            show_table(database.table(options.table))
        else:
            show_database(database)


if __name__ == "__main__":
    try:
        main()
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"graddb_read: {error}")
    except BrokenPipeError:
        pass
