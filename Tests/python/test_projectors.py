"""Projectors: against the definition in Python, there and back, and what tables make of them."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import graddb

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "reader"))
import projectors as reference  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

SHAPES = {"b": (13,), "a.weight": (40, 7), "c": (3, 4, 5)}


def raw(rng, rows=5):
    return {name: rng.standard_normal((rows, *shape)).astype(np.float32)
            for name, shape in SHAPES.items()}


def check(projector, tensors, vectors):
    true = reference.project(projector.document, tensors)
    errors = np.linalg.norm(vectors - true, axis=1)
    assert vectors.shape == true.shape and (errors <= 1e-5 * np.linalg.norm(true, axis=1)).all()


@pytest.mark.parametrize("options", [
    {"kind": "sketch", "dims": 128, "seed": 7}, {"kind": "sketch", "dims": 64, "normalise": "tensor"},
    {"kind": "dense", "dims": 33, "seed": 1 << 63}, {"kind": "dense", "dims": 64, "match": "*.weight"},
    {"kind": "rapidgrad", "dims": 64, "rounds": 3, "normalise": "tensor"},
], ids=str)
def test_projections_are_those_of_the_definition(rng, options):
    projector = graddb.Projector(**options)
    tensors = raw(rng)
    vectors = projector.project(tensors)
    assert vectors.shape == (5, options["dims"]) and vectors.dtype == np.float32
    check(projector, tensors, vectors)
    for row in range(5):
        one = projector.project({name: tensor[row] for name, tensor in tensors.items()}, single=True)
        assert (one == vectors[row]).all()


def test_factored(rng):
    projector = graddb.Projector("factored", rank=(4, 6))
    tensors = {"m.input": rng.standard_normal((3, 9, 20)).astype(np.float32),
               "m.grad_output": rng.standard_normal((3, 9, 11)).astype(np.float32)}
    check(projector, tensors, projector.project(tensors))


def test_layouts_and_types(rng):
    projector = graddb.Projector("sketch,dims=64")
    wide = rng.standard_normal((10, 6, 16)).astype(np.float32)
    expected = projector.project({"t": wide[::2, 1:3].copy()})
    assert (projector.project({"t": wide[::2, 1:3]}) == expected).all()
    assert (projector.project({"t": wide[::2, 1:3].astype(">f4")}) == expected).all()
    out = np.empty((5, 64), np.float32)
    assert projector.project({"t": wide[::2, 1:3]}, out=out, threads=1) is out
    assert (out == expected).all()
    half = wide[::2, 1:3].astype(np.float16)
    assert (projector.project({"t": half}) == projector.project({"t": half.astype(np.float32)})).all()
    if torch is not None:
        assert (projector.project({"t": torch.tensor(wide)[::2, 1:3]}) == expected).all()
        brain = torch.tensor(wide)[::2, 1:3].bfloat16()
        assert (projector.project({"t": brain}) == projector.project({"t": brain.float()})).all()


def test_identity(rng):
    projector = graddb.Projector("sketch", dims=128, seed=7)
    assert projector.document == {"kind": "sketch", "version": 1, "dims": 128, "seed": "0x7",
                                  "normalise": "none"}
    assert projector == graddb.Projector("sketch,dims=128,seed=7") == graddb.Projector(
        projector.document) == graddb.Projector(projector.text)
    assert projector != graddb.Projector("sketch,dims=128,seed=8")
    before = projector.hash
    projector.project(raw(rng))
    assert projector.hash != before and len(projector.hash) == 16
    assert [tensor["name"] for tensor in projector.document["tensors"]] == sorted(SHAPES)
    again = pickle.loads(pickle.dumps(projector))
    assert again == projector and repr(again) == "<graddb.Projector sketch, 128 dims, seed 0x7>"
    with pytest.raises(graddb.BadInput, match="missing"):
        again.project({"b": np.ones((2, 13))})


@pytest.mark.parametrize("arguments, message", [
    (("sketch",), "dims"), (("sketch,dims=65",), "64"), (("other,dims=64",), "other"),
    (("{",), "JSON"), (({"kind": "sketch"},), "version"),
])
def test_projectors_that_cannot_be(arguments, message):
    with pytest.raises((graddb.QueryError, graddb.BadInput), match=message):
        graddb.Projector(*arguments)


def test_tensors_that_cannot_be(rng):
    projector = graddb.Projector("sketch,dims=64")
    for bad in ({}, {"a": np.float32(1)}, {"a": np.ones((2, 3)), "b": np.ones((3, 3))},
                {"a": np.full((2, 3), np.nan)}, {"a": np.full((2, 3), "x")},
                {"a": np.ones((2, 0))}):
        with pytest.raises(graddb.BadInput):
            projector.project(bad)
    with pytest.raises(graddb.BadInput, match="out"):
        projector.project({"a": np.ones((2, 3))}, out=np.empty((2, 64)))


def test_a_table_keeps_its_projector(db, rng):
    projector = graddb.Projector("sketch", dims=128, seed=7)
    table = db.create_table("t", layers={"grad": (128, "int8")}, projectors={"grad": projector})
    assert table.info()["layers"][0]["projector"]["seed"] == "0x7"
    vectors = projector.project(raw(rng))
    table.append(vectors, ids=range(5), checkpoint="a", projectors={"grad": projector})
    assert table.info()["layers"][0]["projector"] == projector.document
    assert table.query("SCORE cosine TO $q TOP 1", q=vectors[3],
                       projectors={"grad": projector}).ids[0] == 3
    other = graddb.Projector("sketch", dims=128, seed=8)
    theirs = other.project(raw(rng))
    for call in (
        lambda: table.append(theirs, ids=range(5), checkpoint="b", projectors={"grad": other}),
        lambda: table.query("SCORE cosine TO $q", q=theirs[3], projectors={"grad": other}),
    ):
        with pytest.raises(graddb.BadInput, match="projector"):
            call()
    with table.writer("b", projectors={"grad": projector}) as writer:
        writer.append(vectors, ids=range(5))
    with table.writer("c", projectors={"grad": other}) as writer:
        with pytest.raises(graddb.BadInput, match="projector"):
            writer.append(theirs, ids=range(5))
        writer.abandon()
    table.abandon("c")
    with pytest.raises(graddb.QueryError, match="dims"):
        db.create_table("u", layers={"grad": 64}, projectors={"grad": projector})
