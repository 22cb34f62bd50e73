"""Metadata, ids and input paths that must be refused (65), naming the file and what is wrong."""

from bad_case import Case, good_document, ingest_file
from graddb import BAD_INPUT, ingest_arguments
from gradient_files import metadata_lines

GOOD_ROWS = [{"id": f"n{i}", "source": "s", "tokens": i} for i in range(4)]


def refused(name, text, words=(), rows=4, checkpoint="c2", flags=()):
    """Ingests `rows` good vectors with bad metadata: bytes, or a list of objects."""

    def arguments(space):
        content = text if isinstance(text, bytes) else metadata_lines(text)
        space.files.write("meta.jsonl", content)
        vectors = space.good_file(count=rows)
        return [
            *ingest_arguments("t", vectors, checkpoint=checkpoint, metadata="meta.jsonl"),
            *flags,
        ]

    return Case(name, BAD_INPUT, list(words), arguments)


def changed(row, **changes):
    """Good rows with one changed; None removes a key."""
    rows = [dict(r) for r in GOOD_ROWS]
    rows[row].update(changes)
    rows[row] = {key: value for key, value in rows[row].items() if value is not None}
    return rows


def line(text, row=2):
    """Good rows with one line replaced by text."""
    lines = metadata_lines(GOOD_ROWS).splitlines(keepends=True)
    lines[row] = text + b"\n"
    return b"".join(lines)


FILE = r"meta\.jsonl"
THIRD_LINE = r"\b3\b"

METADATA = [
    refused("metadata too short", GOOD_ROWS[:3], [FILE]),
    refused("metadata too long", GOOD_ROWS + [{"id": "n4"}], [FILE]),
    refused("metadata empty", b"", [FILE]),
    refused("a line that is not JSON", line(b"{'id': 1}"), [FILE, THIRD_LINE]),
    refused("a line that is cut off", line(b'{"id": "n2", "source": '), [FILE, THIRD_LINE]),
    refused("a line with two objects", line(b'{"id": "n2"} {"id": "n9"}'), [FILE, THIRD_LINE]),
    refused("a line that is an array", line(b'["n2"]'), [FILE, THIRD_LINE]),
    refused("a line that is a string", line(b'"n2"'), [FILE, THIRD_LINE]),
    refused("a line nested without end", line(b'{"id":' + b"[" * 200_000), [FILE]),
    refused("a line that is not UTF-8", line(b'{"id": "\xff\xfe"}'), [FILE, THIRD_LINE]),
    refused("half a surrogate pair", line(b'{"id": "\\ud83d"}'), [FILE, THIRD_LINE]),
    refused("no id", changed(2, id=None), [FILE, THIRD_LINE, "id"]),
    refused("id is null", line(b'{"id": null}'), [FILE, THIRD_LINE, "id"]),
    refused("id is a fraction", changed(2, id=1.5), [FILE, THIRD_LINE, "id"]),
    refused("id is a boolean", changed(2, id=True), [FILE, THIRD_LINE, "id"]),
    refused("id is an array", changed(2, id=["x"]), [FILE, THIRD_LINE, "id"]),
    refused("id beyond 64 bits", changed(2, id=2**64), [FILE, THIRD_LINE, "id"]),
    refused("text for an int", changed(2, tokens="12"), [FILE, "tokens"]),
    refused("a fraction for an int", changed(2, tokens=1.5), [FILE, "tokens"]),
    refused("a boolean for an int", changed(2, tokens=True), [FILE, "tokens"]),
    refused("an int beyond 64 bits", changed(2, tokens=2**63), [FILE, "tokens"]),
    refused("a number for a string", changed(2, source=7), [FILE, "source"]),
    refused("an object for a string", changed(2, source={}), [FILE, "source"]),
    refused("text for a float", changed(2, weight="0.5"), [FILE, "weight"]),
    refused("a float beyond its range", line(b'{"id": "n2", "weight": 1e999}'), [FILE]),
    refused("NaN for a float", line(b'{"id": "n2", "weight": NaN}'), [FILE]),
    refused("an int for a bool", changed(2, flagged=1), [FILE, "flagged"]),
    refused("an id twice in one file", changed(3, id="n1"), ["n1"]),
    refused("an integer id twice in one file", changed(3, id=5)[:3] + [{"id": 5}] * 2, ["5"], 5),
    refused(
        "an id that the checkpoint has",
        changed(1, id="known-4", source="alpaca", tokens=4),
        ["known-4"],
        checkpoint="c1",
    ),
    refused(
        "an id twice in one file under --resume", changed(3, id="n1"), ["n1"], flags=["--resume"]
    ),
    refused(
        "another value for a known row's field",
        changed(1, id="known-4", source="dolly", tokens=4),
        ["known-4", "source"],
    ),
]


def missing_file(space):
    return ingest_arguments("counted", "nowhere.safetensors", checkpoint="c2")


def second_file_missing(space):
    return ingest_arguments("counted", space.good_file(), "nowhere.npy", checkpoint="c2")


def path_below_a_file(space):
    return ingest_arguments("counted", f"{space.good_file()}/part.safetensors", checkpoint="c2")


def empty_directory(space):
    (space.directory / "empty").mkdir()
    return ingest_arguments("counted", "empty", checkpoint="c2")


def missing_metadata(space):
    return ingest_arguments("counted", space.good_file(), checkpoint="c2", metadata="nowhere.jsonl")


def directory_as_metadata(space):
    (space.directory / "folder").mkdir()
    return ingest_arguments("counted", space.good_file(), checkpoint="c2", metadata="folder")


def bad_file_in_directory(space):
    space.files.write("shards/1.safetensors", good_document())
    space.files.write("shards/2.safetensors", good_document()[:-1])
    return ingest_arguments("counted", "shards", checkpoint="c2")


def device(space):
    return ingest_arguments("counted", "/dev/zero", checkpoint="c2")


PATHS = [
    Case("missing file", BAD_INPUT, [r"nowhere\.safetensors"], missing_file),
    Case("second file missing", BAD_INPUT, [r"nowhere\.npy"], second_file_missing),
    Case("path below a file", BAD_INPUT, [r"part\.safetensors"], path_below_a_file),
    Case("directory without files", BAD_INPUT, ["empty"], empty_directory),
    Case("missing metadata file", BAD_INPUT, [r"nowhere\.jsonl"], missing_metadata),
    Case("directory as metadata", BAD_INPUT, ["folder"], directory_as_metadata),
    Case("bad file in a directory", BAD_INPUT, [r"2\.safetensors"], bad_file_in_directory),
    Case("device as a file", BAD_INPUT, ["/dev/zero"], device),
    Case("text file", BAD_INPUT, [r"notes\.txt"], ingest_file("notes.txt", "no gradients")),
]

CASES = METADATA + PATHS
