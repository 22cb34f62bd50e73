"""Calling the library: errors become exceptions, Ctrl-C stops long calls.

Python runs its signal handlers between bytecodes of the main thread, so a long call there would
keep Ctrl-C waiting. Such calls run on a thread of their own, while the main thread waits where it
can be interrupted; it then trips the call's cancellation and waits for the call to give up.
"""

from __future__ import annotations

import _thread
import ctypes
import json
import logging
import threading
from typing import Any, Callable

from . import errors
from ._library import library

_log = logging.getLogger("graddb")


class Cancellation:
    """Stops calls that were given it, from any thread: they raise `Interrupted`.

    It stays tripped: make a new one for the next call.
    """

    def __init__(self) -> None:
        self._handle = library.graddb_cancellation_create()

    def cancel(self) -> None:
        """Stops the calls under way, and all later ones."""
        library.graddb_cancellation_cancel(self._handle)

    def __del__(self) -> None:
        if library is not None and getattr(self, "_handle", None):
            library.graddb_cancellation_free(self._handle)


def encode(value: Any, what: str) -> bytes:
    """A text for C: UTF-8 without zero bytes."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {type(value).__name__}")
    if "\0" in value:
        raise errors.QueryError(f"{what} has a zero byte in it")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise errors.QueryError(f"{what} is not Unicode text: it has lone surrogates") from None


def call(name: str, *arguments: Any) -> Any:
    """Calls a function that takes an error as its last argument."""
    error = ctypes.c_void_p()
    result = getattr(library, name)(*arguments, ctypes.byref(error))
    if error.value is not None:
        code = library.graddb_error_code(error)
        message = library.graddb_error_message(error).decode(errors="replace")
        library.graddb_error_free(error)
        raise errors.BY_CODE.get(code, errors.Error)(message)
    return result


def call_text(name: str, *arguments: Any) -> Any:
    """Calls a function that returns JSON, and decodes it."""
    return take_json(call(name, *arguments))


def take_json(pointer: int) -> Any:
    """Decodes a text of the library, and frees it."""
    try:
        return json.loads(ctypes.string_at(pointer))
    finally:
        library.graddb_string_free(pointer)


def log_notes() -> None:
    """Hands the engine's notes to the logger `graddb`."""
    for note in take_json(library.graddb_take_notes()):
        level = logging.WARNING if note["level"] in ("warning", "error", "critical") \
            else logging.INFO
        _log.log(level, "%s", note["message"])


def call_long(name: str, *arguments: Any, cancellation: Cancellation | None = None,
              undo: Callable[[Any], None] | None = None, keep: Any = None) -> Any:
    """Calls a function whose last argument before the error is a cancellation.

    `undo` frees what the call returned where an interruption came too late to stop it. `keep`: what
    owns the memory that the call uses.
    """
    flag = cancellation or Cancellation()
    return interruptibly(lambda: call(name, *arguments, flag._handle), flag, undo, keep)


def interruptibly(body: Callable[[], Any], flag: Cancellation,
                  undo: Callable[[Any], None] | None = None, keep: Any = None) -> Any:
    """Runs `body`, which stops when `flag` is tripped, so that Ctrl-C trips it."""
    if threading.current_thread() is not threading.main_thread():
        return body()
    outcome: list[Any] = []
    done, gate = _thread.allocate_lock(), _thread.allocate_lock()
    done.acquire()
    _thread.start_new_thread(_work, (body, outcome, done, gate, keep))
    interruption: BaseException | None = None
    # An interruption may come between any two steps: what counts is whether there is an outcome.
    while not outcome:
        try:
            done.acquire()
        except BaseException as error:  # KeyboardInterrupt, or what another handler raises
            interruption = error
            flag.cancel()
            if gate.acquire(False):  # it has not begun, and now never will
                outcome.append((None, error))
            # Else its end is waited for: it uses the caller's memory.
    result, failure = outcome.pop()
    try:
        if interruption is not None:
            if failure is None and undo is not None:
                undo(result)
            raise interruption
        if failure is not None:
            raise failure
        return result
    finally:
        # An exception that its own frames refer to would keep the caller's arrays.
        del failure, interruption


def _work(body: Callable[[], Any], outcome: list[Any], done: Any, gate: Any, keep: Any) -> None:
    """Runs `body` unless its caller has given up; holds on to `keep` until it is done."""
    if not gate.acquire(False):
        return
    try:
        outcome.append((body(), None))
    except BaseException as error:  # handed over to the thread that waits
        outcome.append((None, error))
    finally:
        done.release()
