"""The systems that are compared. Each holds its own copy of its rows; `search(count)` answers the
first `count` queries with their ten best rows, on all threads, and says how long that took."""

import re
import subprocess
import time
from importlib.metadata import version

import faiss
import numpy
import simsimd
from usearch.index import MetricKind, search as usearch_search

import common
from comparison import data as source


class System:
    """`rows` may be fewer than GradDB's: speeds are per row, and all far exceed the caches."""

    name = ""
    row_bytes = 0
    rows = 0

    def search(self, count):
        """Seconds, and the rows found: [count, 10]."""
        started = time.perf_counter()
        found = self.answer(count)
        return time.perf_counter() - started, found


class GradDB(System):
    """Through gradctl: the time of the scan operator, in the second statement of a process, the
    first of which maps the pages."""

    def __init__(self, data, codec, rows, threads):
        bits = {"f16": 16, "int8": 8, "int4": 4, "bit": 1}[codec]
        self.name, self.rows, self.threads = f"GradDB {codec}", rows, threads
        self.row_bytes = data.dims * bits // 8
        self.path = data.work.file(f"graddb-{codec}")
        common.create(self.path, data.dims, codec)
        common.ingest_stream(self.path, rows, data.dims)
        self.queries = {}
        for count in source.QUERY_COUNTS:
            self.queries[count] = data.work.file(f"queries-{count}.npy")
            numpy.save(self.queries[count], data.queries[:count])

    def search(self, count):
        scan = common.scans(self.path, self.queries[count], self.threads, 2)[-1]
        return scan["seconds"], None

    def answers(self, count):
        statement = common.statement(self.queries[count], source.TOP)
        words = ["query", statement, "--threads", self.threads]
        found = [[] for _ in range(count)]
        for row in common.gradctl(self.path, *words):
            index = re.search(r"\[(\d+)\]$", row["query"])
            found[int(index.group(1)) if index else 0].append(row["id"])
        return found


class Numpy(System):
    def __init__(self, data, rows, mapped):
        self.name = "numpy f32 matmul, " + ("memmap" if mapped else "in memory")
        self.rows, self.row_bytes = rows, 4 * data.dims
        self.queries = data.queries
        target = None
        if mapped:
            path = data.work.file("rows.f32")
            target = numpy.memmap(path, numpy.float32, "w+", shape=(rows, data.dims))
        self.array = data.filled(rows, lambda b: b.astype(numpy.float32), numpy.float32,
                                 target=target)
        if mapped:
            target.flush()
            self.array = numpy.memmap(path, numpy.float32, "r", shape=(rows, data.dims))

    def answer(self, count):
        return source.top_rows(self.array @ self.queries[:count].T)


class Faiss(System):
    def __init__(self, data, name, index, rows, row_bytes, threads, integers=False):
        self.name, self.index, self.rows, self.row_bytes = name, index, rows, row_bytes
        faiss.omp_set_num_threads(threads)

        def convert(block):
            return (source.int8(block) if integers else block).astype(numpy.float32)

        self.queries = convert(data.queries) if integers else data.queries
        for first, block in data.blocks(rows):
            block = convert(block)
            if first == 0:
                index.train(block)
            index.add(block)

    def answer(self, count):
        return self.index.search(self.queries[:count], source.TOP)[1]


def faiss_systems(data, rows, threads):
    """FAISS's exact and compressed flat indexes. `rows(bytes of a row)` says how many each gets."""
    dims, dot = data.dims, faiss.METRIC_INNER_PRODUCT
    quantizer = faiss.ScalarQuantizer

    def scalar(kind):
        return faiss.IndexScalarQuantizer(dims, kind, dot)

    yield Faiss(data, "FAISS IndexFlatIP", faiss.IndexFlatIP(dims), rows(4 * dims), 4 * dims, threads)
    yield Faiss(data, "FAISS SQ8 direct signed", scalar(quantizer.QT_8bit_direct_signed),
                rows(dims), dims, threads, integers=True)
    yield Faiss(data, "FAISS SQ8", scalar(quantizer.QT_8bit), rows(dims), dims, threads)
    yield Faiss(data, "FAISS SQfp16", scalar(quantizer.QT_fp16), rows(2 * dims), 2 * dims, threads)
    if hasattr(faiss, "IndexRaBitQ"):
        index = faiss.IndexRaBitQ(dims, dot)
        index.qb = 8  # bits of a query's elements; 0, the default, scores floats and is slower
        yield Faiss(data, "FAISS RaBitQ", index, rows(dims // 8), index.code_size, threads)


class USearch(System):
    def __init__(self, data, kind, array, queries, row_bytes, threads):
        self.name, self.array, self.queries = f"USearch exact {kind}", array, queries
        self.rows, self.row_bytes, self.threads = len(array), row_bytes, threads
        self.options = {"dtype": "b1"} if kind == "b1" else {}
        self.metric = MetricKind.Hamming if kind == "b1" else MetricKind.IP

    def answer(self, count):
        matches = usearch_search(
            self.array, self.queries[:count], source.TOP, self.metric, exact=True,
            threads=self.threads, **self.options)
        return numpy.asarray(matches.keys).reshape(count, -1)


class SimSIMD(System):
    name = "SimSIMD cdist i8"

    def __init__(self, array, queries, threads):
        self.array, self.queries, self.threads = array, queries, threads
        self.rows, self.row_bytes = array.shape

    def answer(self, count):
        scores = simsimd.cdist(
            self.queries[:count], self.array, metric="dot", threads=self.threads)
        return source.top_rows(numpy.asarray(scores).T)


def integer_systems(data, rows, threads):
    """USearch and SimSIMD; the int8 rows serve both."""
    array = data.filled(rows(data.dims), source.int8, numpy.int8)
    queries = source.int8(data.queries)
    yield USearch(data, "i8", array, queries, data.dims, threads)
    yield SimSIMD(array, queries, threads)
    half = numpy.float16
    array = data.filled(rows(2 * data.dims), lambda block: block, half)
    yield USearch(data, "f16", array, data.queries.astype(half), 2 * data.dims, threads)
    bits = data.dims // 8
    array = data.filled(rows(bits), source.signs, numpy.uint8, width=bits)
    yield USearch(data, "b1", array, source.signs(data.queries), bits, threads)


def all_systems(data, options):
    """Every system, GradDB first; f16 over half of the rows, to leave memory to the others."""
    for codec in ("int8", "f16", "int4", "bit"):
        rows = data.rows // 2 if codec == "f16" else data.rows
        yield GradDB(data, codec, max(1, rows), options.threads)

    def rows(row_bytes):
        return max(source.TOP, min(data.rows, int(options.peer_gib * 2**30) // row_bytes))

    yield Numpy(data, rows(4 * data.dims), mapped=True)
    yield Numpy(data, rows(4 * data.dims), mapped=False)
    yield from faiss_systems(data, rows, options.threads)
    yield from integer_systems(data, rows, options.threads)


def versions():
    graddb = subprocess.run([common.GRADCTL, "--version"], check=True, capture_output=True, text=True)
    names = ["numpy", "faiss-cpu", "usearch", "simsimd"]
    return [graddb.stdout.strip()] + [f"{name} {version(name)}" for name in names]
