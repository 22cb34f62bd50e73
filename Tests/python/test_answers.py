"""Answers of other shapes than the best rows: all of them, groups, layers, rows as queries."""

import numpy as np
import pytest


@pytest.fixture
def layered(db, rng):
    """60 rows of two layers; `layered.vectors` has them, `part` is NULL in every seventh row."""
    table = db.create_table("l", layers={"one": (12, "f32"), "two": (20, "f32")},
                            fields={"part": str, "size": float, "kept": bool})
    table.vectors = {name: rng.standard_normal((60, dims)).astype(np.float32)
                     for name, dims in [("one", 12), ("two", 20)]}
    table.part = [None if row % 7 == 0 else "abc"[row % 3] for row in range(60)]
    table.append(table.vectors, ids=[f"r{row}" for row in range(60)], checkpoint="c", weight=1.0,
                 fields={"part": table.part, "size": [row % 4 / 2 for row in range(60)],
                         "kept": [row % 5 == 0 for row in range(60)]})
    return table


def dots(table, queries):
    """[queries, rows] by layer."""
    return {name: queries[name].astype(np.float64) @ rows.astype(np.float64).T
            for name, rows in table.vectors.items()}


@pytest.fixture
def queries(rng):
    return {"one": rng.standard_normal((3, 12)).astype(np.float32),
            "two": rng.standard_normal((3, 20)).astype(np.float32)}


def test_all_rows(layered, queries):
    result = layered.query("SCORE dot TO $q ALL", q=queries)
    expected = sum(dots(layered, queries).values())
    assert len(result) == 180 and list(result["rank"][:60]) == list(range(1, 61))
    for query in range(3):
        order = np.argsort(-expected[query], kind="stable")
        part = slice(60 * query, 60 * query + 60)
        assert list(result.ids[part]) == [f"r{row}" for row in order]
        np.testing.assert_allclose(result.scores[part], expected[query][order], rtol=1e-9)


@pytest.mark.parametrize("reduction,reduce", [("MEAN", np.mean), ("SUM", np.sum), ("MAX", np.max)])
def test_reductions(layered, queries, reduction, reduce):
    result = layered.query(f"SCORE dot TO $q {reduction} TOP 10%", q=queries)
    expected = np.sort(reduce(sum(dots(layered, queries).values()), axis=0))[::-1]
    assert set(result["query"]) == {"$q"}
    np.testing.assert_allclose(result.scores, expected[:6], rtol=1e-9)


@pytest.mark.parametrize("column,type", [("part", str), ("size", float), ("kept", bool)])
def test_ids_of_groups_have_the_type_of_the_column(layered, queries, column, type):
    result = layered.query(f"SCORE dot TO $q SUM GROUP BY {column} WITH count ALL", q=queries)
    assert result.columns == ["query", "rank", "end", "id", "score", column, "rows"]
    values = [value for value in result.ids.tolist() if value is not None]
    assert all(isinstance(value, type) for value in values)
    assert result.scores.sum() == 60 and (result.scores == result["rows"]).all()
    if column == "part":
        assert sorted(values) == ["a", "b", "c"] and len(result) == 4
        counts = {line["id"]: line["rows"] for line in result}
        assert counts == {part: layered.part.count(part) for part in [None, "a", "b", "c"]}
    assert result.to_arrow().num_rows == len(result.to_pandas()) == len(result)


def test_layers(layered, queries):
    result = layered.query("SELECT part PER LAYER FROM l SCORE dot TO $q MEAN TOP 4", q=queries)
    assert result.columns == ["query", "rank", "end", "id", "score", "layer", "part"]
    assert list(result["layer"]) == ["one", "two"] * 4
    by_layer = dots(layered, queries)
    whole = sum(by_layer.values()).mean(axis=0)
    order = np.argsort(-whole, kind="stable")[:4]
    assert list(result.ids[::2]) == [f"r{row}" for row in order]
    for number, name in enumerate(["one", "two"]):
        np.testing.assert_allclose(
            result.scores[number::2], by_layer[name].mean(axis=0)[order], rtol=1e-9)


def test_rows_score_themselves_and_others(layered):
    result = layered.query("SCORE self TOP 3")
    squares = sum((rows.astype(np.float64) ** 2).sum(axis=1) for rows in layered.vectors.values())
    assert list(result["query"]) == ["self"] * 3
    np.testing.assert_allclose(result.scores, np.sort(squares)[::-1][:3], rtol=1e-9)
    result = layered.query("SCORE cosine TO ROWS WHERE kept MAX TOP 12")
    assert sorted(result.ids) == sorted(f"r{row}" for row in range(0, 60, 5))
    np.testing.assert_allclose(result.scores, 1, rtol=1e-9)
