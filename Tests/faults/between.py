"""A library that runs a command within another one, at one of the calls by which that looks at a file
system or changes it."""

import json
import shlex
import sys
from pathlib import Path

import calls
from calls import graddb

SOURCE = Path(__file__).with_name("between.c")

# Runs commands of gradctl, one after the other, and writes down what became of each.
RUNNER = """
import json, subprocess, sys
gradctl, results, *commands = sys.argv[1:]
done = [subprocess.run([gradctl, *json.loads(each)], stdin=subprocess.DEVNULL, capture_output=True) for each in commands]
with open(results, "w") as file:
    json.dump([[each.returncode, each.stdout.decode(), each.stderr.decode()] for each in done], file)
"""


class Between:
    def __init__(self, directory):
        self.library = calls.build(directory, SOURCE)

    def calls(self, command, root, log):
        """Runs a command, and says at which calls another one could run: what each is, and its path."""
        env = graddb.environment(LD_PRELOAD=self.library, BETWEEN_ROOT=root, BETWEEN_LOG=log)
        graddb.run(*command, env=env).expect()
        return [tuple(line.split(" ", 1)) for line in Path(log).read_text().splitlines()]

    def run(self, command, root, at, others, results):
        """Runs a command, and the others when it comes to the call of number `at`; returns what became of
        it, and of each of them: None where it did not come so far."""
        words = [[str(word) for word in other] for other in others]
        runner = [sys.executable, "-c", RUNNER, graddb.GRADCTL, results, *map(json.dumps, words)]
        env = graddb.environment(
            LD_PRELOAD=self.library, BETWEEN_ROOT=root, BETWEEN_AT=at, BETWEEN_RUN=shlex.join(map(str, runner))
        )
        first = graddb.run(*command, env=env)
        if not Path(results).exists():
            return first, None
        done = json.loads(Path(results).read_text())
        return first, [
            graddb.Result(other, status, stdout.encode(), stderr.encode())
            for other, (status, stdout, stderr) in zip(words, done)
        ]

