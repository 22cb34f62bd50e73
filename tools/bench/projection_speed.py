#!/usr/bin/env python3
"""How fast gradients are projected, beside the speed of memory, and one that no memory holds.

    python3 tools/bench/projection_speed.py [--seconds 5] [--gradient 6.74e9] [--dims 65536] [--quick]

First the sketch of f32 gradients in memory, for 4,096 to 1,048,576 dims, on one thread and on all,
each beside loading every byte once (`gradctl bench --projector`, which takes the two in turns).

Then the gradient of a model of 6.74 billion parameters (7B: 32 layers of 4,096), which this program
makes tensor by tensor and writes into a pipe. Nothing is written to a disk. Printed are the seconds of
the projection itself, those with the pipe and its writer, and the peak of gradctl's memory, which
must stay under 1 GiB.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading

import numpy

import common

LIMIT_BYTES = 1 << 30
WIDTH, FEED_FORWARD, WORDS = 4096, 11008, 32000


def shapes(parameters):
    """Tensors of a transformer of about that many parameters, as many layers as it takes."""
    layer = {"attn.q": (WIDTH, WIDTH), "attn.k": (WIDTH, WIDTH), "attn.v": (WIDTH, WIDTH),
             "attn.o": (WIDTH, WIDTH), "mlp.gate": (FEED_FORWARD, WIDTH), "mlp.up": (FEED_FORWARD, WIDTH),
             "mlp.down": (WIDTH, FEED_FORWARD), "norm.attn": (WIDTH,), "norm.mlp": (WIDTH,)}
    tensors = {"embed": (WORDS, WIDTH), "head": (WORDS, WIDTH)}
    each = sum(int(numpy.prod(shape)) for shape in layer.values())
    count = round((parameters - 2 * WORDS * WIDTH) / each)
    for number in range(max(1, count)):
        tensors.update({f"layers.{number:02}.{name}": shape for name, shape in layer.items()})
    return dict(sorted(tensors.items()))


def send(descriptor, tensors):
    """A safetensors document of f32, from one pool of random numbers: as fast as a pipe takes it."""
    header, end = {}, 0
    for name, shape in tensors.items():
        begin, end = end, end + 4 * int(numpy.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    pool = memoryview(numpy.random.default_rng(1).standard_normal(1 << 22, dtype=numpy.float32)).cast("B")
    with os.fdopen(descriptor, "wb", buffering=0) as pipe:
        pipe.write(struct.pack("<Q", len(text)) + text)
        while end:
            end -= pipe.write(pool[:min(end, len(pool))])


def widen(descriptor):
    """Pipes hold 64 KiB; as much as the system allows means fewer switches between processes."""
    try:
        import fcntl
        fcntl.fcntl(descriptor, 1031, 1 << 20)  # F_SETPIPE_SZ
    except OSError:
        pass


def stream(parameters, dims, normalise):
    tensors = shapes(parameters)
    reading, writing = os.pipe()
    widen(writing)
    with tempfile.TemporaryDirectory() as directory:
        command = [common.GRADCTL, "project", "--single", "--json", "--projector",
                   f"sketch,dims={dims},seed=7,normalise={normalise}", "-", os.path.join(directory, "out")]
        process = subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE)
        os.close(reading)
        writer = threading.Thread(target=send, args=(writing, tensors))
        writer.start()
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        writer.join()
    if status:
        sys.exit("gradctl project failed")
    line = json.loads(output)
    peak = usage.ru_maxrss * 1024
    busy = line["bytes"] / line["projection_seconds"] / 1e9
    print(f"{line['elements'] / 1e9:.2f} billion elements, {len(tensors)} tensors, "
          f"{line['bytes'] / 1e9:.1f} GB of f32, {dims} dims, normalise {normalise}:")
    print(f"  projecting {line['projection_seconds']:.1f} s, {busy:.1f} GB/s on one thread")
    print(f"  with the pipe {line['seconds']:.1f} s, {line['gb_per_s']:.1f} GB/s")
    print(f"  peak memory {peak / 2**20:.0f} MiB", "" if peak < LIMIT_BYTES else "  MORE THAN 1 GiB")
    return peak < LIMIT_BYTES


def speeds(options):
    words = []
    for normalise in ("none", "tensor"):
        words += [(dims, normalise) for dims in options.sizes]
    command = [common.GRADCTL, "bench", "--json", "--seconds", str(options.seconds * len(words))]
    for dims, normalise in words:
        command += ["--projector", f"sketch,dims={dims},normalise={normalise}"]
    line = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(f"{line['processor']}, {line['kernel']}, {line['threads']} threads: "
          "GB/s of f32 input (and as a share of reading it)")
    for result in line["projections"]:
        rate, ratio, made = result["gb_per_s"], result["read_ratio"], result["projector"]
        print(f"  {made['dims']:>9,} dims, normalise {made['normalise']:6}  one thread {rate['one']:5.1f} "
              f"({ratio['one']:.2f})   all {rate['all']:5.1f} ({ratio['all']:.2f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="for each number of dims")
    parser.add_argument("--gradient", type=float, default=6.74e9, help="parameters of the streamed gradient")
    parser.add_argument("--dims", type=int, default=65536, help="of the streamed gradient's sketch")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    options = parser.parse_args()
    options.sizes = [4096 << (2 * step) for step in range(5)]
    if options.quick:
        options.seconds, options.gradient = 0.5, min(options.gradient, 5e8)
    speeds(options)
    return 0 if stream(options.gradient, options.dims, "tensor") else 1


if __name__ == "__main__":
    sys.exit(main())
