"""What PyTorch and FAISS need on this GPU for the scans that GradDB is measured with: the scores of all
rows against Q queries, and the k best of each. One line of JSON for each that can be had.

    python3 peers.py [--rows N] [--dims N] [--top K] [--rounds R]

Times are from the call to the result in the host's memory, medians of R rounds after three that warm
up; rows and queries are on the GPU beforehand. PyTorch multiplies matrices and takes torch.topk: in
f16, in bf16, and in int8 where torch._int_mm takes the shapes (it wants more than 16 queries, so that
fewer are filled up with zeros). FAISS: a flat index of inner products, f16 and f32. Neither gives the
bits of a definition: these are speeds alone.
"""

import argparse
import json
import statistics
import sys
import time


def rounds(run, count):
    for _ in range(3):
        run()
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def report(peer, kind, version, rows, dims, queries, top, seconds, stored):
    print(json.dumps({
        "peer": peer, "type": kind, "version": version, "rows": rows, "dims": dims, "queries": queries,
        "top": top, "seconds": seconds, "gb_per_s": rows * stored / seconds / 1e9,
        "gmac_per_s": rows * dims * queries / seconds / 1e9,
    }), flush=True)  # fmt: skip


def torch_scans(options):
    import torch

    if not torch.cuda.is_available():
        sys.exit("peers: PyTorch sees no GPU")
    generator = torch.Generator("cuda").manual_seed(1)
    rows, dims, top = options.rows, options.dims, options.top

    def measure(kind, queries, run, stored):
        seconds = rounds(run, options.rounds)
        report("torch", kind, torch.__version__, rows, dims, queries, top, seconds, stored)

    for kind in (torch.float16, torch.bfloat16):
        vectors = torch.empty(rows, dims, device="cuda", dtype=kind)
        vectors.normal_(generator=generator)
        for count in (1, 128):
            queries = torch.empty(dims, count, device="cuda", dtype=kind).normal_(generator=generator)

            def scan():
                best = torch.topk(vectors @ queries, top, dim=0)
                return best.values.cpu(), best.indices.cpu()

            measure(str(kind).removeprefix("torch."), count, scan, 2 * dims)
        del vectors
    vectors = torch.randint(-127, 128, (rows, dims), device="cuda", dtype=torch.int8, generator=generator)
    for count in (1, 128):
        queries = torch.zeros(dims, max(count, 32), device="cuda", dtype=torch.int8)
        queries[:, :count].random_(-127, 128, generator=generator)

        def scan():
            best = torch.topk(torch._int_mm(vectors, queries)[:, :count], top, dim=0)
            return best.values.cpu(), best.indices.cpu()

        try:
            measure("int8", count, scan, dims)
        except RuntimeError as error:
            print(f"peers: torch._int_mm: {str(error).splitlines()[0]}", file=sys.stderr)


def faiss_scans(options):
    try:
        import faiss
    except ImportError:
        return
    import numpy as np

    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        print("peers: this FAISS has no GPU", file=sys.stderr)
        return
    generator = np.random.default_rng(1)
    rows, dims, top = options.rows, options.dims, min(options.top, 2048)
    resources = faiss.StandardGpuResources()
    for kind, stored in (("f16", 2), ("f32", 4)):
        if rows * dims * stored > 100e9:
            continue
        settings = faiss.GpuIndexFlatConfig()
        settings.useFloat16 = kind == "f16"
        index = faiss.GpuIndexFlatIP(resources, dims, settings)
        for first in range(0, rows, 4096):
            index.add(generator.standard_normal((min(4096, rows - first), dims), np.float32))
        for count in (1, 128):
            queries = generator.standard_normal((count, dims), np.float32)
            seconds = rounds(lambda: index.search(queries, top), options.rounds)
            report("faiss", kind, faiss.__version__, rows, dims, count, top, seconds, stored * dims)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=52_000)
    parser.add_argument("--dims", type=int, default=65_536)
    parser.add_argument("--top", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    torch_scans(options)
    faiss_scans(options)


if __name__ == "__main__":
    main()
