// What is said of conditions that do not fit the table, to the letter.

import GradDB
import GradDBQuery
import Testing

@Suite struct PredicateRefusalTests {
    static let schema = [
        Field(name: "source", type: .string), Field(name: "tokens", type: .int),
        Field(name: "loss", type: .float), Field(name: "flagged", type: .bool),
    ]

    static let cases = StatementCase.cases(
        """
        FROM t SCORE dot TO $q WHERE source LIKE 'a!' ESCAPE '!'
        ----
        line 1, column 42: the escape character escapes nothing; expected %, _ or the escape character itself behind it
          FROM t SCORE dot TO $q WHERE source LIKE 'a!' ESCAPE '!'
                                                   ^^^^

        FROM t SCORE dot TO $q WHERE source = "alpaca"
        ----
        line 1, column 39: there is no column 'alpaca'; expected one of source, tokens, loss, flagged
          FROM t SCORE dot TO $q WHERE source = "alpaca"
                                                ^^^^^^^^
        hint: double quotes name a column; a string stands between single quotes

        FROM t SCORE dot TO $q WHERE sorce = 'alpaca'
        ----
        line 1, column 30: there is no column 'sorce'; expected one of source, tokens, loss, flagged
          FROM t SCORE dot TO $q WHERE sorce = 'alpaca'
                                       ^^^^^
        hint: did you mean source?

        FROM t SCORE dot TO $q WHERE nothing_like_it = 'alpaca'
        ----
        line 1, column 30: there is no column 'nothing_like_it'; expected one of source, tokens, loss, flagged
          FROM t SCORE dot TO $q WHERE nothing_like_it = 'alpaca'
                                       ^^^^^^^^^^^^^^^

        FROM t SCORE dot TO $q WHERE source = 5
        ----
        line 1, column 39: the number 5 cannot be compared with the string column 'source'; expected a string
          FROM t SCORE dot TO $q WHERE source = 5
                                                ^

        FROM t SCORE dot TO $q WHERE 5 = source
        ----
        line 1, column 30: the number 5 cannot be compared with the string column 'source'; expected a string
          FROM t SCORE dot TO $q WHERE 5 = source
                                       ^

        FROM t SCORE dot TO $q WHERE source < tokens
        ----
        line 1, column 39: the int column 'tokens' cannot be compared with the string column 'source'; expected a string
          FROM t SCORE dot TO $q WHERE source < tokens
                                                ^^^^^^

        FROM t SCORE dot TO $q WHERE tokens LIKE 'a%'
        ----
        line 1, column 30: LIKE cannot match the int column 'tokens'; expected a string column
          FROM t SCORE dot TO $q WHERE tokens LIKE 'a%'
                                       ^^^^^^

        FROM t SCORE dot TO $q WHERE tokens BETWEEN 5 AND 'x'
        ----
        line 1, column 51: the string 'x' cannot be compared with the int column 'tokens'; expected a number
          FROM t SCORE dot TO $q WHERE tokens BETWEEN 5 AND 'x'
                                                            ^^^

        FROM t SCORE dot TO $q WHERE flagged < TRUE
        ----
        line 1, column 30: the bool column 'flagged' has no order; expected a number or a string; bools compare with = and != only
          FROM t SCORE dot TO $q WHERE flagged < TRUE
                                       ^^^^^^^

        FROM t SCORE dot TO $q WHERE TRUE >= flagged
        ----
        line 1, column 30: TRUE has no order; expected a number or a string; bools compare with = and != only
          FROM t SCORE dot TO $q WHERE TRUE >= flagged
                                       ^^^^

        FROM t SCORE dot TO $q WHERE flagged = 1
        ----
        line 1, column 40: the number 1 cannot be compared with the bool column 'flagged'; expected TRUE, FALSE or a bool column
          FROM t SCORE dot TO $q WHERE flagged = 1
                                                 ^

        FROM t SCORE dot TO $q WHERE tokens
        ----
        line 1, column 30: the int column 'tokens' is not a condition; expected a comparison or a bool column
          FROM t SCORE dot TO $q WHERE tokens
                                       ^^^^^^

        FROM t SCORE dot TO $q WHERE NOT source
        ----
        line 1, column 34: the string column 'source' is not a condition; expected a comparison or a bool column
          FROM t SCORE dot TO $q WHERE NOT source
                                           ^^^^^^

        FROM t SCORE dot TO $q WHERE 'a'
        ----
        line 1, column 30: the string 'a' is not a condition; expected a comparison or a bool column
          FROM t SCORE dot TO $q WHERE 'a'
                                       ^^^

        FROM t SCORE dot TO $q WHERE (tokens = 1) = flagged
        ----
        line 1, column 30: a condition stands where a value should; expected a column or a value
          FROM t SCORE dot TO $q WHERE (tokens = 1) = flagged
                                       ^^^^^^^^^^^^

        FROM t SCORE dot TO $q WHERE tokens IN (1, 'x')
        ----
        line 1, column 44: the string 'x' cannot be compared with the int column 'tokens'; expected a number
          FROM t SCORE dot TO $q WHERE tokens IN (1, 'x')
                                                     ^^^

        FROM t
        SCORE dot TO $q
        \tWHERE tokens\t= 'x'
        ----
        line 3, column 17: the string 'x' cannot be compared with the int column 'tokens'; expected a number
           WHERE tokens = 'x'
                          ^^^

        FROM t SCORE dot TO $q WHERE source = '日本語' AND sorce = 'x' AND tokens = 5 AND tokens = 6 AND tokens = 7 AND tokens = 8
        ----
        line 1, column 49: there is no column 'sorce'; expected one of source, tokens, loss, flagged
          … dot TO $q WHERE source = '日本語' AND sorce = 'x' AND tokens = 5 AND tokens =…
                                                  ^^^^^
        hint: did you mean source?

        FROM t SCORE dot TO 'f' MEAN WHERE a = 1 or (b = -2.5e-3 and not (c or d) ) and e is not null TOP 3 across 'a' weight 2, 'b' weight -1e-5, 'c' layers 'x*','y' exact bottom 4
        ----
        line 1, column 36: there is no column 'a'; expected one of source, tokens, loss, flagged
          FROM t SCORE dot TO 'f' MEAN WHERE a = 1 or (b = -2.5e-3 and not (c or d) ) an…
                                             ^

        FROM t SCORE dot TO $q WHERE tokens + source > 1
        ----
        line 1, column 39: + cannot take the string column 'source'; expected a number
          FROM t SCORE dot TO $q WHERE tokens + source > 1
                                                ^^^^^^

        FROM t SCORE dot TO $q WHERE -flagged
        ----
        line 1, column 31: - cannot take the bool column 'flagged'; expected a number
          FROM t SCORE dot TO $q WHERE -flagged
                                        ^^^^^^^

        FROM t SCORE dot TO $q WHERE tokens * 2
        ----
        line 1, column 30: the result of arithmetic (an int) is not a condition; expected a comparison or a bool column
          FROM t SCORE dot TO $q WHERE tokens * 2
                                       ^^^^^^^^^^

        FROM t SCORE dot TO $q WHERE tokens / 2 = 'x'
        ----
        line 1, column 43: the string 'x' cannot be compared with the result of arithmetic (a float); expected a number
          FROM t SCORE dot TO $q WHERE tokens / 2 = 'x'
                                                    ^^^

        FROM t SCORE dot TO $q WHERE lenght(source) > 5
        ----
        line 1, column 30: there is no function 'lenght'; expected one of length, lower, upper, trim, substr, abs, floor, ceil, round, coalesce
          FROM t SCORE dot TO $q WHERE lenght(source) > 5
                                       ^^^^^^
        hint: did you mean length?

        FROM t SCORE dot TO $q WHERE length(source, 1) > 5
        ----
        line 1, column 30: length does not take 2 arguments; expected length(s)
          FROM t SCORE dot TO $q WHERE length(source, 1) > 5
                                       ^^^^^^^^^^^^^^^^^

        FROM t SCORE dot TO $q WHERE substr(source) = 'a'
        ----
        line 1, column 30: substr does not take 1 argument; expected substr(s, first) or substr(s, first, count)
          FROM t SCORE dot TO $q WHERE substr(source) = 'a'
                                       ^^^^^^^^^^^^^^

        FROM t SCORE dot TO $q WHERE substr(source, 'x') = 'a'
        ----
        line 1, column 45: substr cannot take the string 'x'; expected a number
          FROM t SCORE dot TO $q WHERE substr(source, 'x') = 'a'
                                                      ^^^

        FROM t SCORE dot TO $q WHERE length(tokens) > 5
        ----
        line 1, column 37: length cannot take the int column 'tokens'; expected a string
          FROM t SCORE dot TO $q WHERE length(tokens) > 5
                                              ^^^^^^

        FROM t SCORE dot TO $q WHERE source = length(source)
        ----
        line 1, column 39: the result of length (an int) cannot be compared with the string column 'source'; expected a string
          FROM t SCORE dot TO $q WHERE source = length(source)
                                                ^^^^^^^^^^^^^^

        FROM t SCORE dot TO $q WHERE coalesce(source, tokens) = 'a'
        ----
        line 1, column 47: coalesce cannot take the int column 'tokens' beside the string column 'source'; expected a string
          FROM t SCORE dot TO $q WHERE coalesce(source, tokens) = 'a'
                                                        ^^^^^^

        FROM t SCORE dot TO $q WHERE tokens = $nam
        ----
        line 1, column 39: nothing is bound to $nam; expected --param nam=VALUE on the command line, or a value from a program
          FROM t SCORE dot TO $q WHERE tokens = $nam
                                                ^^^^
        hint: did you mean name?

        FROM t SCORE dot TO $q WHERE tokens > $name
        ----
        line 1, column 39: the parameter $name is 'alpaca'; expected a number
          FROM t SCORE dot TO $q WHERE tokens > $name
                                                ^^^^^

        FROM t SCORE dot TO $q WHERE flagged = $name
        ----
        line 1, column 40: the parameter $name is 'alpaca'; expected TRUE or FALSE
          FROM t SCORE dot TO $q WHERE flagged = $name
                                                 ^^^^^

        FROM t SCORE dot TO $q WHERE (flagged) + 1 > 2
        ----
        line 1, column 30: + cannot take the bool column 'flagged'; expected a number
          FROM t SCORE dot TO $q WHERE (flagged) + 1 > 2
                                       ^^^^^^^^^

        FROM t SCORE dot TO $q WHERE count = 5
        ----
        line 1, column 30: there is no column 'count'; expected one of source, tokens, loss, flagged
          FROM t SCORE dot TO $q WHERE count = 5
                                       ^^^^^
        """)

    @Test(arguments: cases)
    func `a condition that does not fit is refused with its place`(
        statement: StatementCase
    ) throws {
        let parsed = try Statement.parse(statement.statement)
        let filter = try #require(parsed.filter)
        let error = #expect(throws: QueryError.self) {
            try BoundPredicate(
                filter, in: parsed.origin.source, schema: Self.schema,
                parameters: ["name": "alpaca"])
        }
        #expect(error?.rendered == statement.answer)
    }

    @Test func `a long list of columns is cut`() throws {
        let source = SourceText("missing")
        let schema = (0..<1000).map { Field(name: "field\($0)", type: .int) }
        let error = #expect(throws: QueryError.self) {
            try BoundPredicate(Expression.parse(source), in: source, schema: schema)
        }
        #expect(error?.expected.hasSuffix("field10, field11, …") == true)
    }
}
