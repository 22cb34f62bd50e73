"""Random statements over `small` and `conditioned`: every clause by chance, conditions of random shape."""

STRINGS = ["", "web", "book", "howdy", "STRASSE", "größe", "a_b", "it's", " ", "wide", "e", "9"]
INTEGERS = ["0", "1", "-1", "2", "7", "17", "64", "512", "9007199254740993", "-9223372036854775808"]
FLOATS = ["0.5", "2.25", "-1.5", "1e300", "0.0", "9007199254740992.0", ".1", "25E-1"]
PATTERNS = ["%", "%e%", "_owdy", "a!_b", "100!%%", "", "%ß%", "__", "%s"]
SOURCES = [
    "'one.safetensors'", "'three.safetensors'", "$q", "'at-{checkpoint}.safetensors'", "ROW 'web-1'",
    "ROW 'code-1'", "ROWS WHERE id IN ('web-1', 'none-0', 'book-1')",
    "ROWS WHERE row = 5 OR row > 9 AND row < 13",
]  # fmt: skip

STATES = [["", "", "AT 1 ", "AT 2 ", "AT 'final' "], ["", "AT 8 ", "AT 'prepared' "]]
GROUPS = ["sum", "mean", "max", "min", "count"]
ENDS = [[], ["TOP 3"], ["BOTTOM 2"], ["TOP 2", "BOTTOM 2"], ["TOP 15%"], ["ALL"], ["BOTTOM 7.5%"]]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def number(random, depth):
    kind = random.randrange(9 if depth else 4)
    if kind < 2:
        return random.choice(["tokens", "loss", "row"])
    if kind < 4:
        return random.choice(INTEGERS + FLOATS)
    inner = number(random, depth - 1)
    if kind < 7:
        return f"({inner} {random.choice('+-*/%')} {number(random, depth - 1)})"
    if kind == 7:
        return random.choice([
            f"{random.choice(['abs', 'floor', 'ceil', 'round'])}({inner})",
            f"length({string(random, depth - 1)})",
            f"coalesce({inner}, {number(random, depth - 1)})"])
    return f"(- {inner})"


def string(random, depth):
    kind = random.randrange(6 if depth else 3)
    if kind < 2:
        return random.choice(["source", "text", "id"])
    if kind == 2:
        return quoted(random.choice(STRINGS))
    inner = string(random, depth - 1)
    if kind == 3:
        return f"{random.choice(['lower', 'upper', 'trim'])}({inner})"
    if kind == 4:
        count = f", {random.randint(-1, 5)}" if random.random() < 0.7 else ""
        return f"substr({inner}, {random.randint(-2, 4)}{count})"
    return f"coalesce({inner}, {string(random, depth - 1)})"


def bool_(random, depth):
    return random.choice(["flagged", "flagged", "TRUE", "FALSE", "coalesce(flagged, FALSE)"])


def predicate(random):
    operand = random.choice([number, number, string, string, bool_])

    def other():
        return "NULL" if random.random() < 0.05 else operand(random, 2)

    x, negated = operand(random, 2), random.choice(["", "", "NOT "])
    kind = random.randrange(6)
    if kind == 0:
        return f"{x} IS {negated}NULL"
    if operand is bool_:
        return x if kind < 3 else f"{x} {random.choice(['=', '!=', '<>', '=='])} {other()}"
    if kind == 1:
        return f"{x} {negated}IN ({', '.join(other() for _ in range(random.randint(1, 4)))})"
    if kind == 2:
        return f"{x} {negated}BETWEEN {other()} AND {other()}"
    if kind == 3 and operand is string:
        pattern = random.choice(PATTERNS)
        return f"{x} {negated}LIKE {quoted(pattern)}" + " ESCAPE '!'" * ("!" in pattern)
    return f"{x} {random.choice(['=', '!=', '<', '<=', '>', '>='])} {other()}"


def condition(random, depth=2):
    kind = random.randrange(5) if depth else 0
    if kind < 2:
        return predicate(random)
    if kind == 2:
        return f"NOT ({condition(random, depth - 1)})"
    operator = f" {random.choice(['AND', 'OR'])} "
    return operator.join(f"({condition(random, depth - 1)})" for _ in range(random.randint(2, 3)))


def statement(random):
    """A statement that has a meaning, whatever it is of."""
    def sometimes(text, share=0.3):
        return [text] if random.random() < share else []

    group = random.choice(["source", "flagged", "tokens", "loss"]) if random.random() < 0.3 else None
    conditioned = random.random() < 0.3
    at = random.choice(STATES[conditioned])
    table = "conditioned" if conditioned else "small"
    columns = ["rows", "score"] if group else ["row", "source", "checkpoint", "score AS score_too"]
    layer = random.random() < 0.25
    head = f"SELECT {', '.join(random.sample(columns, 2))} {'PER LAYER ' * layer}FROM {table} {at}SCORE "
    if random.random() < 0.2:
        head += "self"
    else:
        reduction = random.choice(["", "EACH", "MEAN", "SUM", "MAX"])
        head += f"{random.choice(['dot', 'cosine'])} TO {random.choice(SOURCES)} {reduction}"
    across = ["ALL", "'step-1'", "'step-1' WEIGHT -0.5"]
    if at != "AT 1 ":
        across += ["'step-2', 'step-1'", "'step-1' WEIGHT 2e-5, 'step-2' WEIGHT 1e-5"]
    clauses = [
        *sometimes("LAYERS " + random.choice(["'*.mlp'", "'head'", "'layers.0.*', 'head'"])),
        *sometimes("ACROSS " + random.choice(across), 0.5),
        *sometimes("PRECONDITION " + random.choice(["fisher", "diagonal"]), float(conditioned)),
        *sometimes("WHERE " + condition(random), 0.7),
        *sometimes(f"GROUP BY {group} WITH {random.choice(GROUPS)}", bool(group)),
        *random.choice(ENDS),
        *random.choice([[], [], ["EXACT"], ["CONFIDENCE 0.99"]]),
    ]  # fmt: skip
    random.shuffle(clauses)
    return " ".join([head.strip(), *clauses])
