"""A damaged database beside the other one, for the step that repairs it: what is done to it, and what
of it can be seen."""

import shutil
from pathlib import Path

from calls import graddb

DATABASE = "runs/worn"


def prepare(world, earlier):
    """Copies the database of an earlier world, in which something is staged, and damages it: a block,
    so that vectors are lost, and records, which can be made again."""
    database = Path(world) / DATABASE
    shutil.copytree(Path(earlier) / "runs/db", database)
    blocks = table_files(database, "blocks")[0]
    flip(blocks, blocks.stat().st_size // 2)
    for path in table_files(database, "rows"):
        # Within the records: what finds them comes behind.
        flip(path, 40)
    assert graddb.run("check", "--deep", "--db", database).status == graddb.CORRUPT


def table_files(database, family):
    """Those of a column family, the largest first: RocksDB writes its name into each but those that
    were attached, which are of blocks."""
    mark = b"external_sst_file" if family == "blocks" else b"name" + family.encode()
    found = [path for path in database.glob("*.sst") if mark in path.read_bytes()]
    assert found, family
    return sorted(found, key=lambda path: (-path.stat().st_size, path.name))


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


def see(path, statements, env):
    """What documents say, and each statement's answer; `False` where what it asks for is damaged."""

    def gradctl(*arguments):
        return graddb.run(*arguments, "--db", path, "--json", env=env)

    seen = {"snapshots": gradctl("snapshots", "t").expect().lines, "answers": []}
    seen["staged"] = gradctl("staged", "t").expect().lines
    for line in seen["snapshots"]:
        for statement in statements:
            result = gradctl("query", statement.format(n=line["snapshot"]))
            result.expect(graddb.OK, graddb.CORRUPT)
            seen["answers"].append(result.status == graddb.OK and result.text)
    return seen


def verify_repaired(path, damaged, env):
    """After a repair that has come to its end: the damaged database is there as it was, and nothing
    else is; without what it had lost before, the new one is sound, and what was staged can go on."""
    beside = [other for other in path.parent.iterdir() if other.name.startswith(f"{path.name}.")]
    assert all(other.name.startswith(f"{path.name}.damaged-") for other in beside), beside
    assert any(is_as_it_was(other, damaged) for other in beside), beside
    assert not (path / "repairing").exists()

    def gradctl(words):
        return graddb.run(*words.split(), "--db", path, "--json", env=env).expect()

    gradctl("commit t --checkpoint c3")
    for tag in ("kept", "second", "turned"):
        gradctl(f"tag t {tag} --delete")
    gradctl("expire t --keep-last 1")
    gradctl("gc")
    gradctl("check --deep")


def is_as_it_was(path, damaged):
    return files(path) == files(damaged)


def files(path):
    return {file.name: file.read_bytes() for file in path.glob("*.sst")}
