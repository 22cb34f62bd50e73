"""Random WHERE conditions with their meaning in Python: SQL's three truth values.

Every node has `text`, as written in a statement, and `of(row)`. Operands give a value, or None for
NULL; conditions give True, False or None for unknown. A row passes only on True. Python compares
integers with floats by their exact values and strings by their scalars, as the language does.
"""

import re
from dataclasses import dataclass
from typing import Callable


@dataclass
class Node:
    text: str
    of: Callable


def complement(value):
    return None if value is None else not value


def all_of(values):
    return False if False in values else None if None in values else True


def any_of(values):
    return True if True in values else None if None in values else False


def negation(inner):
    return Node(f"NOT ({inner.text})", lambda row: complement(inner.of(row)))


def conjunction(parts):
    text = " AND ".join(f"({part.text})" for part in parts)
    return Node(text, lambda row: all_of([part.of(row) for part in parts]))


def disjunction(parts):
    text = " OR ".join(f"({part.text})" for part in parts)
    return Node(text, lambda row: any_of([part.of(row) for part in parts]))


def literal(value):
    if value is None:
        text = "NULL"
    elif isinstance(value, bool):
        text = "TRUE" if value else "FALSE"
    elif isinstance(value, str):
        text = "'" + value.replace("'", "''") + "'"
    else:
        text = repr(value)
    return Node(text, lambda row: value)


def column(name):
    return Node(name, lambda row: row[name])


COMPARISONS = {
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compared(operator, a, b):
    return None if a is None or b is None else COMPARISONS[operator](a, b)


def comparison(left, operator, right):
    text = f"{left.text} {operator} {right.text}"
    return Node(text, lambda row: compared(operator, left.of(row), right.of(row)))


def tested(text, test, negated):
    return Node(text, (lambda row: complement(test(row))) if negated else test)


def membership(operand, values, negated):
    text = f"{operand.text} {'NOT ' * negated}IN ({', '.join(v.text for v in values)})"

    def test(row):
        return any_of([compared("=", operand.of(row), value.of(row)) for value in values])

    return tested(text, test, negated)


def between(operand, low, high, negated):
    text = f"{operand.text} {'NOT ' * negated}BETWEEN {low.text} AND {high.text}"

    def test(row):
        value = operand.of(row)
        return all_of([compared(">=", value, low.of(row)), compared("<=", value, high.of(row))])

    return tested(text, test, negated)


def like(operand, pattern, negated, escape=None):
    whole = re.compile(pattern_expression(pattern, escape), re.DOTALL)
    text = f"{operand.text} {'NOT ' * negated}LIKE {literal(pattern).text}"
    if escape:
        text += f" ESCAPE {literal(escape).text}"

    def test(row):
        value = operand.of(row)
        return None if value is None else bool(whole.fullmatch(value))

    return tested(text, test, negated)


def pattern_expression(pattern, escape):
    """`%` is any run of scalars, `_` one; behind the escape both stand for themselves."""
    parts, characters = [], iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters)))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return "".join(parts)


def null_test(name, negated):
    text = f"{name} IS {'NOT ' * negated}NULL"
    return Node(text, lambda row: (row[name] is None) != negated)


STRINGS = [
    "", "a", "A", "alpaca", "Alpaca", "alp%ca", "alp_ca", "it's", "größe", "gr\u006f\u0308ße",
    "漢字", "zz top", "line\nbreak", "r7", "r11",
]  # fmt: skip
PATTERNS = ["%", "a%", "%a", "%pac%", "_", "__", "alp_ca", "A%", "", "%'%", "%ö%", "_字", "a%a%"]
ESCAPED = [("alp!%ca", "!"), ("alp!_ca", "!"), ("%!%%", "!"), ("a!!%", "!"), ("%字", "\\")]
INTS = [-(2**63), -7, -1, 0, 1, 2, 7, 100, 2**53, 2**53 + 1, 2**63 - 1]
FLOATS = [-1.5e300, -2.5, -0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 7.25, 2.0**53, 2.0**63, 1e300]
COLUMNS = {"string": ["s", "id"], "number": ["i", "f", "row"], "bool": ["b"]}
VALUES = {"string": STRINGS, "number": INTS + FLOATS, "bool": [True, False]}


def random_value(random, kind):
    return literal(None if random.random() < 0.05 else random.choice(VALUES[kind]))


def random_operand(random, kind):
    if random.random() < 0.25:
        return column(random.choice(COLUMNS[kind]))
    return random_value(random, kind)


def random_leaf(random):
    kind = random.choice(["string", "string", "number", "number", "number", "bool"])
    subject = column(random.choice(COLUMNS[kind]))
    negated = random.random() < 0.3
    if random.random() < 0.12:
        return null_test(subject.text, negated)
    if kind == "bool":
        return random_bool_leaf(random, subject)
    form = random.choice(["comparison"] * 3 + ["in", "between"] + ["like"] * 2 * (kind == "string"))
    if form == "in":
        values = [random_operand(random, kind) for _ in range(random.randint(1, 5))]
        return membership(subject, values, negated)
    if form == "between":
        ends = random_operand(random, kind), random_operand(random, kind)
        return between(subject, *ends, negated)
    if form == "like":
        if random.random() < 0.3:
            pattern, escape = random.choice(ESCAPED)
            return like(subject, pattern, negated, escape)
        return like(subject, random.choice(PATTERNS), negated)
    pair = [subject, random_operand(random, kind)]
    random.shuffle(pair)
    return comparison(pair[0], random.choice(list(COMPARISONS)), pair[1])


def random_bool_leaf(random, subject):
    """A bool column stands alone, or is compared with a value."""
    if random.random() < 0.5:
        return subject
    other = random_value(random, "bool")
    return comparison(subject, random.choice(["=", "==", "!=", "<>"]), other)


def random_condition(random, depth=3):
    if depth == 0 or random.random() < 0.25:
        return random_leaf(random)
    shape = random.choice(["and", "or", "not"])
    if shape == "not":
        return negation(random_condition(random, depth - 1))
    parts = [random_condition(random, depth - 1) for _ in range(random.randint(2, 3))]
    return conjunction(parts) if shape == "and" else disjunction(parts)


def random_row(random):
    def maybe(values):
        return None if random.random() < 0.2 else random.choice(values)

    return {"s": maybe(STRINGS), "i": maybe(INTS), "f": maybe(FLOATS), "b": maybe([True, False])}
