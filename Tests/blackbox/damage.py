"""Many damages to a database, each in a copy of its own process, so that a crash or a hang is seen."""

import json
import os
import queue
import selectors
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from graddb import GRADCTL

LIBRARY = Path(os.environ.get("GRADDB_LIBRARY") or GRADCTL.with_name("libgraddb.so"))
WORKER = Path(__file__).with_name("damage_worker.py")
# Asking everything takes a tenth of a second.
HANG_SECONDS = 120


class Worker:
    """A process with a damaged copy."""

    def __init__(self, database, directory):
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(database.path, directory)
        self.errors = directory.with_suffix(".err")
        self.process = subprocess.Popen(
            [sys.executable, "-B", WORKER, LIBRARY, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(self.errors, "w"),
        )
        self.answers = self.read()

    def read(self):
        """The outcome of what was asked; a text where the process hung or died."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(HANG_SECONDS):
                self.process.kill()
                self.process.wait()
                return f"no answer for {HANG_SECONDS} seconds"
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        status = self.process.wait()
        return f"died with status {status}\n{self.errors.read_text()[-3000:]}"

    def ask(self, damage):
        try:
            self.process.stdin.write(json.dumps(damage).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def wrong_after(database, damages, directory, is_right):
    """Tries all damages; gives those, with what came of them, for which `is_right(damage, answers,
    sound answers)` is not true. Stops after ten."""
    waiting, wrong = queue.Queue(), []
    for damage in damages:
        waiting.put(damage)

    def work(number):
        worker = Worker(database, directory / f"damaged-{number}")
        sound = worker.answers
        while len(wrong) < 10:
            try:
                damage = waiting.get_nowait()
            except queue.Empty:
                break
            answers = worker.ask(damage)
            if not is_right(damage, answers, sound):
                wrong.append((damage, answers, sound))
            if isinstance(answers, str):
                worker = Worker(database, directory / f"damaged-{number}")
        worker.close()

    threads = [
        threading.Thread(target=work, args=(number,)) for number in range(os.cpu_count() or 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong
