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
