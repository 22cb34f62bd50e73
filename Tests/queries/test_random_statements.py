"""Random statements, many to a run of gradctl, against the oracle."""

import random

import pytest

import answers
import query_files
import query_oracle
import random_statements
import statement_reader
from query_tables import graddb

PARAMETERS = {"q": "three.safetensors"}
BATCHES, STATEMENTS = 4 * graddb.SCALE, 60
TOLERANCE = 1e-6


def answered(chance):
    """(statement, answer) of as many as a batch has, with orders that rounding cannot change."""
    found = []
    while len(found) < STATEMENTS:
        text = random_statements.statement(chance)
        question = query_oracle.question(
            answers.tables(), answers.vectors(), PARAMETERS, statement_reader.read(text))
        rows = question.answer()
        # Rows that are queries have a largest cosine of 1, but for rounding: their order is anybody's.
        tied = question.statement.measure == "cosine" and "ROWS" in text and "MAX" in text
        if question.clarity > 2 * TOLERANCE and not tied:
            found.append((text, query_files.rows_text(rows)))
    return found


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_statements_answer_what_the_oracle_says(stored, batch):
    expected = answered(random.Random(batch))
    stored.need("small")
    stored.need("conditioned")
    script = stored.files.write("random.gql", ";\n".join(text for text, _ in expected))
    said = stored.database.run("query", "-f", script, "--param", f"q={PARAMETERS['q']}", "--format", "json",
                               cwd=stored.files.directory).expect(graddb.OK)
    found, wrong = query_files.documents(said.text), []
    assert len(found) == len(expected)
    for (text, rows), actual in zip(expected, found):
        differences = query_files.differences(rows, query_files.rows_text(actual), TOLERANCE)
        wrong += [f"{text}\n  {differences[0]}"] if differences else []
    assert not wrong, "\n".join([f"{len(wrong)} answers differ:", *wrong])
