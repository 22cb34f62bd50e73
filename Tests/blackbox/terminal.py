"""Runs gradctl on a pseudo-terminal of a given width."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unicodedata
from dataclasses import dataclass

from graddb import GRADCTL, TIMEOUT_SECONDS, environment

ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")


@dataclass
class Screen:
    """What a command wrote: `terminal` on the pseudo-terminal, `pipe` to the other stream."""

    status: int
    terminal: str
    pipe: bytes

    @property
    def lines(self):
        """The terminal's lines, without colours and line ends."""
        return ESCAPE.sub("", self.terminal).replace("\r\n", "\n").splitlines()


def run_on_terminal(*arguments, columns=80, stream="stdout", **environment_changes):
    """Runs with standard output (or standard error) on a terminal and the other one on a pipe."""
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: terminal}
    process = subprocess.Popen(
        [str(GRADCTL), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        env=environment(TERM="xterm-256color", **environment_changes),
        **streams,
    )
    os.close(terminal)
    try:
        written = read_all(reader, time.monotonic() + TIMEOUT_SECONDS)
        other = process.stderr if stream == "stdout" else process.stdout
        pipe = other.read()
        status = process.wait(TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.communicate()
        os.close(reader)
    return Screen(status, written.decode("utf-8"), pipe)


def read_all(reader, deadline):
    """Everything until the last process closes the terminal; Linux reports that as an error."""
    chunks = []
    while select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            chunk = os.read(reader, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks)


def display_width(text):
    """Terminal columns of a line: wide East Asian characters and emoji take two."""
    width = 0
    for character in text:
        if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Cf"):
            continue
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width


class Session:
    """gradctl with all its streams on a pseudo-terminal, and someone who types."""

    def __init__(self, *arguments, columns=100, **environment_changes):
        self.reader, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        changes = {"TERM": "xterm-256color", "INPUTRC": "/dev/null", **environment_changes}
        self.process = subprocess.Popen(
            [str(GRADCTL), *map(str, arguments)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment(**changes),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        self.written = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.reader)

    def type(self, text):
        os.write(self.reader, text.encode())
        return self

    def wait_for(self, text, seconds=20):
        """What was written up to `text` since the last wait, without escape sequences."""
        deadline = time.monotonic() + seconds
        while text not in self.written:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.reader], [], [], left)[0]:
                raise AssertionError(f"no {text!r} in {self.written!r}")
            try:
                chunk = os.read(self.reader, 65536)
            except OSError:
                raise AssertionError(f"ended, and no {text!r} in {self.written!r}") from None
            self.written += ESCAPE.sub("", chunk.decode("utf-8", "replace"))
        before, _, self.written = self.written.partition(text)
        return before.replace("\r\n", "\n")

    def ask(self, text):
        """Types a line and gives what is written before the next prompt."""
        self.type(text + "\r")
        return self.wait_for("graddb> ")

    def end(self):
        """The exit status, when all is read."""
        read_all(self.reader, time.monotonic() + TIMEOUT_SECONDS)
        return self.process.wait(TIMEOUT_SECONDS)
