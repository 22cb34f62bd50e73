"""Raw gradients become the vectors that the specification defines, however they come."""

import json
import os
import struct
import threading

import numpy as np
import pytest

import graddb
from gradient_files import as_type, raw_safetensors, safetensors
from graddb import BAD_INPUT, NOT_FOUND, USAGE, run
from projection_oracle import assert_close, hash_of, projector, read_safetensors, specification

RNG = np.random.default_rng(11)
# Whole units, parts of one, many sheets, one element, none; and a name whose bytes sort otherwise.
SHAPES = {"a.weight": (40, 30), "b.bias": (7,), "b.weight": (64, 128), "é.w": (3, 5, 5), "z": (), "zz": (0,)}
ROWS = 5
GRADIENTS = {name: RNG.standard_normal((ROWS, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
MODULES = {"h.0.fc": (9, 6), "h.1.fc": (20, 33)}
POSITIONS = 4


def factors():
    tensors = {}
    for module, (d_in, d_out) in MODULES.items():
        tensors[f"{module}.input"] = RNG.standard_normal((ROWS, POSITIONS, d_in))
        tensors[f"{module}.grad_output"] = RNG.standard_normal((ROWS, POSITIONS, d_out))
    for values in tensors.values():
        values[2, 2:] = 0  # a shorter row
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def row_of(tensors, row):
    return {name: values[row] for name, values in tensors.items()}


def rows_of(tensors):
    return [row_of(tensors, row) for row in range(ROWS)]


def tensors_of(tensors, positions=False):
    shapes = {name: list(values.shape[1:]) for name, values in tensors.items()}
    if positions:
        shapes = {name: [0, *shape[1:]] for name, shape in shapes.items()}
    return [{"name": name, "shape": shapes[name]} for name in sorted(shapes, key=str.encode)]


def project(tmp_path, source, specification, *flags, **options):
    """The acknowledgement, the metadata and the arrays."""
    target = tmp_path / "out.safetensors"
    done = run("project", "--projector", specification, source, target, "--json", *flags, **options)
    return (done.expect().line, *read_safetensors(target))


PROJECTORS = {
    "sketch of few dims": projector("sketch", 64, "0x7"),
    "sketch": projector("sketch", 1024, "0xffffffffffffffff", "tensor"),
    "sketch of more dims than elements": projector("sketch", 65536, "0x1", "tensor"),
    "dense of one dim": projector("dense", 1, "0x3"),
    "dense": projector("dense", 100, "0x0", "tensor"),
    "rapidgrad": projector("rapidgrad", 96, "0x5", "tensor", rounds=20),
    "rapidgrad without rounds": projector("rapidgrad", 17, "0x5", rounds=0),
}


@pytest.mark.parametrize("kind", PROJECTORS)
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_vectors_are_what_the_definition_gives(gradctl, files, tmp_path, kind, dtype):
    wanted = PROJECTORS[kind]
    source = files.tensors("raw.safetensors", GRADIENTS, dtype)
    line, metadata, arrays = project(tmp_path, source, specification(wanted))
    wanted = dict(wanted, tensors=tensors_of(GRADIENTS))
    assert list(arrays) == ["grad"]
    assert_close(arrays["grad"], wanted, rows_of({n: as_type(v, dtype) for n, v in GRADIENTS.items()}))
    assert json.loads(metadata["graddb.projector.grad"]) == wanted
    assert (line["projector"], line["hash"]) == (wanted, hash_of(wanted))
    elements = sum(values.size for values in GRADIENTS.values())
    assert (line["rows"], line["elements"]) == (ROWS, elements)
    assert line["bytes"] == elements * (4 if dtype == "F32" else 2)
    assert line["output"] == str(tmp_path / "out.safetensors")
    layer = {"name": "grad", "dims": wanted["dims"], "projector": wanted, "hash": line["hash"]}
    assert line["layers"] == [layer]


@pytest.mark.parametrize("normalise", ["none", "tensor"])
def test_a_linear_layer_is_projected_from_both_sides(gradctl, files, tmp_path, normalise):
    tensors = factors()
    wanted = projector("factored", 6, "0x9", normalise, rank=[3, 2])
    source = files.tensors("raw.safetensors", tensors)
    _, metadata, arrays = project(tmp_path, source, f"factored,rank=3x2,seed=9,normalise={normalise}")
    wanted = dict(wanted, tensors=tensors_of(tensors, positions=True))
    assert_close(arrays["grad"], wanted, rows_of(tensors))
    assert json.loads(metadata["graddb.projector.grad"]) == wanted


@pytest.mark.parametrize("kind", ["sketch", "dense", "rapidgrad", "factored"])
def test_the_bits_depend_on_no_way_in(gradctl, files, tmp_path, kind):
    """Threads, kernels, one row at a time, a pipe, tensors in another order: the same bits."""
    words = {"sketch": "sketch,dims=1024", "dense": "dense,dims=70", "rapidgrad": "rapidgrad,dims=64",
             "factored": "factored,rank=4x8"}[kind] + ",seed=3,normalise=tensor"
    tensors = factors() if kind == "factored" else GRADIENTS
    source = files.tensors("raw.safetensors", tensors)
    _, _, arrays = project(tmp_path, source, words, "--threads", 1)
    expected = arrays["grad"].tobytes()

    def same(vectors):
        assert vectors.tobytes() == expected

    same(project(tmp_path, source, words, "--threads", 3)[2]["grad"])
    for variant in ["scalar", "avx2"]:
        env = graddb.environment(GRADDB_FORCE_KERNEL=variant)
        done = run("project", "--projector", words, source, tmp_path / "v.safetensors", env=env)
        if b"GRADDB_FORCE_KERNEL" not in done.stderr:
            done.expect()
            same(read_safetensors(tmp_path / "v.safetensors")[1]["grad"])
    same(project(tmp_path, "-", words, stdin=source.read_bytes())[2]["grad"])
    reverse = {name: tensors[name] for name in sorted(tensors, reverse=True)}
    same(project(tmp_path, "-", words, stdin=safetensors(reverse))[2]["grad"])
    singles = []
    for row in range(ROWS):
        single = files.tensors("one.safetensors", row_of(tensors, row))
        for threads in (1, 4):
            line, _, arrays = project(tmp_path, single, words, "--single", "--threads", threads)
            assert line["rows"] == 1
            singles += [arrays["grad"]] * (threads == 1)
    same(np.concatenate(singles))


def test_a_named_pipe_brings_a_gradient(gradctl, files, tmp_path):
    pipe = tmp_path / "raw.pipe"
    os.mkfifo(pipe)
    document = safetensors(GRADIENTS)
    writer = threading.Thread(target=lambda: pipe.write_bytes(document))
    writer.start()
    line, _, arrays = project(tmp_path, pipe, "sketch,dims=64")
    writer.join()
    assert_close(arrays["grad"], projector("sketch", 64), rows_of(GRADIENTS))
    assert 0 <= line["projection_seconds"] <= line["seconds"]


def test_long_tensors_are_read_in_pieces(gradctl, files, tmp_path):
    """More than a step, a group of sheets, and a piece of a pipe; of both precisions."""
    long = {"w": RNG.standard_normal((1, 2_500_003)).astype(np.float32)}
    for dtype, words in {"F32": "sketch,dims=65536", "BF16": "sketch,dims=16384,normalise=tensor"}.items():
        source = files.tensors("raw.safetensors", long, dtype)
        _, _, arrays = project(tmp_path, source, words)
        _, _, piped = project(tmp_path, "-", words, stdin=source.read_bytes())
        assert arrays["grad"].tobytes() == piped["grad"].tobytes()
        made = projector("sketch", arrays["grad"].shape[1], normalise="tensor" if dtype == "BF16" else "none")
        assert_close(arrays["grad"], made, [{"w": as_type(long["w"], dtype)[0]}])


def test_patterns_choose_tensors(gradctl, files, tmp_path):
    source = files.tensors("raw.safetensors", GRADIENTS)
    line, _, arrays = project(tmp_path, source, "sketch,dims=64,match=*.weight,match=?", "--layer", "some")
    chosen = {name: GRADIENTS[name] for name in ("a.weight", "b.weight", "z")}
    assert line["projector"]["match"] == ["*.weight", "?"]
    assert line["hash"] == hash_of(line["projector"])
    assert_close(arrays["some"], projector("sketch", 64), rows_of(chosen))


def test_a_zero_tensor_is_not_scaled(gradctl, files, tmp_path):
    tensors = {"a": np.zeros((2, 70), np.float32), "b": np.ones((2, 3), np.float32)}
    source = files.tensors("raw.safetensors", tensors)
    _, _, arrays = project(tmp_path, source, "sketch,dims=64,normalise=tensor")
    assert_close(arrays["grad"], projector("sketch", 64, normalise="tensor"), [row_of(tensors, 0)] * 2)


@pytest.mark.parametrize("words, what", [
    ("scetch,dims=64", "scetch"), ("sketch", "dims"), ("sketch,dims=65", "64"), ("sketch,dims=0", "dims"),
    ("sketch,dims=64,sead=1", "sead"), ("sketch,dims=64,seed=-1", "seed"),
    ("sketch,dims=64,dims=64", "twice"),
    ("dense,dims=1048577", "1048576"), ("sketch,dims=64,rounds=3", "rounds"), ("factored,dims=4", "rank"),
    ("factored,rank=2x2,dims=5", "rank"), ("factored,rank=2", "rank"),
    ("rapidgrad,dims=8,rounds=1001", "rounds"),
    ("sketch,dims=64,normalise=row", "normalise"), ("sketch,dims=64,match=", "match"),
])
def test_a_wrong_specification_is_a_usage_error(gradctl, files, tmp_path, words, what):
    source = files.tensors("raw.safetensors", GRADIENTS)
    done = run("project", "--projector", words, source, tmp_path / "o.safetensors", "--json").expect(USAGE)
    assert what in done.error["error"]


def broken(name, value, place):
    tensors = {n: v.copy() for n, v in GRADIENTS.items()}
    tensors[name][place] = value
    return safetensors(tensors)


def without_rows():
    return safetensors({"a": np.zeros((0, 4), np.float32)})


def of_other_rows():
    return safetensors(dict(GRADIENTS, q=np.zeros((ROWS + 1, 2), np.float32)))


BAD = {
    "a NaN": (lambda: broken("b.weight", np.nan, (3, 17, 5)), ["row 3", "b.weight", "[17, 5]", "NaN"]),
    "an infinity": (lambda: broken("a.weight", -np.inf, (1, 0, 2)), ["row 1", "a.weight", "[0, 2]", "-inf"]),
    "no rows": (without_rows, ["no rows"]),
    "other rows": (of_other_rows, ["q", "6", "5"]),
    "f64": (lambda: safetensors(GRADIENTS, "F64"), ["F64", "F32"]),
    "no axis of rows": (lambda: safetensors({"s": np.float32(3)}), ["s", "--single"]),
    "no tensors": (lambda: raw_safetensors({}, b""), ["no tensor"]),
    "too large": (lambda: safetensors({"a": np.full((1, 70), 3e38, np.float32)}),
                  ["not finite", "too large"]),
    "cut off": (lambda: safetensors(GRADIENTS)[:-100], ["copy it again"]),
    "nothing": (lambda: b"", ["truncated"]),
}


@pytest.mark.parametrize("words", ["sketch,dims=64", "sketch,dims=64,normalise=tensor", "rapidgrad,dims=8"])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_leaves_nothing(gradctl, files, tmp_path, case, words):
    if case == "too large" and words != "sketch,dims=64":
        pytest.skip("only sums of this kind are certain to overflow")
    make, said = BAD[case]
    source, target = files.write("raw.safetensors", make()), tmp_path / "o.safetensors"
    target.write_bytes(b"old")
    done = run("project", "--projector", words, source, target, "--json").expect(BAD_INPUT)
    for part in [str(source), *said]:
        assert part in done.error["error"], done.error
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["o.safetensors", "raw.safetensors"]


@pytest.mark.parametrize("cut", [0, 5, 8, 100, -1])
def test_a_pipe_that_ends_early_is_refused(gradctl, files, tmp_path, cut):
    document = safetensors(GRADIENTS)[:cut]
    done = run("project", "--projector", "sketch,dims=64", "-", tmp_path / "o.safetensors", "--json",
               stdin=document).expect(BAD_INPUT)
    assert "standard input" in done.error["error"] and not (tmp_path / "o.safetensors").exists()


def test_a_pipe_of_nonsense_is_refused(gradctl, tmp_path):
    for text in [b"hello, world, this is no safetensors", struct.pack("<Q", 4) + b"nope" + bytes(50)]:
        run("project", "--projector", "sketch,dims=64", "-", tmp_path / "o", stdin=text).expect(BAD_INPUT)


@pytest.mark.parametrize("change, said", [
    ({"a.input": None}, ["a.grad_output", "a.input"]),
    ({"a.weight": np.ones((2, 3), np.float32)}, ["a.weight", "match"]),
    ({"a.input": np.ones((2, 5), np.float32)}, ["a.input", "positions"]),
    ({"a.input": np.ones((2, 4, 5), np.float32)}, ["positions"]),
])
def test_tensors_that_are_no_pairs_are_refused(gradctl, files, tmp_path, change, said):
    tensors = {"a.input": np.ones((2, 3, 5), np.float32), "a.grad_output": np.ones((2, 3, 4), np.float32)}
    tensors.update(change)
    source = files.tensors("raw.safetensors", {n: v for n, v in tensors.items() if v is not None})
    done = run("project", "--projector", "factored,rank=2x2", source, tmp_path / "o", "--json")
    for part in said:
        assert part in done.expect(BAD_INPUT).error["error"]


def test_arguments_that_contradict_each_other(gradctl, files, tmp_path):
    source = files.tensors("raw.safetensors", GRADIENTS)
    run("project", source, tmp_path / "o").expect(USAGE)
    run("project", "--projector", "sketch,dims=64", "--table", "t", source, tmp_path / "o").expect(USAGE)
    run("project", "--table", "t", "--layer", "x", source, tmp_path / "o").expect(USAGE)
    run("project", "--table", "t", "--db", tmp_path / "none", source, tmp_path / "o").expect(NOT_FOUND)
    run("project", "--projector", "sketch,dims=64", tmp_path / "none", tmp_path / "o").expect(BAD_INPUT)
    run("project", "--projector", "sketch,dims=64", source, tmp_path / "no" / "o").expect(graddb.IO)
