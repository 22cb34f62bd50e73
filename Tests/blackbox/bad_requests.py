"""Requests that must be refused: unknown names, wrong flags, and queries by unusable vectors."""

import numpy as np

from bad_case import DIMS, GOOD, Case, with_value
from graddb import BAD_INPUT, FAILED, NOT_FOUND, USAGE, create_arguments

TOP = "SCORE dot TO ROW 'known-1' TOP 3"


def fixed(name, status, words, *arguments, **options):
    """A case whose arguments need no files."""
    return Case(name, status, list(words), lambda space: list(arguments), **options)


def statement(name, status, words, text):
    return fixed(name, status, words, "query", text)


def created(name, words, layers=("grad:8",), fields=(), **options):
    arguments = create_arguments("fresh", layers, fields, **options)
    return fixed(f"create: {name}", USAGE, words, "create", *arguments)


UNKNOWN_NAMES = [
    fixed("info of an unknown table", NOT_FOUND, ["nope"], "info", "nope"),
    fixed("snapshots of an unknown table", NOT_FOUND, ["nope"], "snapshots", "nope"),
    fixed("tag in an unknown table", NOT_FOUND, ["nope"], "tag", "nope", "x"),
    statement("query of an unknown table", NOT_FOUND, ["nope"], f"SELECT id FROM nope {TOP}"),
    fixed("ingest into an unknown table", NOT_FOUND, ["nope"], "ingest", "nope",
          "known.safetensors", "--checkpoint", "c2"),
    statement("unknown field in SELECT", USAGE, ["nope"], f"SELECT nope FROM t {TOP}"),
    statement("unknown field in WHERE", USAGE, ["nope"],
              "SELECT id FROM t SCORE dot TO ROW 'known-1' WHERE nope = 1 TOP 3"),
    statement("unknown checkpoint", USAGE, ["nope"],
              "SELECT id FROM t SCORE dot TO ROW 'known-1' ACROSS 'nope' TOP 3"),
    statement("unknown tag", USAGE, ["nope"], f"SELECT id FROM t AT 'nope' {TOP}"),
    statement("unknown snapshot", USAGE, ["999"], f"SELECT id FROM t AT 999 {TOP}"),
    statement("unknown row", USAGE, ["nope"], "SELECT id FROM t SCORE dot TO ROW 'nope' TOP 3"),
    statement("unbound parameter", USAGE, ["nope"], "SELECT id FROM t SCORE dot TO $nope TOP 3"),
    fixed("tag for an unknown snapshot", USAGE, ["999"], "tag", "t", "x", "999"),
    fixed("deleting an unknown tag", USAGE, ["nope"], "tag", "t", "nope", "--delete"),
]  # fmt: skip

CREATE = [
    created("unknown codec", ["int3"], ["grad:8:int3"]),
    created("unknown field type", ["date"], fields=["day:date"]),
    created("int4 of one dim", ["1", "int4"], ["g:1:int4"]),
    created("bit of seven dims", ["7", "bit"], ["g:7:bit"]),
    created("int8 and bit of seven dims", ["7", "bit"], ["g:7:int8+bit"]),
    created("a codec twice", ["grad", "int8", "twice"], ["grad:8:int8+bit+int8"]),
    created("an unknown codec beside a known one", ["int3"], ["grad:8:int8+int3"]),
    created("no codec behind the plus", ["codec"], ["grad:8:int8+"]),
    created("no layer", [], []),
    created("no dims", ["grad"], ["grad"]),
    created("dims of zero", ["0"], ["grad:0"]),
    created("negative dims", ["-8"], ["grad:-8"]),
    created("dims in words", ["eight"], ["grad:eight"]),
    created("dims beyond 64 bits", ["18446744073709551624"], ["grad:18446744073709551624"]),
    created("too many parts", ["grad"], ["grad:8:f32:f32"]),
    created("a layer twice", ["grad"], ["grad:8", "grad:9"]),
    created("a field twice", ["day"], fields=["day:int", "day:string"]),
    created("no field type", ["day"], fields=["day"]),
    created("bad layer name", ["9lives"], ["9lives:8"]),
    created("layer name of 129 bytes", ["n{50}"], ["n" * 129 + ":8"]),
    created("bad field name", ["day of"], fields=["day of week:int"]),
    created("row group of zero", ["0"], row_group=0),
    created("negative row group", ["row-group"], row_group=-1),
    created("unknown unit", ["sentence"], unit="sentence"),
    *[
        created(f"field called {name}", [name], fields=[f"{name}:int"])
        for name in "id row score rank checkpoint query end layer token".split()
    ],
    fixed("create: bad table name", USAGE, ["bad name"], "create", "bad name", "--layer", "g:8"),
    fixed("create: a table that exists", FAILED, ["t"], "create", "t", "--layer", "grad:8"),
]


def ingest(name, words, *flags, checkpoint=("--checkpoint", "c2")):
    def arguments(space):
        return ["ingest", "counted", space.good_file(), *checkpoint, *flags]

    return Case(f"ingest: {name}", USAGE, list(words), arguments)


FLAGS = [
    fixed("unknown command", USAGE, [], "frobnicate"),
    fixed("unknown flag", USAGE, ["--frob"], "info", "--frob"),
    fixed("query without a statement", USAGE, [], "query"),
    fixed("query: unknown format", USAGE, ["yaml"], "query", f"SELECT id FROM t {TOP}",
          "--format", "yaml"),
    fixed("query: parameter without a file", USAGE, ["q"], "query", f"SELECT id FROM t {TOP}",
          "--param", "q"),
    fixed("threads of zero", USAGE, ["threads"], "query", f"SELECT id FROM t {TOP}",
          "--threads", "0"),
    fixed("negative threads", USAGE, ["threads"], "query", f"SELECT id FROM t {TOP}",
          "--threads=-2"),
    fixed("threads in words", USAGE, ["threads"], "query", f"SELECT id FROM t {TOP}",
          "--threads", "two"),
    fixed("tag without a name", USAGE, [], "tag", "t"),
    fixed("tag named like a number", USAGE, ["12"], "tag", "t", "12"),
    fixed("tag named like a time", USAGE, ["2026-01-31"], "tag", "t", "2026-01-31"),
    fixed("snapshot in words", USAGE, ["two"], "tag", "t", "x", "two"),
    fixed("no database given", USAGE, ["--db"], "info", flags=[]),
    ingest("no checkpoint", ["checkpoint"], checkpoint=()),
    ingest("step in words", ["step"], "--step", "many"),
    ingest("weight in words", ["weight"], "--weight", "heavy"),
    ingest("weight that is not a number", ["weight"], "--weight", "nan"),
    ingest("tag named like a number", ["12"], "--tag", "12"),
    fixed("ingest: no input", USAGE, [], "ingest", "t", "--checkpoint", "c2"),
]  # fmt: skip


def query_by(name, status, words, write, metric="dot"):
    """Table `t` is asked by a file that `write` makes; it returns the file's name."""

    def arguments(space):
        text = f"SELECT id FROM t SCORE {metric} TO $q TOP 3"
        return ["query", text, "--param", f"q={write(space)}"]

    return Case(f"query by {name}", status, list(words), arguments)


def query_file(name, words, values, metric="dot", dtype="F32"):
    def write(space):
        return space.files.grad("asked.safetensors", values, dtype).name

    # The message names what was asked: the file, or the parameter that stands for it.
    return query_by(name, BAD_INPUT, [r"asked\.safetensors|\$q", *words], write, metric)


def cut_query(space):
    whole = with_value(1, 0)
    return space.files.write("asked.safetensors", whole[:-3]).name


def other_layer_query(space):
    return space.files.tensors("asked.safetensors", {"other": GOOD[:1]}).name


def zero_in_every_chosen_layer(space):
    zero = {"a": np.zeros((1, 4)), "b": np.zeros((1, 3))}
    space.files.tensors("asked.safetensors", zero)
    return ["query", "SELECT id FROM two SCORE cosine TO 'asked.safetensors' TOP 3"]


def zero_in_the_chosen_layer(space):
    layers = {"a": np.zeros((1, 4)), "b": np.ones((1, 3))}
    space.files.tensors("asked.safetensors", layers)
    return ["query", "FROM two SCORE cosine TO 'asked.safetensors' LAYERS 'a'"]


NAN_QUERY = np.where(np.arange(DIMS) == 5, np.float32("nan"), GOOD[:1])

QUERIES = [
    query_by("a missing file", BAD_INPUT, [r"nowhere\.npy"], lambda space: "nowhere.npy"),
    query_by("a directory", BAD_INPUT, [], lambda space: "db"),
    query_by("a cut file", BAD_INPUT, [r"asked\.safetensors"], cut_query),
    query_by("a file without the layer", BAD_INPUT, ["grad"], other_layer_query),
    query_file("too few dims", ["grad", "7", "8"], GOOD[:1, :7]),
    query_file("too many dims", ["grad", "9", "8"], np.ones((1, 9))),
    query_file("three dimensions", ["grad"], np.ones((1, 1, 8))),
    query_file("no vector", [], np.ones((0, DIMS))),
    query_file("NaN", ["(?i)nan|finite"], NAN_QUERY),
    query_file("infinity", ["(?i)inf|finite"], np.full((1, DIMS), np.inf), dtype="F16"),
    query_file("NaN in the second vector", [], np.concatenate([GOOD[:1], NAN_QUERY])),
    query_file("zero under cosine", ["(?i)zero"], np.zeros((1, DIMS)), "cosine"),
    query_file("zero in the second vector", ["(?i)zero", r"\[1\]"], GOOD[[1, 3]], "cosine"),
    Case("query by zero in every layer", BAD_INPUT, ["(?i)zero"], zero_in_every_chosen_layer),
    Case("query by zero in the chosen layer", BAD_INPUT, ["(?i)zero"], zero_in_the_chosen_layer),
    statement("query by a zero row", BAD_INPUT, ["(?i)zero"],
              "SELECT id FROM t SCORE cosine TO ROW 'known-3' TOP 3"),
    fixed("query from a missing statement file", BAD_INPUT, ["nowhere"], "query", "-f",
          "nowhere.gql"),
]  # fmt: skip

PLACES = [
    fixed("no database at the path", NOT_FOUND, ["nowhere"], "info", flags=["--db", "nowhere"]),
    fixed("no database to ingest into", NOT_FOUND, ["nowhere"], "ingest", "t",
          "known.safetensors", "--checkpoint", "c2", flags=["--db", "nowhere"]),
    fixed("no database to create in", NOT_FOUND, ["nowhere"], "create", "t", "--layer", "g:8",
          flags=["--db", "nowhere"]),
    fixed("no database to check", NOT_FOUND, ["nowhere"], "check", flags=["--db", "nowhere"]),
    fixed("a directory without a database", NOT_FOUND, [], "info", flags=["--db", "."]),
    fixed("a file as the database", NOT_FOUND, [r"known\.jsonl"], "info",
          flags=["--db", "known.jsonl"]),
    fixed("init over a database", FAILED, ["db"], "init"),
    fixed("init over other files", FAILED, [], "init", flags=["--db", "."]),
]  # fmt: skip

CASES = UNKNOWN_NAMES + CREATE + FLAGS + QUERIES + PLACES
