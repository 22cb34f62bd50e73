"""Heat maps as text and as SVG: widths, colours, marks, and the text itself unchanged."""

import random
import re
import xml.etree.ElementTree as ElementTree

import demo_paths  # noqa: F401
import pytest

import rendering
from rendering import Passage

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
SVG = "{http://www.w3.org/2000/svg}"


def random_passages(seed):
    random.seed(seed)
    words = [" a", " whale", " ->", "!", " 7", " über", " " + "long" * 30, " <&>"]
    return [Passage(f"row {n}", [(random.choice(words), random.choice([None, 0.0]) if
                                  random.random() < 0.3 else random.uniform(-1, 1))
                                 for _ in range(random.randint(1, 60))]) for n in range(3)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("width", [20, 80])
def test_no_line_is_wider_than_asked_and_no_text_is_lost(seed, width):
    passages = random_passages(seed)
    greatest = rendering.greatest_value(passages)
    coloured = rendering.terminal(passages, greatest, True, width)
    lines = ESCAPE.sub("", coloured).split("\n")
    assert max(map(len, lines)) <= width
    expected = "".join(p.title + "".join(text for text, _ in p.tokens) for p in passages)
    assert "".join(lines).replace(" ", "") == expected.replace(" ", "")


@pytest.mark.parametrize("seed", range(20))
def test_without_colour_there_are_marks_under_the_words_and_no_escapes(seed):
    passages = random_passages(seed)
    plain = rendering.terminal(passages, rendering.greatest_value(passages), False, 80)
    assert "\x1b" not in plain
    assert max(map(len, plain.split("\n"))) <= 80


def test_marks_say_sign_and_size():
    tokens = [("up", 1.0), (" some", 0.5), (" none", None), (" down", -1.0), (" little", 0.01)]
    _, text, marks, _ = rendering.terminal([Passage("t", tokens)], 1.0, False).split("\n")
    assert text == "  up some none down little"
    assert marks == "  ## ++++      @@@@".replace("+", rendering.WARM_MARKS[3])


def test_levels_grow_with_the_value_and_keep_its_sign():
    levels = [rendering.level(n / 100, 1.0) for n in range(-100, 101)]
    steps = [0 if found is None else (1 if found[0] else -1) * (found[1] + 1) for found in levels]
    assert steps == sorted(steps) and steps[0] == -6 and steps[-1] == 6 and steps[100] == 0
    assert rendering.level(None, 1.0) is None and rendering.level(0.5, 0) is None


def test_values_are_relative_to_the_greatest():
    small = Passage("t", [("a", 0.001), (" b", -0.0005)])
    large = Passage("t", [("a", 1000.0), (" b", -500.0)])
    pictures = {rendering.terminal([p], rendering.greatest_value([p]), True) for p in (small, large)}
    assert len(pictures) == 1


def test_the_svg_is_well_formed_and_has_a_box_for_each_token_that_counts():
    passages = random_passages(3)
    greatest = rendering.greatest_value(passages)
    root = ElementTree.fromstring(rendering.svg(passages, greatest))
    boxes = [box for box in root.iter(SVG + "rect") if box.find(SVG + "title") is not None]
    split = [piece for p in passages for line in rendering.wrapped(p.tokens, 92) for piece in line]
    assert len(boxes) == sum(rendering.level(value, greatest) is not None for _, value in split)
    wide = float(root.get("width"))
    assert all(0 <= float(b.get("x")) and float(b.get("x")) + float(b.get("width")) <= wide
               for b in boxes)
    texts = "".join(text.text or "" for text in root.iter(SVG + "text"))
    assert "über" in texts and "<&>" in texts
