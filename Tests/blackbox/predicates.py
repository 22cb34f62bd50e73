"""Random WHERE conditions with their meaning in Python: SQL's three truth values.

Every node has `text`, as written in a statement, and `of(row)`. Operands give a value, or None for
NULL; conditions give True, False or None for unknown. A row passes only on True. Python compares
integers with floats by their exact values and strings by their scalars, as the language does.
"""

import math
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


def null_test(subject, negated):
    text = f"{subject.text} IS {'NOT ' * negated}NULL"
    return Node(text, lambda row: (subject.of(row) is None) != negated)


def parameter(name, value):
    return Node(f"${name}", lambda row: value)


# Arithmetic and functions. Integers are Python's, so what does not fit in 64 bits shows.


def computed(operator, a, b):
    if a is None or b is None:
        return None
    if operator in "/%" and b == 0:
        return None
    if isinstance(a, int) and isinstance(b, int) and operator != "/":
        result = remainder(a, b) if operator == "%" else INTEGER[operator](a, b)
        return result if -(2**63) <= result < 2**63 else None
    try:
        result = FLOAT[operator](float(a), float(b))
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def remainder(a, b):
    """With the sign of the left side, as in C."""
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


INTEGER = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
FLOAT = {**INTEGER, "/": lambda a, b: a / b, "%": math.fmod}


def chain(first, steps):
    """Operands of one strength from left to right; each in parentheses, to be sure of its tree."""
    text = f"({first.text})" + "".join(f" {o} ({operand.text})" for o, operand in steps)

    def value(row):
        result = first.of(row)
        for operator, operand in steps:
            result = computed(operator, result, operand.of(row))
        return result

    return Node(text, value)


def negative(operand):
    return Node(f"-({operand.text})", lambda row: computed("-", 0, operand.of(row)))


def magnitude(value):
    return None if value == -(2**63) and isinstance(value, int) else abs(value)


def rounded(value):
    """Halves away from zero."""
    whole = math.floor(abs(value))
    return math.copysign(whole + (abs(value) - whole >= 0.5), value)


def whole(function):
    return lambda value: value if isinstance(value, int) else float(function(value))


def by_scalar(function):
    """Python's own looks at what stands around a sigma."""
    return lambda text: "".join(map(function, text))


WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(c) for c in range(0x2000, 0x200B)
)
FUNCTIONS = {
    "string": {
        "lower": by_scalar(str.lower),
        "upper": by_scalar(str.upper),
        "trim": lambda s: s.strip(WHITE_SPACE),
    },
    "number": {
        "abs": magnitude,
        "floor": whole(math.floor),
        "ceil": whole(math.ceil),
        "round": whole(rounded),
    },
}


def call(name, function, operand):
    def value(row):
        argument = operand.of(row)
        return None if argument is None else function(argument)

    return Node(f"{name}({operand.text})", value)


def substr(operand, first, count):
    arguments = [operand, first] + [count] * (count is not None)

    def value(row):
        values = [argument.of(row) for argument in arguments]
        if None in values or values[-1] < 0 and count is not None:
            return None
        end = math.inf if count is None else values[1] + values[2]
        return "".join(c for place, c in enumerate(values[0], 1) if values[1] <= place < end)

    return Node(f"substr({', '.join(a.text for a in arguments)})", value)


def coalesce(operands, as_float=False):
    def value(row):
        found = next((v for v in (o.of(row) for o in operands) if v is not None), None)
        return float(found) if as_float and found is not None else found

    return Node(f"coalesce({', '.join(o.text for o in operands)})", value)


def random_computation(random, kind, depth=2):
    """A value that is worked out; its type may be known to no one but the row."""
    if depth == 0 or kind == "bool":
        operand = random_operand(random, kind)
        return coalesce([operand, column("b"), literal(False)]) if kind == "bool" else operand
    inner = random_computation(random, kind, depth - 1)
    if kind == "string":
        form = random.choice(["lower", "upper", "trim", "substr", "coalesce"])
        if form == "coalesce":
            return coalesce([inner, column("s"), random_value(random, kind)])
        if form == "substr":
            places = [literal(random.choice([-1, 0, 1, 2, 3, 2**63 - 1])) for _ in range(2)]
            return substr(inner, places[0], random.choice([None, places[1], column("i")]))
        return call(form, FUNCTIONS[kind][form], inner)
    form = random.choice(["sum", "product", "sign", "length", "function", "coalesce"])
    if form == "sign":
        return negative(inner)
    if form == "length":
        return call("length", len, random_computation(random, "string", depth - 1))
    if form == "function":
        name = random.choice(list(FUNCTIONS[kind]))
        return call(name, FUNCTIONS[kind][name], inner)
    if form == "coalesce":
        return coalesce([inner, column("f"), random_value(random, kind)], as_float=True)
    operators = "+-" if form == "sum" else "*/%"
    steps = [
        (random.choice(operators), random_computation(random, kind, depth - 1))
        for _ in range(random.randint(1, 3))
    ]
    return chain(inner, steps)


STRINGS = [
    "", "a", "A", "alpaca", "Alpaca", "alp%ca", "alp_ca", "it's", "größe", "gr\u006f\u0308ße",
    "漢字", "zz top", "line\nbreak", "r7", "r11", "\u2003spaced\t", "ὈΔΥΣΣΕΎΣ ΣΑΣ.", "ŉ ﬁ",
]  # fmt: skip
PATTERNS = ["%", "a%", "%a", "%pac%", "_", "__", "alp_ca", "A%", "", "%'%", "%ö%", "_字", "a%a%"]
ESCAPED = [("alp!%ca", "!"), ("alp!_ca", "!"), ("%!%%", "!"), ("a!!%", "!"), ("%字", "\\")]
INTS = [-(2**63), -7, -1, 0, 1, 2, 7, 100, 2**53, 2**53 + 1, 2**63 - 1]
FLOATS = [-1.5e300, -2.5, -0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 7.25, 2.0**53, 2.0**63, 1e300]
COLUMNS = {"string": ["s", "id"], "number": ["i", "f", "row"], "bool": ["b"]}
VALUES = {"string": STRINGS, "number": INTS + FLOATS, "bool": [True, False]}


def random_value(random, kind):
    return literal(None if random.random() < 0.05 else random.choice(VALUES[kind]))


def random_subject(random, kind):
    if random.random() < 0.4:
        return random_computation(random, kind)
    return column(random.choice(COLUMNS[kind]))


def random_operand(random, kind):
    if random.random() < 0.25:
        return column(random.choice(COLUMNS[kind]))
    return random_value(random, kind)


def random_leaf(random):
    kind = random.choice(["string", "string", "number", "number", "number", "bool"])
    subject = random_subject(random, kind)
    negated = random.random() < 0.3
    if random.random() < 0.12:
        return null_test(subject, negated)
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
