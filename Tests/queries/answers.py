"""The oracle's answers as the text that stands in the files.

    python3 Tests/queries/answers.py          writes them into all *.test files

An answer that is an error is written by people; here it is only seen to be one, at the same place.
"""

import re
import sys
from functools import cache

sys.dont_write_bytecode = True

import query_files  # noqa: E402
import query_oracle  # noqa: E402
import query_tables  # noqa: E402
import spec_examples  # noqa: E402
import statement_reader  # noqa: E402
from query_words import Refused  # noqa: E402


@cache
def tables():
    return query_tables.all_tables()


@cache
def vectors():
    return query_tables.query_files()


def expected(block):
    """The answer of a block, by the oracle."""
    try:
        statement = statement_reader.read(block.statement)
        question = query_oracle.question(tables(), vectors(), block.file.parameters, statement)
        rows = question.answer()
    except Refused as refusal:
        return refused(block, refusal)
    except KeyError as missing:  # a file that the oracle does not have
        return refused(block, Refused(f"no file {missing}"))
    # A gap that rounding could close would make the order a matter of luck.
    assert question.clarity > 2 * block.file.tolerance, (
        f"{block.file.path.name}, line {block.line}: scores differ by {question.clarity:.1e} only")
    if statement.explain:
        return "plan" if statement.explain == "plan" else f"plan\t{len(rows)} rows"
    if block.file.format == "csv":
        fixed = [*query_oracle.ALWAYS, *(["layer"] if statement.per_layer else [])]
        return query_files.csv_text(rows, fixed + [shown for shown, _ in question.columns])
    if block.file.format == "matrix":
        numbers = {row["id"]: n for n, row in enumerate(question.table.rows)}
        first = {}
        for row in question.passing:
            values = question.table.values(row)
            group = statement.clauses.get("GROUP")
            first.setdefault(values[group[1]] if group else values["id"], numbers[values["id"]])
        return query_files.matrix_text(rows, first.get, [shown for shown, _ in question.columns],
                                       question.layers if statement.per_layer else None)
    return query_files.rows_text(rows)


def refused(block, refusal):
    lines = block.answer.split("\n")
    assert re.fullmatch(r"error \d+", lines[0]), (
        f"{block.file.path.name}, line {block.line}: this is no answer, but an error: {refusal}")
    place = re.match(r"line (\d+), column (\d+): ", lines[1])
    if place and refusal.place is not None:
        before = block.statement[:refusal.place]
        told = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        assert told == tuple(map(int, place.groups())), (
            f"{block.file.path.name}, line {block.line}: {refusal}, at {told}, not {place.group()}")
    return block.answer


def main():
    query_files.save(spec_examples.file())
    for file in query_files.all_files():
        for block in file.blocks:
            try:
                block.answer = expected(block)
            except AssertionError as wrong:
                print(f"answers: {wrong}", file=sys.stderr)
        query_files.save(file)


if __name__ == "__main__":
    main()
