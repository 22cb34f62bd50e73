"""WHERE, row by row: a Pratt parser to a tree of tuples, and SQL's three-valued logic over it.

True, False and None for unknown; a value that is None is NULL. Python compares integers with
floats by their exact values, and strings by their scalars, as the language does.
"""

import math
import re

from query_words import RESERVED, Refused, number

COMPARISONS = {
    "=": lambda a, b: a == b, "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b, "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip
BINDING = {"OR": 1, "AND": 2, **dict.fromkeys(COMPARISONS, 4), "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}
TESTS = ("NOT", "IN", "BETWEEN", "LIKE", "IS")
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B)))


# ---- parsing ----


def parse(reader, power=0):
    """A condition, or with a higher power the operand that binds as tightly."""
    left = negation(reader, power)
    while True:
        word = reader.word
        operator = word.text.upper()
        if power < 4 and word.kind == "word" and operator in TESTS:
            left = tested(reader, left)
        elif word.kind in ("word", "sign") and BINDING.get(operator, 0) > power:
            reader.take()
            right = parse(reader, BINDING[operator])
            left = (operator, left, right, word.start)
            if operator in COMPARISONS and reader.word.text in COMPARISONS:
                reader.refuse("no further comparison")
        else:
            return left


def negation(reader, power):
    if power < 4 and reader.accept("NOT"):
        return ("NOT", parse(reader, 2))
    return factor(reader)


def factor(reader):
    if reader.accept("-"):
        if reader.word.kind == "integer":  # the smallest integer has no positive twin
            return ("value", number(reader.take(), negative=True))
        return ("negative", factor(reader))
    return factor(reader) if reader.accept("+") else primary(reader)


def primary(reader):
    word = reader.word
    if reader.accept("("):
        inner = parse(reader)
        reader.expect(")")
        return inner
    for text, value in (("TRUE", True), ("FALSE", False), ("NULL", None)):
        if reader.accept(text):
            return ("value", value)
    if word.kind == "string":
        return ("value", reader.take().value)
    if word.kind in ("integer", "float"):
        return ("value", number(reader.take()))
    if word.kind == "parameter":
        return ("parameter", reader.take().text[1:], word.start)
    if word.kind == "word" and word.text.upper() in RESERVED:
        reader.refuse("an operand")
    name = reader.kind("word", "quoted")
    if name.kind == "word" and reader.accept("("):
        return ("call", name.text.lower(), operands(reader), name.start)
    return ("column", name.value, name.start)


def operands(reader):
    """Operands between commas, to the closing parenthesis."""
    found = [parse(reader, 4)]
    while reader.accept(","):
        found.append(parse(reader, 4))
    reader.expect(")")
    return found


def tested(reader, left):
    start = reader.word.start
    if reader.accept("IS"):
        negated = reader.accept("NOT")
        reader.expect("NULL")
        node = ("IS NULL", left)
        return ("NOT", node) if negated else node
    negated = reader.accept("NOT")
    if reader.accept("IN"):
        reader.expect("(")
        node = any_equal(left, operands(reader), start)
    elif reader.accept("BETWEEN"):
        low = parse(reader, 4)
        reader.expect("AND")
        node = ("AND", (">=", left, low, start), ("<=", left, parse(reader, 4), start), start)
    elif reader.accept("LIKE"):
        pattern = reader.kind("string")
        escape = None
        if reader.accept("ESCAPE"):
            place, escape = reader.word.start, reader.kind("string").value
            if len(escape) != 1 or escape in "%_":
                raise Refused("no escape character", place)
        node = ("LIKE", left, expression(pattern.value, escape, pattern.start), start)
    else:
        reader.refuse("IN, BETWEEN or LIKE")
    return ("NOT", node) if negated else node


def any_equal(left, values, start):
    node = ("=", left, values[0], start)
    for value in values[1:]:
        node = ("OR", node, ("=", left, value, start), start)
    return node


def expression(pattern, escape, place):
    """A LIKE pattern as a regular expression."""
    parts, characters = [], iter(pattern)
    for character in characters:
        if character == escape:
            escaped = next(characters, "")
            if escaped not in ("%", "_", escape):
                raise Refused("the escape character escapes nothing", place)
            parts.append(re.escape(escaped))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


# ---- kinds ----

FUNCTIONS = {  # kinds of the arguments, kind of the result
    "length": (["string"], "number"), "lower": (["string"], "string"), "upper": (["string"], "string"),
    "trim": (["string"], "string"), "substr": (["string", "number", "number"], "string"),
    "abs": (["number"], "number"), "floor": (["number"], "number"), "ceil": (["number"], "number"),
    "round": (["number"], "number"),
}  # fmt: skip
KINDS = {"string": "string", "int": "number", "float": "number", "bool": "bool"}


def kind(node, types):
    """string, number or bool; None where any would do (NULL, a parameter)."""
    match node:
        case ("value", value):
            names = {bool: "bool", str: "string", type(None): None}
            return names.get(type(value), "number")
        case ("column", name, place):
            if name not in types:
                raise Refused(f"no column {name}", place)
            return KINDS[types[name]]
        case ("parameter", *_):
            return None
        case ("call", "coalesce", arguments, place):
            if len(arguments) < 2:
                raise Refused("coalesce takes two arguments or more", place)
            return one_kind(arguments, types)
        case ("call", name, arguments, place):
            if name not in FUNCTIONS:
                raise Refused(f"no function {name}", place)
            wanted, result = FUNCTIONS[name]
            if not len(wanted) - (name == "substr") <= len(arguments) <= len(wanted):
                raise Refused(f"{name} takes {len(wanted)} arguments", place)
            for argument, each in zip(arguments, wanted):
                expect_kind(argument, each, types)
            return result
        case ("negative", inner):
            return expect_kind(inner, "number", types)
        case (("+" | "-" | "*" | "/" | "%"), a, b, _):
            expect_kind(a, "number", types)
            return expect_kind(b, "number", types)
    return "bool"


def operand(node, types):
    """Refuses a condition where an operand is wanted."""
    if node[0] in ("NOT", "AND", "OR", "LIKE", "IS NULL", *COMPARISONS):
        raise Refused(f"a condition is no operand: {node}")
    kind(node, types)


def expect_kind(node, wanted, types):
    if kind(node, types) not in (wanted, None):
        raise Refused(f"this is no {wanted}: {node}")
    return wanted


def one_kind(nodes, types):
    kinds = {kind(node, types) for node in nodes} - {None}
    if len(kinds) > 1:
        raise Refused(f"values of different kinds: {sorted(kinds)}")
    return kinds.pop() if kinds else None


# ---- meaning ----


class Condition:
    """A parsed condition over rows whose columns have these types."""

    def __init__(self, node, types, parameters):
        self.node, self.types, self.parameters = node, types, parameters

    def keeps(self, row):
        return self.truth(self.node, row) is True

    def truth(self, node, row):
        match node:
            case ("NOT", inner):
                inner = self.truth(inner, row)
                return None if inner is None else not inner
            case ("AND", a, b, _):
                both = self.truth(a, row), self.truth(b, row)
                return False if False in both else None if None in both else True
            case ("OR", a, b, _):
                both = self.truth(a, row), self.truth(b, row)
                return True if True in both else None if None in both else False
            case ("IS NULL", inner):
                operand(inner, self.types)
                return self.value(inner, row) is None
            case ("LIKE", inner, pattern, _):
                expect_kind(inner, "string", self.types)
                text = self.value(inner, row, "string")
                return None if text is None else bool(pattern.fullmatch(text))
        if node[0] in COMPARISONS:
            return self.compared(node, row)
        expect_kind(node, "bool", self.types)
        return self.value(node, row, "bool")

    def compared(self, node, row):
        operator, a, b, _ = node
        operand(a, self.types), operand(b, self.types)
        common = one_kind([a, b], self.types)
        if common == "bool" and operator not in ("=", "==", "!=", "<>"):
            raise Refused("bools have no order")
        a, b = self.value(a, row, common), self.value(b, row, common)
        return None if a is None or b is None else COMPARISONS[operator](a, b)

    def value(self, node, row, wanted=None):
        match node:
            case ("value", value):
                return value
            case ("column", name, _):
                return row[name]
            case ("parameter", name, place):
                if name not in self.parameters:
                    raise Refused(f"nothing is bound to ${name}", place)
                return read_parameter(self.parameters[name], wanted, place)
            case ("negative", inner):
                value = self.value(inner, row, "number")
                return None if value is None else in_range(-value)
            case ("call", "coalesce", arguments, _):
                common = kind(node, self.types) or wanted
                values = [self.value(argument, row, common) for argument in arguments]
                found = next((value for value in values if value is not None), None)
                floats = common == "number" and self.is_float(node)
                return float(found) if floats and found is not None else found
            case ("call", name, arguments, _):
                kind(node, self.types)
                values = [self.value(a, row, k) for a, k in zip(arguments, FUNCTIONS[name][0])]
                return None if None in values else in_range(call(name, *values))
        kind(node, self.types)
        operator, a, b, _ = node
        a, b = self.value(a, row, "number"), self.value(b, row, "number")
        return None if a is None or b is None else in_range(arithmetic(operator, a, b))


    def is_float(self, node):
        """Whether a number is a float, which its operands' types decide and not their values."""
        match node:
            case ("value", value):
                return isinstance(value, float)
            case ("column", name, _):
                return self.types[name] == "float"
            case ("parameter", name, place):
                return isinstance(read_parameter(self.parameters[name], "number", place), float)
            case ("call", name, arguments, _):
                return name != "length" and any(map(self.is_float, arguments))
            case ("negative", inner):
                return self.is_float(inner)
        return node[0] == "/" or any(map(self.is_float, node[1:3]))


def read_parameter(text, wanted, place):
    if wanted == "bool" and text.upper() in ("TRUE", "FALSE"):
        return text.upper() == "TRUE"
    if wanted == "number" and re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if wanted == "number" and re.fullmatch(r"[+-]?(\d*\.\d+([eE][+-]?\d+)?|\d+[eE][+-]?\d+)", text):
        return float(text)
    if wanted in ("bool", "number"):
        raise Refused(f"{text!r} is no {wanted}", place)
    return text


def in_range(value):
    """None for an integer or float that is too large, the value else."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    return value


def arithmetic(operator, a, b):
    if operator in "/%" and b == 0:
        return None
    if operator == "/":
        return float(a) / float(b)
    try:
        if operator == "%":
            whole = isinstance(a, int) and isinstance(b, int)
            return int(math.copysign(1, a)) * (abs(a) % abs(b)) if whole else math.fmod(a, b)
        return {"+": a + b, "-": a - b, "*": a * b}[operator]
    except OverflowError:
        return None


def call(name, x, first=None, count=None):
    if name == "length":
        return len(x)
    if name == "trim":
        return x.strip(WHITE_SPACE)
    if name in ("lower", "upper"):
        return "".join(getattr(c, name)() for c in x)  # scalar by scalar: no final sigma
    if name == "substr":
        return substring(x, first, count)
    if isinstance(x, int):
        return abs(x) if name == "abs" else x
    if name == "round":
        whole = math.floor(abs(x))
        return math.copysign(float(whole + (abs(x) - whole >= 0.5)), x)
    return float({"abs": abs, "floor": math.floor, "ceil": math.ceil}[name](x))


def substring(text, first, count):
    """The scalars at positions first … first + count - 1 that there are."""
    if first != int(first) or count is not None and (count < 0 or count != int(count)):
        return None
    last = len(text) if count is None else int(first + count - 1)
    return text[max(0, int(first) - 1):max(0, last)]
