"""A question about a table as plain data, its answer by this reader, and its statement.

    table        its name
    snapshot     a number, or None for the newest
    measure      "dot" or "cosine"
    query        {layer name: list of vectors}, or {"row": id} for a stored row
    mean         False: an answer for each query vector; True: one, for the mean over them
    checkpoints  [[name, weight]], in the order to add; one with weight None counts as it is
    end, limit   "top" or "bottom", how many
"""

from scores import Queries, best, combine, mean, score


def answer(database, question) -> list[list]:
    """[[id, score]] of each query, best first."""
    table = database.table(question["table"], question["snapshot"])
    ids, parts = table.column("id"), []
    for checkpoint, weight in question["checkpoints"]:
        if "row" in question["query"]:
            queries = Queries.of_row(table, checkpoint, question["query"]["row"])
        else:
            queries = Queries(table, question["query"])
        numbers, scores = score(table, queries, checkpoint, question["measure"])
        parts.append((weight, numbers, [mean(scores)] if question["mean"] else scores))
    answers = []
    for query in range(len(parts[0][2])):
        if len(parts) == 1 and parts[0][0] is None:
            numbers, scores = parts[0][1], parts[0][2][query]
        else:
            numbers, scores = combine([(w, rows, found[query]) for w, rows, found in parts])
        chosen = best(numbers, scores, question["limit"], question["end"])
        answers.append([[ids[number], value] for number, value in chosen])
    return answers


def statement(question) -> str:
    """The same question to gradctl, with the query vectors as $q."""
    table, query = question["table"], question["query"]
    at = "" if question["snapshot"] is None else f" AT {question['snapshot']}"
    if "row" in query:
        row = query["row"]
        source = f"ROW {row}" if isinstance(row, int) else f"ROW '{row}'"
        layers = ""
    else:
        source = "$q MEAN" if question["mean"] else "$q EACH"
        layers = " LAYERS " + ", ".join(f"'{name}'" for name in query)
    across = ", ".join(
        f"'{name}'" + ("" if weight is None else f" WEIGHT {weight!r}")
        for name, weight in question["checkpoints"]
    )
    return (f"SELECT id, score FROM {table}{at} SCORE {question['measure']} TO {source}{layers}"
            f" ACROSS {across} {question['end'].upper()} {question['limit']}")


def split_answer(rows) -> list[list]:
    """gradctl's result rows in the form of `answer`: a new query begins where rank is 1."""
    answers = []
    for row in rows:
        if row["rank"] == 1:
            answers.append([])
        answers[-1].append([row["id"], row["score"]])
    return answers
