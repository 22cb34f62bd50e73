"""Ids and fields of every kind, there and back."""

import numpy as np
import pytest

import graddb

try:
    import torch
except ImportError:
    torch = None
pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")

VECTORS = np.eye(5, 8, dtype=np.float32)
TEXTS = ["a", "ünï", "", "日本語", "x\0y\nz"]


def table_with(db, fields=None):
    return db.create_table("t", layers={"grad": (8, "f32")}, fields=fields)


@pytest.mark.parametrize("ids", [
    [3, 1, 4, 15, -9], (3, 1, 4, 15, -9), range(5), [-(1 << 63), (1 << 63) - 1, 0, 1, 2],
    np.arange(5), np.arange(5, dtype=np.uint8), np.arange(10)[::2], iter([9, 8, 7, 6, 5]),
    pandas.Series([5, 4, 3, 2, 1]), pyarrow.array([1, 2, 3, 4, 5]), [np.int32(n) for n in range(5)],
    ["a", "b", "c", "d", "é"], np.array(["a", "bb", "c", "d", "e"]),
    np.array(["a", "bb", "c", "d", "e"], object), pandas.Series(list("abcde")),
    pyarrow.array(list("abcde")), ["x" * 1024, "\0", " ", "'", "\n"],
], ids=repr)
def test_ids(db, ids):
    kept = ids if hasattr(ids, "__len__") else (ids := list(ids))
    expected = [item.as_py() if hasattr(item, "as_py") else item for item in kept]
    table = table_with(db)
    table.append(VECTORS, ids=ids, checkpoint="a")
    result = table.query("SCORE dot TO $q TOP 5", q=np.arange(8, 0, -1, dtype=np.float32))
    assert result.ids.tolist() == expected
    assert result.ids.dtype == (object if isinstance(expected[0], str) else np.int64)
    assert (table.read(expected[::-1]) == VECTORS[::-1]).all()


@pytest.mark.skipif(torch is None, reason="torch is not installed")
def test_ids_from_torch(db):
    table = table_with(db)
    table.append(torch.tensor(VECTORS), ids=torch.arange(10, 15), checkpoint="a")
    assert table.query("SCORE dot TO ROW 12 TOP 1").ids.tolist() == [12]


def test_ids_are_counted_where_there_are_none(db):
    table = table_with(db)
    for _ in range(2):
        table.append(VECTORS, checkpoint="a")
    assert len(table) == 10
    assert (table.read(range(10)) == np.vstack([VECTORS, VECTORS])).all()


@pytest.mark.parametrize("ids, message", [
    ([1, 2, 3, 4], "4 values"), ([1, 2, 3, 4, 4], "4 already"), ([1, 2, 3, 4, "5"], "'5'"),
    ([1, 2, 3, 4, None], "NULL"), ([1, 2, 3, 4, 5.0], "5.0"), ([1, 2, 3, 4, True], "True"),
    (["a", "b", "c", "d", ""], "bytes"), (["a", "b", "c", "d", "x" * 1025], "1025"),
    (["a", "b", "c", "d", 5], "5"), ("abcde", "one value"), (7, "one value"),
    (np.zeros((5, 2), int), "shape"), ([1, 2, 3, 4, 1 << 63], "64 bits"),
    (np.array([0, 1, 2, 3, (1 << 64) - 1], np.uint64), "64 bits"),
    (["a", "b", "c", "d", "\ud800"], "Unicode"),
], ids=repr)
def test_ids_that_cannot_be_are_refused(db, ids, message):
    table = table_with(db)
    with pytest.raises(graddb.BadInput, match=message):
        table.append(VECTORS, ids=ids, checkpoint="a")
    assert len(table) == 0


@pytest.mark.parametrize("kind, values", [
    (str, TEXTS), (str, [None, "b", None, "", "e"]), (str, np.array(["a", "b", "c", "d", "e"])),
    (str, [None] * 5), (str, pandas.Series(["a", None, "c", "d", "e"])),
    (int, [1, -2, 3, 1 << 62, -(1 << 63)]), (int, [None, 1, 2, None, 3]), (int, np.arange(5)),
    (int, pyarrow.array([1, None, 3, 4, 5])), (int, np.arange(5, dtype=np.int16)),
    (float, [0.1, -1e300, 5e-324, 0.0, -0.0]), (float, [1, None, 2.5, 3, 4]),
    (float, np.linspace(0, 1, 5, dtype=np.float32)), (float, pandas.Series([1.5, None, 2, 3, 4])),
    (bool, [True, False, None, True, False]), (bool, np.arange(5) > 2),
], ids=repr)
def test_fields_come_back(db, kind, values):
    table = table_with(db, {"f": kind})
    table.append(VECTORS, ids=range(5), fields={"f": values}, checkpoint="a")
    result = table.query("SELECT f SCORE dot TO $q TOP 5",
                         q=np.arange(8, 0, -1, dtype=np.float32))
    given = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    expected = [None if value is None or value != value else kind(value) for value in given]
    assert result["f"].tolist() == expected
    assert [row["f"] for row in result] == expected
    assert result[0]["f"] == expected[0] and type(result[0]["f"]) in (kind, type(None))
    assert result.to_arrow()["f"].to_pylist() == expected
    assert result.to_arrow()["f"].type == {
        str: pyarrow.large_string(), int: pyarrow.int64(), float: pyarrow.float64(),
        bool: pyarrow.bool_()}[kind]
    frame = result.to_pandas()["f"]
    assert [None if pandas.isna(value) else value for value in frame] == expected
    nulls = table.query("SELECT f SCORE dot TO ROW 0 WHERE f IS NULL TOP 5")
    assert len(nulls) == expected.count(None)


@pytest.mark.parametrize("kind, values, message", [
    (str, ["a", "b", 3, "d", "e"], "row 2"), (str, ["a"], "1 values"), (str, "abcde", "one value"),
    (int, [1, 2, 3, 4, 0.5], "row 4"), (int, [True, 1, 2, 3, 4], "row 0"),
    (int, ["1", "2", "3", "4", "5"], "row 0"), (int, [1, 2, 3, 4, 1 << 64], "row 4"),
    (float, [1, 2, 3, float("nan"), 5], "row 3"), (float, [1, 2, 3, 4, float("inf")], "row 4"),
    (float, ["a", 2, 3, 4, 5], "row 0"), (bool, [1, 0, 1, 0, 1], "row 0"),
])
def test_fields_that_cannot_be_are_refused(db, kind, values, message):
    table = table_with(db, {"f": kind})
    with pytest.raises(graddb.BadInput, match=message):
        table.append(VECTORS, ids=range(5), fields={"f": values}, checkpoint="a")
    assert len(table) == 0


def test_unknown_fields_are_refused(db):
    table = table_with(db, {"f": str})
    with pytest.raises(graddb.BadInput, match="no field 'g'; it has f"):
        table.append(VECTORS, ids=range(5), fields={"g": list("abcde")}, checkpoint="a")
    with pytest.raises(graddb.BadInput, match="need ids"):
        table.append(VECTORS, fields={"f": list("abcde")}, checkpoint="a")


def test_a_later_append_may_leave_fields_out(db):
    table = table_with(db, {"f": str, "g": int})
    table.append(VECTORS, ids=range(5), fields={"f": list("abcde")}, checkpoint="a")
    table.append(VECTORS * 2, ids=range(5), checkpoint="b")
    with pytest.raises(graddb.BadInput, match="field"):
        table.append(VECTORS, ids=range(5), fields={"f": list("abcdX")}, checkpoint="c")
    result = table.query("SELECT f, g SCORE dot TO ROW 1 TOP 1")
    assert result[0]["f"] == "b" and result[0]["g"] is None and result.scores[0] == 4
