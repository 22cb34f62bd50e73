"""A heat map of influence over tokens, as text for a terminal or as SVG. Standard library only.

A `Passage` is a text whose tokens have values; tokens with None took no part and stay plain. Values
are shown relative to `greatest`, the largest size of a value in the picture: warm where a token
pushes the model towards the answer, cold where it pushes away.
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape

WARM = ("#fff1e0", "#ffd9ae", "#ffb878", "#fb8d4b", "#e8592b", "#c4260f")
COLD = ("#e8f1fb", "#c3dcf4", "#8fbfe8", "#5a9bd6", "#2f74bb", "#12509a")
WARM_MARKS, COLD_MARKS = ".:-+*#", ".,;o%@"  # where there is no colour
SHOWN = 0.08  # smaller values, relative to the greatest, stay plain


@dataclass
class Passage:
    title: str
    tokens: list  # (text, value or None)


def level(value, greatest):
    """(whether it is positive, 0 to 5), or None for what is shown plain."""
    if value is None or not greatest or abs(value) < SHOWN * greatest:
        return None
    return value > 0, min(5, int(6 * abs(value) / greatest))


def greatest_value(passages):
    return max((abs(value) for passage in passages for _, value in passage.tokens
                if value is not None), default=0)


def words(tokens):
    """Lists of tokens between which a line may break: a word with the marks behind it."""
    found = []
    for token in tokens:
        if not found or token[0].startswith(" "):
            found.append([])
        found[-1].append(token)
    return found


def wrapped(tokens, width):
    """Lines of (text, value) that are no wider; a line does not begin with a space."""
    lines, line, used = [], [], 0
    for word in words(tokens):
        if line and used + sum(len(text) for text, _ in word) > width:
            lines.append(line)
            line, used = [], 0
            word = [(word[0][0].lstrip(" "), word[0][1]), *word[1:]]
        for text, value in word:
            while used + len(text) > width:  # a word wider than a line
                line.append((text[:width - used], value))
                text = text[width - used:]
                lines.append(line)
                line, used = [], 0
            line.append((text, value))
            used += len(text)
    return [*lines, line] if line else lines


# ---- terminal ----


def coloured(text, colour):
    red, green, blue = (int(colour[n:n + 2], 16) for n in (1, 3, 5))
    ink = "16" if red + 2 * green + blue > 420 else "231"
    return f"\x1b[48;2;{red};{green};{blue}m\x1b[38;5;{ink}m{text}\x1b[0m"


def terminal_line(line, greatest, colour):
    """One line of text, or two without colour: the text, and marks under it."""
    shown, marks = "", ""
    for text, value in line:
        found = level(value, greatest)
        if found is None:
            shown, marks = shown + text, marks + " " * len(text)
            continue
        bare = text.lstrip(" ")
        space = " " * (len(text) - len(bare))
        warm, step = found
        shown += space + (coloured(bare, (WARM if warm else COLD)[step]) if colour else bare)
        marks += space + (WARM_MARKS if warm else COLD_MARKS)[step] * len(bare)
    return [shown] if colour or not marks.strip() else [shown, marks.rstrip()]


def terminal(passages, greatest, colour=True, width=80):
    """The passages as lines of at most `width` columns."""
    lines = []
    for passage in passages:
        title = passage.title[:width]
        lines.append(f"\x1b[1m{title}\x1b[0m" if colour else title)
        for line in wrapped(passage.tokens, width - 2):
            lines += ["  " + text for text in terminal_line(line, greatest, colour)]
        lines.append("")
    return "\n".join(lines)


def legend(colour=True):
    warm = "".join(coloured("  ", c) for c in WARM) if colour else WARM_MARKS
    cold = "".join(coloured("  ", c) for c in reversed(COLD)) if colour else COLD_MARKS[::-1]
    return f"away from the answer {cold} {warm} towards it"


# ---- SVG ----

CHARACTER, LINE, SIZE, MARGIN = 7.8, 22, 13, 16


def svg(passages, greatest, width=92):
    """The passages as an SVG document, `width` characters wide."""
    parts, y = [], MARGIN
    for passage in passages:
        y += LINE
        parts.append(f'<text x="{MARGIN}" y="{y - 7}" class="title">{escape(passage.title)}</text>')
        for line in wrapped(passage.tokens, width):
            y += LINE
            x = MARGIN
            for text, value in line:
                bare = text.lstrip(" ")
                x += CHARACTER * (len(text) - len(bare))
                wide = CHARACTER * len(bare)
                found = level(value, greatest)
                dark = False
                if found is not None:
                    warm, step = found
                    dark = step > 3
                    parts.append(f'<rect x="{x - 1:.1f}" y="{y - 22}" width="{wide + 2:.1f}" '
                                 f'height="20" rx="3" fill="{(WARM if warm else COLD)[step]}">'
                                 f'<title>{value:+.3f}</title></rect>')
                kind = "plain" if value is None else "light" if dark else "token"
                parts.append(f'<text x="{x:.1f}" y="{y - 7}" class="{kind}" '
                             f'textLength="{wide:.1f}">{escape(bare)}</text>')
                x += wide
        y += LINE // 2
    total = 2 * MARGIN + CHARACTER * width
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{total:.0f}" height="{y + MARGIN}" \
viewBox="0 0 {total:.0f} {y + MARGIN}" font-family="ui-monospace, Menlo, Consolas, monospace" \
font-size="{SIZE}">
<style>.title {{ font-weight: bold }} .plain {{ fill: #777 }} .light {{ fill: #fff }}</style>
<rect width="100%" height="100%" fill="#fff"/>
{chr(10).join(parts)}
</svg>
"""
