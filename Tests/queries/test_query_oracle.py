"""The oracle by hand: small sums that anybody can check, and that what compares can tell."""

import numpy as np
import pytest

import conditions
import query_files
import query_oracle
import statement_reader
from query_oracle import Checkpoint, Table
from query_words import Reader, Refused


@pytest.fixture
def table():
    """Three rows of two dims; the second checkpoint lacks the last one."""
    early = Checkpoint("early", 2.0, {"g": np.array([[1.0, 0], [0, 2], [3, 4]])}, np.array([True] * 3))
    has = np.array([True, True, False])
    late = Checkpoint("late", 10.0, {"g": np.array([[1.0, 1], [2, 0], [9, 9]])}, has)
    rows = [{"id": "a", "s": "x"}, {"id": "b", "s": None}, {"id": "c", "s": "x"}]
    return Table("t", ["g"], {"s": "string"}, rows, [early, late])


def scores(table, text, query=((1.0, 2.0),)):
    files = {"q": {"g": np.array(query)}}
    question = query_oracle.question({"t": table}, files, {}, statement_reader.read(text))
    return {line["id"]: line["score"] for line in question.answer()}


def test_dot_products_are_those_of_the_newest_checkpoint(table):
    assert scores(table, "FROM t SCORE dot TO 'q'") == {"a": 3.0, "b": 2.0}


def test_tracin_adds_by_weight_and_a_missing_row_gets_nothing(table):
    assert scores(table, "FROM t SCORE dot TO 'q' ACROSS ALL") == {
        "a": 2 * 1 + 10 * 3, "b": 2 * 4 + 10 * 2, "c": 2 * 11}


def test_the_largest_is_of_the_sums(table):
    found = scores(table, "FROM t SCORE dot TO 'q' MAX ACROSS ALL", [[1.0, 0], [0, 1]])
    assert found == {"a": max(2 * 1 + 10 * 1, 0 + 10 * 1), "b": max(0 + 10 * 2, 2 * 2 + 0), "c": 2 * 4}


def test_influence_is_by_the_inverse_of_the_damped_second_moment(table):
    table.preconditioners["h"] = query_oracle.preconditioner(table, damping=1.0)
    # H = ([[1, 1], [1, 1]] + [[4, 0], [0, 0]]) / 2 + I = [[3.5, 0.5], [0.5, 1.5]], det 5
    inverse = np.array([[1.5, -0.5], [-0.5, 3.5]]) / 5
    found = scores(table, "FROM t SCORE dot TO 'q' PRECONDITION h")
    assert found["a"] == pytest.approx(np.array([1, 2]) @ inverse @ np.array([1, 1]))
    assert scores(table, "FROM t SCORE self PRECONDITION h")["b"] == pytest.approx(4 * 1.5 / 5)
    cosine = scores(table, "FROM t SCORE cosine TO ROW 'b' PRECONDITION h")
    assert cosine["b"] == pytest.approx(1.0) and -1 < cosine["a"] < 1


def test_groups_have_their_rows_in_order_and_null_is_one(table):
    assert scores(table, "FROM t SCORE dot TO 'q' ACROSS 'early' GROUP BY s WITH mean ALL") == {
        "x": (1 + 11) / 2, None: 4.0}


def test_shares_are_rounded_up(table):
    for share, count in (("33", 1), ("33.4", 2), ("66.6", 2), ("67", 3), ("0.01", 1), ("100", 3)):
        assert len(scores(table, f"FROM t SCORE self ACROSS 'early' TOP {share}%")) == count


TRUTH = [(True, True, True, True, False), (True, None, None, True, False), (True, False, False, True, False),
         (None, None, None, None, None), (None, False, False, None, None), (False, False, False, False, True)]


@pytest.mark.parametrize("a,b,both,either,opposite", TRUTH)
def test_three_valued_logic(a, b, both, either, opposite):
    for text, expected in (("a AND b", both), ("b AND a", both), ("a OR b", either), ("b OR a", either),
                           ("NOT a", opposite)):
        node = conditions.parse(Reader(text))
        condition = conditions.Condition(node, {"a": "bool", "b": "bool"}, {})
        assert condition.truth(node, {"a": a, "b": b}) is expected


@pytest.mark.parametrize("text", ["a +", "1 < 2 < 3", "a = 'x", "(a", "a IN ()", "NOT", "a LIKE 5", "a b"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(Refused):
        reader = Reader(text)
        conditions.parse(reader)
        if reader.word.kind != "end":
            reader.refuse("an end")


ANSWER = "query\trank\tend\tid\tscore\n$q\t1\ttop\ta\t2.5\n$q\t2\ttop\tb\t-1.25"


@pytest.mark.parametrize("wrong", [
    ANSWER.replace("2.5", "2.50001"), ANSWER.replace("\ta\t", "\tc\t"), ANSWER.replace("$q\t2", "$q\t3"),
    ANSWER.replace("score", "scores"), ANSWER.rpartition("\n")[0], ANSWER + "\n$q\t3\ttop\tc\t-2", "no rows"])
def test_a_wrong_answer_differs(wrong):
    assert query_files.differences(ANSWER, wrong, 1e-6)


def test_the_right_answer_does_not_differ():
    assert not query_files.differences(ANSWER, ANSWER.replace("2.5", "2.500001"), 1e-6)
    assert not query_files.differences("no rows", "no rows", 1e-6)


def test_dots_stand_for_any_text():
    assert query_files.matches("a … c", "a b\nb c") and not query_files.matches("a … c", "a b c d")
