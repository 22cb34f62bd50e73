"""Holds a table against everything the format says that its parts say twice.

`problems` returns one line for each disagreement: between row records, keys and columns; between
segment documents, row maps and blocks; between a block's statistics and its rows; between a snapshot's
document and what it holds.
"""

import numpy as np

import codec
import values
import versions
from block import SLAB_BYTES, Block, row_bytes
from content import Content

OPERATIONS = ("ingest", "commit", "recode", "precondition", "delete", "restore", "compact", "import",
              "repair")


def problems(table) -> list[str]:
    found = []
    _check_rows(table, found)
    bytes_total = sum(_check_segment(table, segment, found) for segment in table.segments)
    for companion in table.companions:
        _check_companion(table, companion, found)
    for checkpoint in table.checkpoints:
        numbers = [number for segment in table.checkpoint_segments(checkpoint)
                   for group in range(segment["row_groups"])
                   for number in table.row_map(segment["segment"], group)]
        if len(set(numbers)) != len(numbers):
            found.append(f"checkpoint {checkpoint} has a row twice")
    if table.snapshot:
        document = table.snapshots[table.snapshot]
        if (document["segments"], document["bytes"]) != (len(table.segments), bytes_total):
            found.append("the snapshot's totals are not those of its segments")
        content = Content(table)
        if (document["hash"], _not_zero(document["sums"])) != (content.hash, _not_zero(content.sums)):
            found.append("the snapshot's hash and sums are not those of what it holds")
        _check_versions(table, found)
    return found


def _not_zero(sums):
    """A sum that is zero may be left out."""
    return {"records": sums["records"], "encodings": [
        part for part in sums["encodings"] if int(part["sum"], 16)]}


def _check_versions(table, found):
    document = table.document
    if document["deleted"] != table.next_row - table.rows:
        found.append("the snapshot does not have its number of deleted rows")
    parents = [number for number in table.snapshots if number < table.snapshot]
    if not max(parents, default=0) <= document["parent"] < table.snapshot:
        found.append("the snapshot's parent is not the newest before it")
    if document["operation"] not in OPERATIONS or (
            ("restored" in document) != (document["operation"] == "restore")):
        found.append("the snapshot has no operation that there is")
    if document["next_row"] > table.head["next_row"]:
        found.append("the snapshot has rows that the head does not")
    if [name for name, number in table.tags.items() if number not in table.snapshots]:
        found.append("a tag names a snapshot that there is not")
    _check_names(table, found)


def _check_names(table, found):
    """No two checkpoints, preconditioners or encodings of the snapshot have one name."""
    number = f"{table.number:08x}"
    for kind, kept in (("checkpoint", table.checkpoints),
                       ("preconditioner", table.preconditioners)):
        every = [doc for key, doc in table.catalog.items() if key.startswith(f"{kind}/{number}/")
                 and versions.has(doc, table.snapshot)]
        if len(every) != len(kept):
            found.append(f"the snapshot has a {kind} twice")
    for layer in table.schema["layers"]:
        codecs = [encoding["codec"] for encoding in table.encodings(layer)]
        if not codecs or len(set(codecs)) != len(codecs):
            found.append(f"layer {layer['name']} has a codec twice, or none")


def _check_rows(table, found):
    columns = {field["name"]: table.column(field["name"]) for field in table.fields}
    ids, recorded, known = table.column("id"), [], set()
    for number, row_id, fields in table.records():
        recorded.append(number)
        if row_id in known:
            found.append(f"row {number} has the id of another")
        known.add(row_id)
        if ids[number] != row_id or table.find(row_id) != number:
            found.append(f"row {number}: record, key and id column disagree")
        if any(columns[name][number] != value for name, value in fields.items()):
            found.append(f"row {number}: record and columns disagree")
    if recorded != np.flatnonzero(table.live).tolist():
        found.append(f"{len(recorded)} row records for {table.rows} rows")
    cuts = {field: [key[-8:] for key, _ in table.store.scan("fields", prefix)]
            for field in [*range(len(table.fields)), values.ID_COLUMN]
            for prefix in [values.column_key(table.number, field)]}
    if len({tuple(cut) for cut in cuts.values()}) > 1:
        found.append("the columns are cut at different rows")


def _check_segment(table, segment, found):
    """Checks one segment in all its encodings; the bytes of its blocks."""
    name, numbers = f"segment {segment['segment']}", []
    encodings = [encoding for layer in table.layers for encoding in table.encodings(layer)]
    sizes = dict.fromkeys((encoding["encoding"] for encoding in encodings), 0)
    if segment["row_groups"] != -(-segment["rows"] // segment["rows_per_group"]):
        found.append(f"{name} does not have its number of row groups")
    for group in range(segment["row_groups"]):
        rows = table.row_map(segment["segment"], group)
        numbers += rows
        for layer in encodings:
            stored = table.encoded_group(segment, group, layer)
            if len(rows) != len(stored.values):
                found.append(f"{name}, row group {group}: row map and blocks disagree")
            _check_statistics(layer["codec"], stored, f"{name}, row group {group}", found)
            slabs = -(-row_bytes(layer["codec"], layer["dims"]) // SLAB_BYTES)
            blocks = [table.block(segment, group, layer, slab) for slab in range(slabs)]
            sizes[layer["encoding"]] += sum(map(len, blocks))
            _check_range([Block(block) for block in blocks], f"{name}, row group {group}", found)
    said = segment["rows"], segment["first_row"], segment["last_row"]
    if said != (len(numbers), min(numbers), max(numbers)):
        found.append(f"{name} is not what its document says")
    for layer in encodings:
        parts = table.holder(segment, layer)["encodings"]
        if {"encoding": layer["encoding"], "bytes": sizes[layer["encoding"]]} not in parts:
            found.append(f"{name} has other bytes of encoding {layer['encoding']} than it says")
    return sum(sizes.values())


def _check_companion(table, companion, found):
    """A companion has the rows of its base, and encodings that the base lacks."""
    base = [doc for doc in table.segments if doc["segment"] == companion["base"]]
    same = ("checkpoint", "rows", "row_groups", "rows_per_group", "first_row", "last_row")
    if not base or any(base[0][key] != companion[key] for key in same):
        found.append(f"segment {companion['segment']} is no companion of its base")
    if table.store.get("fields", values.row_map_key(table.number, companion["segment"], 0)):
        found.append(f"segment {companion['segment']} has row maps of its own")


def _check_range(blocks, where, found):
    """The least and greatest squared norm in the headers of one row group and layer."""
    norms = blocks[0].squared_norms
    wanted = [(norms.min(), norms.max())] + [(0, 0)] * (len(blocks) - 1)
    said = [(block.least_squared_norm, block.greatest_squared_norm) for block in blocks]
    if said != wanted:
        found.append(f"{where}: the squared norms are not within the header's")


def _check_statistics(name, stored, where, found):
    if name in codec.LEVELS:
        fit = _levels_fit(name, stored)
    elif name == "int8":
        norms = codec.integer_squared_norms(stored.values, stored.scales)
        zero = ~stored.values.any(axis=1)
        fit = zero[stored.scales == 0].all() and np.array_equal(norms, stored.squared_norms)
    else:
        norms = codec.float_squared_norms(stored.values)
        fit = (stored.scales == 1).all() and np.array_equal(norms, stored.squared_norms)
    if name not in codec.LEVELS:
        fit = fit and not stored.residual_norms.view(np.uint32).any()
    if not fit:
        found.append(f"{where}: the row statistics are not those of the rows")


def _levels_fit(name, stored):
    """Whether scale, residual norm and squared norm of int4 or bit rows go together.

    The scale is n/d rounded to single precision, so n/d is within half a step of it, and the
    residual norm, which every rounding leaves ascending in n/d, between those of the two ends.
    """
    zero = stored.squared_norms == 0
    bytes_are_zero = ~codec.pack(name, stored.values).any(axis=1)
    if not (bytes_are_zero & (stored.scales == 0) & (stored.residual_norms == 0))[zero].all():
        return False
    if not (np.isfinite(stored.squared_norms) & (stored.squared_norms >= 0)).all():
        return False
    if not (stored.scales > 0)[~zero].all():
        return False
    scales = stored.scales.astype(np.float64)
    low, high = ((scales + np.nextafter(stored.scales, np.float32(end)).astype(np.float64)) / 2
                 for end in (-np.inf, np.inf))
    least, greatest = (codec.residual_norms(end, stored.values, stored.squared_norms)
                       for end in (low, high))
    within = (least <= stored.residual_norms) & (stored.residual_norms <= greatest)
    return within[~zero].all()
