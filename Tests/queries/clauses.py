"""Which clauses, and which of their forms, a statement has; and which pairs of them there are.

    python3 Tests/queries/clauses.py          shows the pairs that no statement of the files has
"""

import itertools
import sys

sys.dont_write_bytecode = True

import query_files  # noqa: E402
import statement_reader  # noqa: E402

FORMS = {
    "SELECT": ["*", "columns", "AS"],
    "PER LAYER": ["PER LAYER"],
    "AT": ["number", "tag"],
    "SCORE": ["dot", "cosine", "self"],
    "TO": ["file", "file of a checkpoint", "parameter", "ROW", "ROWS WHERE"],
    "reduction": ["EACH", "MEAN", "SUM", "MAX"],
    "LAYERS": ["LAYERS"],
    "ACROSS": ["one", "several", "ALL"],
    "PRECONDITION": ["PRECONDITION"],
    "WHERE": ["WHERE"],
    "GROUP BY": ["SUM", "MEAN", "MAX", "MIN", "COUNT"],
    "ends": ["TOP", "BOTTOM", "both", "%", "ALL"],
    "accuracy": ["EXACT", "CONFIDENCE", "BUDGET"],
    "EXPLAIN": ["plan", "analyze"],
}


def forms(s):
    """Pairs of a clause and its form."""
    found = {("SCORE", s.measure), ("SELECT", selected(s))}
    if s.measure != "self":
        kind, value, _ = s.source
        of_checkpoint = kind == "file" and "{checkpoint}" in value
        kind = {"row": "ROW", "rows": "ROWS WHERE"}.get(kind, kind)
        found |= {("TO", "file of a checkpoint" if of_checkpoint else kind), ("reduction", s.reduction)}
    if s.explain:
        found.add(("EXPLAIN", s.explain))
    if s.per_layer:
        found.add(("PER LAYER", "PER LAYER"))
    if s.at:
        found.add(("AT", "number" if isinstance(s.at[0], int) else "tag"))
    clauses = s.clauses
    found |= {(name, name) for name in ("LAYERS", "PRECONDITION", "WHERE") if name in clauses}
    found |= {("accuracy", name) for name in FORMS["accuracy"] if name in clauses}
    if "ACROSS" in clauses:
        across = clauses["ACROSS"]
        found.add(("ACROSS", "ALL" if across == "ALL" else "one" if len(across) == 1 else "several"))
    if "GROUP" in clauses:
        found.add(("GROUP BY", clauses["GROUP"][2]))
    ends = [name for name in ("TOP", "BOTTOM", "ALL") if name in clauses]
    if ends:
        found.add(("ends", "both" if len(ends) == 2 else ends[0]))
        found |= {("ends", "%") for name in ends if not isinstance(clauses[name], (int, bool))}
    return found


def selected(s):
    if any(alias for _, alias, _ in s.items):
        return "AS"
    return "*" if any(name == "*" for name, _, _ in s.items) else "columns"


def all_pairs():
    """Those of two clauses, of which none excludes the other."""
    single = [(name, form) for name, forms in FORMS.items() for form in forms]
    return {frozenset(pair) for pair in itertools.combinations(single, 2)
            if pair[0][0] != pair[1][0] and not (
                ("SCORE", "self") in pair and {"TO", "reduction"} & {name for name, _ in pair})}


def missing_pairs(files):
    """Pairs that stand in no statement with an answer; a plan answers for EXPLAIN's own alone."""
    missing = all_pairs()
    for file in files:
        for block in file.blocks:
            if not block.answer.startswith("error"):
                found = forms(statement_reader.read(block.statement))
                explain = {form for form in found if form[0] == "EXPLAIN"}
                missing -= {frozenset(pair) for pair in itertools.combinations(found, 2)
                            if not explain or explain & set(pair)}
    return missing


if __name__ == "__main__":
    for pair in sorted(" × ".join(f"{name} {form}" for name, form in sorted(p))
                       for p in missing_pairs(query_files.all_files())):
        print(pair)
