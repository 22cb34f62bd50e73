// What is said of conditions that cannot be read, to the letter.

import GradDBQuery
import Testing

@Suite struct ConditionRefusalTests {
    static let cases = StatementCase.cases(
        """
        FROM t SCORE dot TO $q WHERE TOP 10
        ----
        line 1, column 30: unexpected 'TOP'; expected a column or a value
          FROM t SCORE dot TO $q WHERE TOP 10
                                       ^^^
        hint: 'TOP' is a reserved word; as a name it is written "TOP"

        FROM t SCORE dot TO $q WHERE tokens 5
        ----
        line 1, column 37: unexpected the number 5; expected a comparison, AND, OR, another clause (LAYERS, ACROSS, PRECONDITION, WHERE, GROUP, TOP, BOTTOM, ALL, EXACT, CONFIDENCE, BUDGET) or the end of the statement
          FROM t SCORE dot TO $q WHERE tokens 5
                                              ^

        FROM t SCORE dot TO $q WHERE tokens = 
        ----
        line 1, column 38: the statement ends here; expected a column or a value
          FROM t SCORE dot TO $q WHERE tokens = 
                                               ^

        FROM t SCORE dot TO $q WHERE tokens = 5 = 6
        ----
        line 1, column 41: comparisons do not chain; expected AND or OR between two comparisons
          FROM t SCORE dot TO $q WHERE tokens = 5 = 6
                                                  ^
        hint: a range is written x BETWEEN low AND high

        FROM t SCORE dot TO $q WHERE 1 < tokens < 5
        ----
        line 1, column 41: comparisons do not chain; expected AND or OR between two comparisons
          FROM t SCORE dot TO $q WHERE 1 < tokens < 5
                                                  ^
        hint: a range is written x BETWEEN low AND high

        FROM t SCORE dot TO $q WHERE (tokens = 5 TOP 3
        ----
        line 1, column 42: unexpected 'TOP'; expected ')'
          FROM t SCORE dot TO $q WHERE (tokens = 5 TOP 3
                                                   ^^^
        hint: the '(' at column 30 is not closed

        FROM t SCORE dot TO $q WHERE tokens = 5)
        ----
        line 1, column 40: unexpected ')'; expected a comparison, AND, OR, another clause (LAYERS, ACROSS, PRECONDITION, WHERE, GROUP, TOP, BOTTOM, ALL, EXACT, CONFIDENCE, BUDGET) or the end of the statement
          FROM t SCORE dot TO $q WHERE tokens = 5)
                                                 ^

        FROM t SCORE dot TO $q WHERE tokens IN 5
        ----
        line 1, column 40: unexpected the number 5; expected '(' and a list of values
          FROM t SCORE dot TO $q WHERE tokens IN 5
                                                 ^

        FROM t SCORE dot TO $q WHERE tokens IN ()
        ----
        line 1, column 41: unexpected ')'; expected a column or a value
          FROM t SCORE dot TO $q WHERE tokens IN ()
                                                  ^

        FROM t SCORE dot TO $q WHERE tokens IN (5 6)
        ----
        line 1, column 43: unexpected the number 6; expected ',' or ')'
          FROM t SCORE dot TO $q WHERE tokens IN (5 6)
                                                    ^
        hint: the '(' at column 40 is not closed

        FROM t SCORE dot TO $q WHERE tokens IN (5, 6
        ----
        line 1, column 45: the statement ends here; expected ',' or ')'
          FROM t SCORE dot TO $q WHERE tokens IN (5, 6
                                                      ^
        hint: the '(' at column 40 is not closed

        FROM t SCORE dot TO $q WHERE tokens NOT 5
        ----
        line 1, column 41: unexpected the number 5; expected IN, BETWEEN or LIKE
          FROM t SCORE dot TO $q WHERE tokens NOT 5
                                                  ^

        FROM t SCORE dot TO $q WHERE tokens BETWEEN 5 OR 6
        ----
        line 1, column 47: unexpected 'OR'; expected AND and the upper bound
          FROM t SCORE dot TO $q WHERE tokens BETWEEN 5 OR 6
                                                        ^^

        FROM t SCORE dot TO $q WHERE tokens BETWEEN 5
        ----
        line 1, column 46: the statement ends here; expected AND and the upper bound
          FROM t SCORE dot TO $q WHERE tokens BETWEEN 5
                                                       ^

        FROM t SCORE dot TO $q WHERE source LIKE 5
        ----
        line 1, column 42: unexpected the number 5; expected a pattern in single quotes
          FROM t SCORE dot TO $q WHERE source LIKE 5
                                                   ^

        FROM t SCORE dot TO $q WHERE source LIKE 'a' ESCAPE 'bc'
        ----
        line 1, column 53: 'bc' cannot escape; expected one character in single quotes, other than % and _
          FROM t SCORE dot TO $q WHERE source LIKE 'a' ESCAPE 'bc'
                                                              ^^^^

        FROM t SCORE dot TO $q WHERE tokens IS 5
        ----
        line 1, column 40: unexpected the number 5; expected NULL or NOT NULL
          FROM t SCORE dot TO $q WHERE tokens IS 5
                                                 ^
        hint: whether a column is true is the column itself: flagged, NOT flagged

        FROM t SCORE dot TO $q WHERE flagged IS TRUE
        ----
        line 1, column 41: unexpected 'TRUE'; expected NULL or NOT NULL
          FROM t SCORE dot TO $q WHERE flagged IS TRUE
                                                  ^^^^
        hint: whether a column is true is the column itself: flagged, NOT flagged

        FROM t SCORE dot TO $q WHERE tokens + = 5
        ----
        line 1, column 39: unexpected '='; expected a column or a value
          FROM t SCORE dot TO $q WHERE tokens + = 5
                                                ^

        FROM t SCORE dot TO $q WHERE tokens = 5 -
        ----
        line 1, column 42: the statement ends here; expected a column or a value
          FROM t SCORE dot TO $q WHERE tokens = 5 -
                                                   ^

        FROM t SCORE dot TO $q WHERE length() > 5
        ----
        line 1, column 37: unexpected ')'; expected a column or a value
          FROM t SCORE dot TO $q WHERE length() > 5
                                              ^

        FROM t SCORE dot TO $q WHERE length(a = 1) > 5
        ----
        line 1, column 39: unexpected '='; expected ',' or ')'
          FROM t SCORE dot TO $q WHERE length(a = 1) > 5
                                                ^
        hint: the '(' at column 36 is not closed

        FROM t SCORE dot TO $q WHERE "length"(source) > 5
        ----
        line 1, column 38: unexpected '('; expected a comparison, AND, OR, another clause (LAYERS, ACROSS, PRECONDITION, WHERE, GROUP, TOP, BOTTOM, ALL, EXACT, CONFIDENCE, BUDGET) or the end of the statement
          FROM t SCORE dot TO $q WHERE "length"(source) > 5
                                               ^

        FROM t SCORE dot TO $q WHERE tokens = $
        ----
        line 1, column 39: a lone '$'; expected a parameter such as $q
          FROM t SCORE dot TO $q WHERE tokens = $
                                                ^

        FROM t SCORE dot TO $q WHERE tokens = NOT flagged
        ----
        line 1, column 39: unexpected 'NOT'; expected a column or a value
          FROM t SCORE dot TO $q WHERE tokens = NOT flagged
                                                ^^^
        hint: 'NOT' is a reserved word; as a name it is written "NOT"

        FROM t SCORE dot TO $q WHERE tokens = 5 AN flagged
        ----
        line 1, column 41: unexpected 'AN'; expected a comparison, AND, OR, another clause (LAYERS, ACROSS, PRECONDITION, WHERE, GROUP, TOP, BOTTOM, ALL, EXACT, CONFIDENCE, BUDGET) or the end of the statement
          FROM t SCORE dot TO $q WHERE tokens = 5 AN flagged
                                                  ^^
        hint: did you mean AND?

        FROM t SCORE dot TO $q WHERE tokens =< 5
        ----
        line 1, column 38: unexpected '<'; expected a column or a value
          FROM t SCORE dot TO $q WHERE tokens =< 5
                                               ^

        FROM t SCORE dot TO $q WHERE !flagged
        ----
        line 1, column 30: the character '!' has no meaning here; expected a keyword, a name, a value or an operator
          FROM t SCORE dot TO $q WHERE !flagged
                                       ^
        hint: not equal is != or <>, and not is NOT

        FROM t SCORE dot TO $q WHERE flagged && flagged
        ----
        line 1, column 38: the character '&' has no meaning here; expected a keyword, a name, a value or an operator
          FROM t SCORE dot TO $q WHERE flagged && flagged
                                               ^
        hint: and is AND

        FROM t SCORE dot TO $q WHERE source = “alpaca”
        ----
        line 1, column 39: the character '“' has no meaning here; expected a keyword, a name, a value or an operator
          FROM t SCORE dot TO $q WHERE source = “alpaca”
                                                ^
        hint: a name is quoted with straight double quotes: "

        FROM t SCORE dot TO $q WHERE source = 'alpaca
        ----
        line 1, column 39: this string is not closed; expected a closing '
          FROM t SCORE dot TO $q WHERE source = 'alpaca
                                                ^

        FROM t SCORE dot TO $q WHERE "" = 5
        ----
        line 1, column 30: an empty name; expected a name between the double quotes
          FROM t SCORE dot TO $q WHERE "" = 5
                                       ^^
        hint: a string stands between single quotes: ''

        FROM t SCORE dot TO $q WHERE tokens = 5abc
        ----
        line 1, column 39: the number runs into 'abc'; expected a number such as 12, 0.5 or 2e-5, or a duration such as 200ms
          FROM t SCORE dot TO $q WHERE tokens = 5abc
                                                ^^^^
        hint: a name that starts with a digit needs double quotes

        FROM t SCORE dot TO $q WHERE tokens = 1e999
        ----
        line 1, column 39: this number is too large; expected a 64-bit integer or a finite 64-bit float
          FROM t SCORE dot TO $q WHERE tokens = 1e999
                                                ^^^^^

        FROM t SCORE dot TO $q WHERE tokens BETWEEN -0x1 AND 5
        ----
        line 1, column 46: the number runs into 'x1'; expected a number such as 12, 0.5 or 2e-5, or a duration such as 200ms
          FROM t SCORE dot TO $q WHERE tokens BETWEEN -0x1 AND 5
                                                       ^^^
        hint: a name that starts with a digit needs double quotes
        """)

    @Test(arguments: cases)
    func `a wrong condition is refused with its place`(statement: StatementCase) {
        let error = #expect(throws: QueryError.self) { try Statement.parse(statement.statement) }
        #expect(error?.rendered == statement.answer)
    }

    @Test func `a condition that stands alone must end`() {
        let error = #expect(throws: QueryError.self) {
            try Expression.parse(SourceText("a = 1 TOP 3"))
        }
        #expect(error?.expected == "a comparison, AND, OR, the end of the condition")
    }
}
