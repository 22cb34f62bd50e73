"""Preconditioners of random tables: this reader's own algebra, and gradctl's scores by it."""

import gradctl
import numpy as np
import pytest
from random_table import CODECS, RandomTable

from database import Database
from scores import Queries, score

KINDS = ("dense", "diagonal", "woodbury")


class SmallTable(RandomTable):
    """With layers of few dims: a dense solution takes their cube."""

    def _dims(self, kind):
        return self.rng.choice([8, 9, 16, 63, 100, 257, 600])


@pytest.fixture(scope="module", params=range(1, 7), ids=lambda seed: f"seed{seed}")
def made(request, tmp_path_factory, need_gradctl):
    """A random table with a preconditioner of each kind, made before its last rows came."""
    rng = np.random.default_rng(500 + request.param)
    codecs = [CODECS[request.param - 1], CODECS[request.param % 6]]
    table = SmallTable(rng, tmp_path_factory.mktemp("preconditioned"), codecs)
    for kind in KINDS:
        options = ["--rank", 5] if kind == "woodbury" else []
        gradctl.run(table.db, "precondition", "t", "--name", kind, "--kind", kind, *options,
                    "--checkpoint", "a", "b")
    rows = {name: rng.standard_normal((2, dims)).astype(np.float32)
            for name, (dims, _) in table.layers.items()}
    ids = ["new", "newer"] if isinstance(table.ids[0], str) else [1000, 1001]
    gradctl.ingest(table.db, "t", table.folder, rows, "b", ids, [{}, {}], [])
    yield table
    table.remove()


@pytest.fixture(scope="module")
def database(made):
    with Database(made.db) as opened:
        yield opened


def test_matrices_are_of_the_rows_that_there_were(made, database):
    """Woodbury within what Frequent Directions may lose."""
    table = database.table("t")
    for kind in KINDS:
        opened = table.preconditioner(kind)
        before = database.table("t", opened.document["snapshot"])
        assert kind not in before.preconditioners
        for checkpoint in "ab":
            for layer in before.layers:
                _, rows = before.vectors(checkpoint, layer)
                rows = rows.astype(np.float64)
                mean = rows.T @ rows / len(rows)
                part = opened.part(layer["name"], checkpoint)
                damping = part.document["damping"]
                assert damping == pytest.approx(0.1 * np.trace(mean) / len(mean), rel=1e-12)
                wanted = mean + damping * np.eye(len(mean))
                if kind == "diagonal":
                    wanted = np.diag(np.diag(wanted))
                lost = 0
                if kind == "woodbury":
                    lost = 2 * (part.shift - damping)
                    assert lost <= np.trace(mean) / (part.document["rank"] + 1) * (1 + 1e-9)
                    lost = max(lost, 0)
                error = np.abs(wanted - part.matrix()).max()
                assert error <= lost + 1e-12 * np.abs(wanted).max()


def test_norms_are_those_of_the_rows(made, database):
    """Stored ones, and those of rows that came later."""
    table = database.table("t")
    for kind in KINDS:
        opened = table.preconditioner(kind)
        for checkpoint in "ab":
            for layer in table.layers:
                _, rows = table.vectors(checkpoint, layer)
                found = opened.norms(checkpoint, layer["name"])
                own = opened.part(layer["name"], checkpoint).squared_norms(rows)
                np.testing.assert_allclose(found, own, rtol=1e-7, atol=1e-9 * own.max())


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_gradctl(made, database, tmp_path, kind):
    """To rounding: a query may be quantised otherwise where H⁻¹q differs in its last bit."""
    vectors, table = made.queries(3), database.table("t")
    file = tmp_path / "q.safetensors"
    gradctl.write_safetensors(file, vectors)
    ids, opened = table.column("id"), table.preconditioner(kind)
    for checkpoint in "ab":
        queries = Queries(table, vectors, opened, checkpoint)
        for measure in ("dot", "cosine"):
            statement = (f"SELECT id, score FROM t SCORE {measure} TO $q "
                         f"ACROSS '{checkpoint}' PRECONDITION {kind} ALL")
            (said,) = gradctl.answers(made.db, [statement], {"q": file})
            numbers, scores = score(table, queries, checkpoint, measure)
            found = [{} for _ in range(3)]
            for row in said:
                found[int(row["query"][-2])][row["id"]] = row["score"]
            for query in range(3):
                wanted = {ids[number]: value for number, value in zip(numbers, scores[query])}
                assert wanted.keys() == found[query].keys()
                room = 1e-5 * max(map(abs, wanted.values()))
                assert all(abs(found[query][i] - wanted[i]) <= room for i in wanted)
