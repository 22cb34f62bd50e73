"""The projectors in PyTorch are those of format-spec/projectors.md."""

import json
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from graddb.torch import BadProjector, Projection  # noqa: E402
from graddb.torch.errors import BadInput  # noqa: E402
from graddb.torch import native, sketch  # noqa: E402
from graddb.torch.projection import inverse_lengths  # noqa: E402
from graddb.torch.sketch import SketchTables  # noqa: E402
from graddb.torch.xxh3 import xxh3  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "format-spec", "vectors", "projectors")
CASES = sorted(name[:-5] for name in os.listdir(GOLDEN) if name.endswith(".json"))


def read(name):
    """A safetensors file: {tensor: f32 array}."""
    with open(os.path.join(GOLDEN, name), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)
    assert {tensor["dtype"] for tensor in header.values()} == {"F32"}
    return {key: torch.from_numpy(np.frombuffer(data[slice(*tensor["data_offsets"])], "<f4")
                                  .reshape(tensor["shape"]).copy())
            for key, tensor in header.items()}


def golden(name):
    with open(os.path.join(GOLDEN, f"{name}.json"), encoding="utf-8") as file:
        case = json.load(file)
    return case["projector"], read(case["input"]), read(case["output"])["grad"]


def assert_near(found, wanted, tolerance=1e-5):
    lengths = wanted.norm(dim=1)
    assert ((found - wanted).norm(dim=1) <= tolerance * lengths).all()


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("rapidgrad")])
def test_golden_files(name):
    document, inputs, wanted = golden(name)
    projection = Projection(document)
    assert_near(projection.project(inputs), wanted)
    assert_near(projection.project(inputs), wanted)  # with the tables that were kept
    if document["kind"] != "factored":
        shapes = {tensor: x.shape[1:] for tensor, x in inputs.items()}
        assert projection.described(shapes)["tensors"] == document["tensors"]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dims,elements", [
    (4096, 200_003), (64, 1000), (4096, 9000), (4096, 7), (65536, 200_000)])
@pytest.mark.parametrize("normalise", ["none", "tensor"])
def test_the_library_adds_what_pytorch_would(dims, elements, normalise, threads):
    torch.manual_seed(2)
    x = torch.randn(5, elements + 3)[:, 1:-2]  # rows further apart than they are long
    x[3] = 0
    document = {"kind": "sketch", "version": 1, "dims": dims, "seed": "0x51", "normalise": normalise}
    alone, handed = Projection(document, native=False), Projection(document)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_near(handed.project({"a.weight": x}), alone.project({"a.weight": x}))
        sums = torch.zeros(5, dims)
        assert native.add_sketch(0x51, dims, "a.weight", x, sums)
        assert not native.add_sketch(0x51, dims, "a.weight", x.t().contiguous().t(), sums)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("sketch")])
def test_both_ways_of_adding_sketch(name, gather):
    document, inputs, wanted = golden(name)
    tables = SketchTables(int(document["seed"], 16), document["dims"])
    found = torch.zeros_like(wanted)
    for tensor, x in inputs.items():
        part = torch.zeros_like(wanted)
        tables.add(tensor, x.flatten(1), part, gather=gather)
        found += part * inverse_lengths(x.flatten(1))[:, None] if document["normalise"] == "tensor" else part
    assert_near(found, wanted)


@pytest.mark.parametrize("gather", [False, True])
def test_pieces_and_forgotten_tables_change_nothing(gather, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(3, 5000)
    whole = torch.zeros(3, 128)
    SketchTables(9, 128).add("t", x, whole, gather=gather)
    monkeypatch.setattr(sketch, "TABLE_ELEMENTS", 300)
    monkeypatch.setattr(sketch, "TABLE_BYTES", 1000)
    monkeypatch.setattr(sketch, "PIECE_BYTES", 1000)
    pieces, tables = torch.zeros(3, 128), SketchTables(9, 128)
    tables.add("t", x, pieces, gather=gather)
    assert_near(pieces, whole)
    assert len(tables._tables) == 1


def test_gradients_that_are_not_owned_stay_as_they_are():
    x = torch.randn(2, 700)
    before = x.clone()
    for normalise in ("none", "tensor"):
        projection = Projection({"kind": "sketch", "version": 1, "dims": 512, "seed": "0x5",
                                 "normalise": normalise})
        projection.add("t", x, torch.zeros(2, 512))
        projection.add("t", x[:, :10], torch.zeros(2, 512))
        assert torch.equal(x, before)


@pytest.mark.parametrize("exponent", [-30, -15, 0, 15, 18])
def test_lengths_beyond_the_squares_of_single_precision(exponent):
    x = torch.randn(3, 100, dtype=torch.float64) * 10.0**exponent
    x[1] = 0
    found = inverse_lengths(x.float()).double() * x.float().double().norm(dim=1)
    assert torch.allclose(found, torch.tensor([1.0, 0, 1.0], dtype=torch.float64), rtol=1e-6)


@pytest.mark.parametrize("document", [
    {"kind": "sketch", "dims": 256, "normalise": "tensor"},
    {"kind": "sketch", "dims": 64, "normalise": "none"},
    {"kind": "dense", "dims": 16, "normalise": "tensor"},
], ids=str)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(document, value):
    projection = Projection({"version": 1, "seed": "0x0", **document})
    x = torch.randn(3, 300)
    x[1, 7] = value
    with pytest.raises(BadInput, match="row 1 .* not finite"):
        projection.project({"t": x})


def test_dot_products_are_kept_in_expectation():
    torch.manual_seed(0)
    x, y = torch.randn(2, 2000).double()
    y += x
    found = []
    for seed in range(400):
        projection = Projection({"kind": "sketch", "version": 1, "dims": 128, "seed": f"{seed:#x}",
                                 "normalise": "none"})
        px, py = projection.project({"t": torch.stack([x, y]).float()}).double()
        found.append(float(px @ py))
    found = torch.tensor(found)
    bound = float((x @ x) * (y @ y) + (x @ y) ** 2 - 2 * (x * x * y * y).sum()) / 128
    assert abs(found.mean() - x @ y) < 4 * (bound / 400) ** 0.5
    assert found.var() < 1.4 * bound


@pytest.mark.parametrize("change,complaint", [
    ({"kind": "rapidgrad"}, "can not be recorded"), ({"kind": "other"}, "can not be recorded"),
    ({"version": 2}, "version 2"), ({"dims": 100}, "multiple of 64"), ({"normalise": "row"}, "normalise"),
    ({"kind": "dense", "dims": 0}, "1 to 2"), ({"kind": "factored", "rank": [3, 5]}, "product"),
], ids=str)
def test_projectors_that_can_not_be_computed(change, complaint):
    document = {"kind": "sketch", "version": 1, "dims": 128, "seed": "0x0", "normalise": "none"}
    with pytest.raises(BadProjector, match=complaint):
        Projection({**document, **change})
    with pytest.raises(BadProjector, match="without seed"):
        Projection({key: value for key, value in document.items() if key != "seed"})


def test_names_are_hashed_like_everything_else():
    # XXH3-64 of the empty text, and of others of each length class, as the reference makes them.
    assert xxh3(b"") == 0x2D06800538D394C2
    with pytest.raises(ValueError, match="241 bytes"):
        xxh3(b"x" * 241)
