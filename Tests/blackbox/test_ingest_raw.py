"""A table knows what made its vectors: raw gradients on the way in, and files that say so."""

import json

import numpy as np
import pytest

from gradient_files import frame, safetensors
from graddb import BAD_INPUT, USAGE
from projection_oracle import assert_close, hash_of, projector, read_safetensors

RNG = np.random.default_rng(5)
SHAPES = {"mlp.weight": (24, 16), "mlp.bias": (24,), "attn.weight": (16, 16), "ids": (3,)}
LAYERS = {"mlp": projector("sketch", 192, "0x7", "tensor", match=["mlp.*"]),
          "attn": projector("dense", 64, "0x8", match=["attn.*"])}
SPECIFICATIONS = [
    "mlp=sketch,seed=7,normalise=tensor,match=mlp.*", "attn=dense,dims=64,seed=0x8,match=attn.*"]


def gradients(rows, **changes):
    tensors = {name: RNG.standard_normal((rows, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    tensors.update(changes)
    return {name: values for name, values in tensors.items() if values is not None}


def tensors_of(prefix):
    return [{"name": n, "shape": list(SHAPES[n])} for n in sorted(SHAPES) if n.startswith(prefix)]


def chosen(tensors, prefix):
    names = [name for name in tensors if name.startswith(prefix)]
    count = len(tensors[names[0]])
    return [{name: tensors[name][row] for name in names} for row in range(count)]


@pytest.fixture
def table(database):
    database.create("t", ["mlp:192:f32", "attn:64:f32"])
    database.json("create", "p", "--layer", "mlp:192:f32", "--layer", "attn:64:f32", "--projector",
                  SPECIFICATIONS[0], "--projector", SPECIFICATIONS[1])
    return database


def stored(database, files, layer, dims, table="p"):
    """[row, dims], read back through unit queries."""
    axes = files.tensors("axes.safetensors", {layer: np.eye(dims, dtype=np.float32)})
    statement = f"SELECT row FROM {table} SCORE dot TO $axes LAYERS '{layer}' TOP 1000"
    lines = database.query(statement, params={"axes": axes})
    vectors = np.zeros((len(lines) // dims, dims))
    for line in lines:
        axis = int(line["query"].removeprefix("$axes[").removesuffix("]"))
        vectors[line["row"], axis] = line["score"]
    return vectors


def layer_of(database, table="p", number=0):
    return database.info(table)["layers"][number]


def test_raw_gradients_are_projected_on_the_way_in(table, files):
    tensors = gradients(7)
    half = {name: values[:4] for name, values in tensors.items()}
    rest = {name: values[4:] for name, values in tensors.items()}
    first, second = files.tensors("1.safetensors", half), files.tensors("2.safetensors", rest)
    assert "projector" not in layer_of(table, "t")
    assert layer_of(table)["projector"] == LAYERS["mlp"]
    done = table.run("ingest", "p", first, "--raw", "--checkpoint", "c", "--json").expect()
    raw_bytes = sum(values.nbytes for name, values in half.items() if name != "ids")
    assert done.line["rows"] == 4 and done.line["input_bytes"] == raw_bytes
    assert "ids" in done.stderr.decode() and "mlp.bias" not in done.stderr.decode()
    table.ingest("p", second, checkpoint="c", raw=True)
    for number, (layer, made) in enumerate(LAYERS.items()):
        known = dict(made, tensors=tensors_of(layer))
        assert layer_of(table, number=number)["projector"] == known
        assert layer_of(table, number=number)["projector_hash"] == hash_of(known)
        assert_close(stored(table, files, layer, made["dims"]), known, chosen(tensors, layer))
    table.check()


def test_a_stream_of_raw_documents(table, files):
    tensors = gradients(3)
    documents = b"".join(
        frame(safetensors({n: v[row:row + 1] for n, v in tensors.items()})) for row in range(3))
    assert table.ingest("p", "-", checkpoint="c", raw=True, stdin=documents)["rows"] == 3
    assert_close(stored(table, files, "attn", 64), LAYERS["attn"], chosen(tensors, "attn"))


def test_many_threads_store_the_same_bits(table, files):
    source = files.tensors("raw.safetensors", gradients(40))
    table.json("create", "q", "--layer", "mlp:192:f32", "--layer", "attn:64:f32", "--projector",
               SPECIFICATIONS[0], "--projector", SPECIFICATIONS[1])
    for name, threads in (("p", 1), ("q", 5)):
        table.json("ingest", name, source, "--raw", "--checkpoint", "c", "--threads", threads)
    one, many = (stored(table, files, "mlp", 192, name).tobytes() for name in "pq")
    assert one == many


def test_a_table_projects_queries_as_it_projected_rows(table, files, tmp_path):
    tensors = gradients(4)
    source, query = files.tensors("raw.safetensors", tensors), tmp_path / "query.safetensors"
    table.ingest("p", source, checkpoint="c", raw=True)
    line = table.json("project", "--table", "p", source, query).line
    assert [layer["name"] for layer in line["layers"]] == ["mlp", "attn"] and "projector" not in line
    metadata, arrays = read_safetensors(query)
    for layer, made in LAYERS.items():
        known = dict(made, tensors=tensors_of(layer))
        assert json.loads(metadata[f"graddb.projector.{layer}"]) == known
        assert_close(arrays[layer], known, chosen(tensors, layer))
    done = table.query_result(f"SELECT id FROM p SCORE cosine TO '{query}' TOP 1")
    assert [line["id"] for line in done.lines] == [0, 1, 2, 3] and done.stderr == b""


def test_raw_gradients_are_no_query(table, files):
    source = files.tensors("raw.safetensors", gradients(2))
    table.ingest("p", source, checkpoint="c", raw=True)
    done = table.run("query", f"SELECT id FROM p SCORE dot TO '{source}' TOP 1", "--json")
    error = done.expect(BAD_INPUT).error["error"]
    assert "gradctl project --table p" in error and "raw" in error and str(source) in error


REFUSALS = {
    "missing": (gradients(1, **{"mlp.bias": None}), ["mlp.bias", "missing", "'mlp'"]),
    "of another shape": (gradients(1, **{"mlp.bias": np.ones((1, 25), np.float32)}),
                         ["mlp.bias", "[25]", "[24]"]),
    "new": (gradients(1, **{"mlp.gate": np.ones((1, 2), np.float32)}), ["mlp.gate", "new"]),
    "of other rows": (gradients(1, **{"mlp.bias": np.ones((2, 24), np.float32)}), ["mlp.bias", "rows"]),
    "not finite": (gradients(1, **{"attn.weight": np.full((1, 16, 16), np.nan, np.float32)}),
                   ["attn.weight", "[0, 0]", "NaN", "row 0"]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_fit_the_first_rows_is_refused(table, files, case):
    table.ingest("p", files.tensors("1.safetensors", gradients(3)), checkpoint="c", raw=True)
    before = table.state("p")
    source = files.tensors("2.safetensors", REFUSALS[case][0])
    done = table.run("ingest", "p", source, "--raw", "--checkpoint", "c", "--json").expect(BAD_INPUT)
    for said in [str(source), *REFUSALS[case][1]]:
        assert said in done.error["error"], done.error
    assert table.state("p") == before


def test_the_first_file_of_an_ingest_binds_the_next(table, files):
    first = files.tensors("1.safetensors", gradients(1))
    second = files.tensors("2.safetensors", gradients(1, **{"mlp.bias": np.ones((1, 25), np.float32)}))
    done = table.run("ingest", "p", first, second, "--raw", "--checkpoint", "c", "--json").expect(BAD_INPUT)
    assert "2.safetensors" in done.error["error"] and "[25]" in done.error["error"]
    assert "tensors" not in layer_of(table)["projector"]


def test_wrong_types_and_layers_without_tensors(table, files):
    wrong = files.write("wrong.safetensors", safetensors(gradients(1), "I32"))
    none = files.tensors("none.safetensors", gradients(1, **{"attn.weight": None}))
    for source, said in ((wrong, "I32"), (none, "attn")):
        done = table.run("ingest", "p", source, "--raw", "--checkpoint", "c", "--json").expect(BAD_INPUT)
        assert said in done.error["error"]


def test_a_table_without_projectors_takes_no_raw_gradients(table, files):
    source = files.tensors("raw.safetensors", gradients(1))
    done = table.run("ingest", "t", source, "--raw", "--checkpoint", "c", "--json").expect(USAGE)
    assert "--projector" in done.error["error"]
    table.run("project", "--table", "t", source, files.directory / "o").expect(USAGE)


@pytest.mark.parametrize("words, said", [
    (["--layer", "a:64", "--projector", "sketch,dims=128"], "128"),
    (["--layer", "a:65", "--projector", "sketch"], "64"),
    (["--layer", "a:64", "--layer", "b:64", "--projector", "sketch"], "a=sketch"),
    (["--layer", "a:64", "--projector", "b=sketch"], "'b'"),
    (["--layer", "a:64", "--projector", "sketch", "--projector", "a=sketch"], "two projectors"),
    (["--layer", "a:64", "--projector", "a=sketch,color=red"], "color"),
])
def test_a_projector_that_does_not_fit_is_a_usage_error(database, words, said):
    done = database.run("create", "t", *words, "--json").expect(USAGE)
    assert said in done.error["error"]


# ---- files that say which projector made them ----

MADE = projector("sketch", 64, "0x7")


def saying(files, name, made, rows=2):
    values = RNG.standard_normal((rows, 64)).astype(np.float32)
    text = made if isinstance(made, str) else json.dumps(made)
    metadata = {"graddb.projector.grad": text} if made else {"format": "pt"}
    return files.write(name, safetensors({"grad": values}, metadata=metadata))


@pytest.fixture
def plain(database):
    database.create("t", ["grad:64:f32"])
    return database


def test_an_empty_table_takes_over_what_the_first_file_says(plain, files):
    made = dict(MADE, match=["w*"])
    plain.ingest("t", saying(files, "a.safetensors", made), checkpoint="c")
    assert layer_of(plain, "t")["projector"] == made
    known = dict(MADE, tensors=[{"name": "w", "shape": [3, 4]}])
    plain.ingest("t", saying(files, "b.safetensors", known), checkpoint="c")
    assert layer_of(plain, "t")["projector"] == dict(known, match=["w*"])
    assert layer_of(plain, "t")["projector_hash"] == hash_of(known)
    # Known tensors bind, and a file that does not know them still fits.
    plain.ingest("t", saying(files, "c.safetensors", MADE), checkpoint="c")
    other = dict(MADE, tensors=[{"name": "w", "shape": [4, 3]}])
    done = plain.run("ingest", "t", saying(files, "d.safetensors", other), "--checkpoint", "c", "--json")
    assert '"w" has shape [4, 3]' in done.expect(BAD_INPUT).error["error"]


DIFFERENT = {
    "kind": projector("dense", 64, "0x7"),
    "seed": projector("sketch", 64, "0x8"),
    "normalise": projector("sketch", 64, "0x7", "tensor"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_another_projector_is_refused(plain, files, what):
    plain.ingest("t", saying(files, "a.safetensors", MADE), checkpoint="c")
    before = plain.state("t")
    source = saying(files, "b.safetensors", DIFFERENT[what])
    for arguments in (["ingest", "t", source, "--checkpoint", "c"],
                      ["query", f"SELECT id FROM t SCORE dot TO '{source}' TOP 1"]):
        error = plain.run(*arguments, "--json").expect(BAD_INPUT).error["error"]
        for said in [str(source), "'grad'", hash_of(MADE), hash_of(DIFFERENT[what]), "64 dims",
                     DIFFERENT[what]["seed"], DIFFERENT[what]["kind"], "gradctl project --table t"]:
            assert said in error, error
    assert plain.state("t") == before


def test_who_says_nothing_is_taken_with_a_note(plain, files):
    plain.ingest("t", saying(files, "a.safetensors", MADE), checkpoint="c")
    silent = saying(files, "b.safetensors", None)
    done = plain.run("ingest", "t", silent, "--checkpoint", "c", "--json").expect()
    assert "note" in done.stderr.decode() and "b.safetensors" in done.stderr.decode()
    query = f"SELECT id FROM t SCORE dot TO '{silent}' TOP 1"
    assert b"note" in plain.run("query", query).expect().stderr
    assert plain.run("query", query, "--quiet").expect().stderr == b""


def test_a_table_with_rows_takes_no_projector_over(plain, files):
    plain.ingest("t", saying(files, "a.safetensors", None), checkpoint="c")
    source = saying(files, "b.safetensors", MADE)
    done = plain.run("ingest", "t", source, "--checkpoint", "c", "--json").expect()
    assert "note" in done.stderr.decode() and "projector" not in layer_of(plain, "t")


def test_an_ingest_that_fails_takes_nothing_over(plain, files):
    source, other = saying(files, "a.safetensors", MADE), saying(files, "b.safetensors", DIFFERENT["seed"])
    plain.run("ingest", "t", source, other, "--checkpoint", "c").expect(BAD_INPUT)
    assert "projector" not in layer_of(plain, "t")


@pytest.mark.parametrize("text", [
    "no JSON", "[]", "{}", "null", '"x"', "", "\0", json.dumps(dict(MADE, version=2)),
    json.dumps(dict(MADE, seed="7")), json.dumps(dict(MADE, seed="0x07")),
    json.dumps(dict(MADE, seed="0X7")), json.dumps(dict(MADE, kind="magic")),
    json.dumps(dict(MADE, dims=63)), json.dumps(dict(MADE, rounds=3)), json.dumps(dict(MADE, match=[])),
    json.dumps(dict(MADE, tensors=[])), json.dumps(dict(MADE, tensors=[{"name": "a", "shape": [-1]}])),
    json.dumps(dict(MADE, tensors=[{"name": n, "shape": [1]} for n in "ba"])),
    json.dumps(dict(MADE, tensors=[{"name": "a", "shape": [1 << 40, 1 << 40]}])),
])
def test_a_malformed_projector_is_bad_input(plain, files, text):
    values = np.ones((1, 64), np.float32)
    document = safetensors({"grad": values}, metadata={"graddb.projector.grad": text})
    source = files.write("a.safetensors", document)
    done = plain.run("ingest", "t", source, "--checkpoint", "c", "--json").expect(BAD_INPUT)
    assert str(source) in done.error["error"] and '"grad"' in done.error["error"]


def test_dims_of_a_projector_are_the_layers(plain, files):
    made = projector("sketch", 128, "0x7")
    done = plain.run("ingest", "t", saying(files, "a.safetensors", made), "--checkpoint", "c", "--json")
    assert "128" in done.expect(BAD_INPUT).error["error"]
