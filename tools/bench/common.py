"""What the benchmarks share: gradctl, quick data, plain reads, the page cache, medians."""

import json
import os
import shutil
import statistics
import struct
import subprocess
import tempfile

import numpy

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(BENCH))
GRADCTL = os.environ.get("GRADCTL", os.path.join(ROOT, ".build", "release", "gradctl"))
TABLE, LAYER, CHECKPOINT = "bench", "grad", "c"
# Smaller table files hold ids and documents, not blocks.
BLOCK_FILE_BYTES = 1 << 20


def gradctl(database, *arguments, stdin=None):
    """Runs gradctl with --json and returns its lines."""
    command = [GRADCTL, *map(str, arguments), "--db", database, "--json"]
    done = subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- data ----


class Gradients:
    """Gaussian rows as fast as memory: stretches of one pool of random numbers, each from another
    place, so that no two rows are the same and nothing is copied."""

    POOL = 32 << 20
    BLOCK_BYTES = 32 << 20

    def __init__(self, dims, seed=1, dtype=numpy.float16):
        self.dims = dims
        self.dtype = numpy.dtype(dtype)
        self.block_rows = max(1, self.BLOCK_BYTES // (dims * self.dtype.itemsize))
        count = max(self.POOL, 2 * self.block_rows * dims)
        random = numpy.random.default_rng(seed)
        self.pool = random.standard_normal(count, dtype=numpy.float32).astype(self.dtype)

    def blocks(self, rows):
        """Arrays of up to `block_rows` rows, `rows` in all."""
        for start in range(0, rows, self.block_rows):
            count = min(self.block_rows, rows - start)
            free = len(self.pool) - self.block_rows * self.dims
            # An odd step: offsets repeat only after `free` blocks.
            place = (start // self.block_rows * 7368787) % free
            yield self.pool[place : place + count * self.dims].reshape(count, self.dims)


def safetensors_header(rows, dims, dtype):
    name = {"float16": "F16", "float32": "F32"}[numpy.dtype(dtype).name]
    size = rows * dims * numpy.dtype(dtype).itemsize
    header = {LAYER: {"dtype": name, "shape": [rows, dims], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text, size


def write_gradients(path, rows, dims, seed=1):
    """One f16 safetensors file."""
    header, _ = safetensors_header(rows, dims, numpy.float16)
    with open(path, "wb") as file:
        file.write(header)
        for block in Gradients(dims, seed).blocks(rows):
            file.write(memoryview(block).cast("B"))


def create(database, dims, codec):
    gradctl(database, "init")
    gradctl(database, "create", TABLE, "--layer", f"{LAYER}:{dims}:{codec}")


def ingest_stream(database, rows, dims, seed=1):
    """Ingests rows through a pipe, so that only what is stored is written; returns the summary."""
    command = [GRADCTL, "ingest", TABLE, "-", "--checkpoint", CHECKPOINT, "--db", database]
    process = subprocess.Popen(
        [*command, "--json", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for block in Gradients(dims, seed).blocks(rows):
        header, size = safetensors_header(*block.shape, block.dtype)
        process.stdin.write(struct.pack("<Q", len(header) + size) + header)
        process.stdin.write(memoryview(block).cast("B"))
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"gradctl ingest failed with {process.returncode}")
    return json.loads(output.splitlines()[-1])


def write_queries(path, count, dims, seed=2):
    """Gaussian f32 queries as .npy."""
    random = numpy.random.default_rng(seed)
    numpy.save(path, random.standard_normal((count, dims), dtype=numpy.float32))
    return path


# ---- scans ----


def statement(query, top=10):
    return f"FROM {TABLE} SCORE dot TO '{query}' TOP {top};\n"


def nodes(plan):
    """All operators of a plan."""
    return [plan] + [node for child in plan["inputs"] for node in nodes(child)]


def scans(database, query, threads, passes):
    """What happened at the scan operator in each of consecutive statements of one process, and as
    `statement_seconds` what all operators took. The first pass maps the pages."""
    script = ("EXPLAIN ANALYZE " + statement(query)) * passes
    lines = gradctl(database, "query", "-", "--threads", threads, stdin=script.encode())
    results = []
    for line in lines:
        plan = nodes(line["plan"])
        (scan,) = [dict(node["actual"]) for node in plan if node["operator"] == "scan"]
        scan["statement_seconds"] = sum(n.get("actual", {}).get("seconds", 0) for n in plan)
        results.append(scan)
    return results


def block_files(database):
    paths = [os.path.join(database, name) for name in os.listdir(database)]
    return sorted(
        path for path in paths
        if path.endswith(".sst") and os.path.getsize(path) >= BLOCK_FILE_BYTES)


def build_reader(directory):
    """Compiles read_limit.c and returns the program."""
    program = os.path.join(directory, "read_limit")
    compiler = shutil.which("cc") or "clang"
    source = os.path.join(BENCH, "read_limit.c")
    command = [compiler, "-O3", "-march=native", "-pthread", source, "-o", program]
    subprocess.run(command, check=True)
    return program


def reads(program, database, threads, passes):
    """GB/s of consecutive plain reads of the block files in one process."""
    command = [program, str(threads), str(passes), *block_files(database)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return [float(line) for line in done.stdout.split()]


def drop_cache(database):
    """Takes the block files out of the page cache; no process may have them mapped."""
    for path in block_files(database):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


# ---- numbers and the machine ----


def spread(values):
    """Median, smallest and largest."""
    return statistics.median(values), min(values), max(values)


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def available_memory():
    """Bytes that the page cache could have."""
    with open("/proc/meminfo") as file:
        facts = dict(line.split(":", 1) for line in file)
    return int(facts["MemAvailable"].split()[0]) * 1024


class Workplace:
    """A temporary directory, gone at the end."""

    def __init__(self, parent=None):
        self.path = tempfile.mkdtemp(prefix="graddb-bench-", dir=parent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name):
        return os.path.join(self.path, name)
