"""The words of a statement, and a reader that walks over them.

Written from format-spec/query-language.md alone. A text that is none is `Refused` with the offset
of what is wrong, so that the place in an error can be checked, too.
"""

import math
import re
from dataclasses import dataclass

RESERVED = set(
    "ACROSS AND AS AT BETWEEN BOTTOM ESCAPE EXACT FALSE FROM GROUP IN IS LAYERS LIKE NOT NULL OR"
    " PRECONDITION SELECT TO TOP TRUE WHERE".split())  # fmt: skip
FLOAT = r"\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+"
PATTERN = re.compile(
    rf"""(?P<space>\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)
    |(?P<string>'(?:[^']|'')*') |(?P<quoted>"(?:[^"]|"")+") |(?P<parameter>\$[^\W\d]\w*)
    |(?P<duration>(?:{FLOAT}|\d+)(?:us|ms|s|m|h)\b)
    |(?P<float>(?:{FLOAT})(?!\w)) |(?P<integer>\d+(?!\w)) |(?P<word>[^\W\d]\w*)
    |(?P<sign><=|>=|<>|!=|==|[-+*/%=<>(),;])""",
    re.VERBOSE | re.DOTALL)  # fmt: skip


class Refused(Exception):
    """A statement that means nothing. `place` is an offset into its text, or None."""

    def __init__(self, message, place=None):
        super().__init__(message)
        self.place = place


@dataclass(frozen=True)
class Word:
    kind: str
    text: str
    start: int
    end: int

    @property
    def value(self):
        """A string's or a quoted name's text; of all others, how it is written."""
        quote = {"string": "'", "quoted": '"'}.get(self.kind)
        return self.text[1:-1].replace(quote * 2, quote) if quote else self.text


def words_of(text):
    found, place = [], len(text) - len(text.removeprefix("\ufeff"))
    while place < len(text):
        match = PATTERN.match(text, place)
        if not match:
            raise Refused(f"no word begins with {text[place]!r}", place)
        if match.lastgroup != "space":
            found.append(Word(match.lastgroup, match.group(), place, match.end()))
        place = match.end()
    return found


class Reader:
    """Walks over words, each of which is looked at before it is taken."""

    def __init__(self, text):
        self.text = text
        self.words = words_of(text)
        self.next = 0

    @property
    def word(self):
        end = len(self.text.rstrip())
        return self.words[self.next] if self.next < len(self.words) else Word("end", "", end, end)

    def refuse(self, expected):
        raise Refused(f"expected {expected}, not {self.word.text!r}", self.word.start)

    def take(self):
        self.next += 1
        return self.words[self.next - 1]

    def at(self, *texts):
        """Whether the next words are these keywords or signs."""
        following = self.words[self.next:self.next + len(texts)]
        return [w.text.upper() for w in following if w.kind in ("word", "sign")] == list(texts)

    def accept(self, *texts):
        found = self.at(*texts)
        self.next += len(texts) * found
        return found

    def expect(self, *texts):
        if not self.accept(*texts):
            self.refuse(" ".join(texts))

    def kind(self, *kinds):
        """Takes a word of one of these kinds."""
        if self.word.kind not in kinds:
            self.refuse(" or ".join(kinds))
        return self.take()

    def name(self):
        if self.word.kind == "word" and self.word.text.upper() in RESERVED:
            self.refuse("a name")
        return self.kind("word", "quoted")

    def number(self):
        """A number with its sign."""
        negative = self.at("-")
        if not negative:
            self.accept("+")
        self.next += negative
        return number(self.kind("integer", "float"), negative)


def number(word, negative=False):
    """The value of an integer or a float, which has one only within its limits."""
    value = int(word.text) if word.kind == "integer" else float(word.text)
    value = -value if negative else value
    if not (-(2**63) <= value < 2**63 if word.kind == "integer" else math.isfinite(value)):
        raise Refused("this number is too large", word.start)
    return value
