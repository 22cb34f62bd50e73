// What is said of statements that are wrong, to the letter: the place, what was expected there, and
// a hint where one helps.

import GradDBQuery
import Testing

@Suite struct StatementRefusalTests {
    static let cases = StatementCase.cases(
        """
        SELCT * FROM t SCORE dot TO $q
        ----
        line 1, column 1: unexpected 'SELCT'; expected SELECT or FROM
          SELCT * FROM t SCORE dot TO $q
          ^^^^^
        hint: did you mean SELECT?

        INSERT INTO t
        ----
        line 1, column 1: unexpected 'INSERT'; expected SELECT or FROM
          INSERT INTO t
          ^^^^^^
        hint: statements only ask; gradctl has commands that change a table

        SELECT FROM t SCORE dot TO $q
        ----
        line 1, column 8: unexpected 'FROM'; expected * or the name of a column
          SELECT FROM t SCORE dot TO $q
                 ^^^^
        hint: 'FROM' is a reserved word; as a name it is written "FROM"

        SELECT id score FROM t SCORE dot TO $q
        ----
        line 1, column 11: unexpected 'score'; expected ',' or FROM
          SELECT id score FROM t SCORE dot TO $q
                    ^^^^^

        SELECT id, FROM t SCORE dot TO $q
        ----
        line 1, column 12: unexpected 'FROM'; expected * or the name of a column
          SELECT id, FROM t SCORE dot TO $q
                     ^^^^
        hint: 'FROM' is a reserved word; as a name it is written "FROM"

        SELECT * SCORE dot TO $q
        ----
        line 1, column 10: unexpected 'SCORE'; expected ',' or FROM
          SELECT * SCORE dot TO $q
                   ^^^^^

        SELECT *
        ----
        line 1, column 9: the statement ends here; expected ',' or FROM
          SELECT *
                  ^

        EXPLAIN
        ----
        line 1, column 8: the statement ends here; expected SELECT or FROM
          EXPLAIN
                 ^

        SELECT * FROM
        ----
        line 1, column 14: the statement ends here; expected the name of a table
          SELECT * FROM
                       ^

        SELECT * FROM SCORE dot TO $q
        ----
        line 1, column 15: unexpected 'SCORE'; expected the name of a table
          SELECT * FROM SCORE dot TO $q
                        ^^^^^
        hint: a table called so is written "score"

        SELECT * FROM my-table SCORE dot TO $q
        ----
        line 1, column 17: unexpected '-'; expected AT or SCORE
          SELECT * FROM my-table SCORE dot TO $q
                          ^
        hint: a name with other characters than letters, digits and _ needs double quotes

        SELECT * FROM 't' SCORE dot TO $q
        ----
        line 1, column 15: unexpected the string 't'; expected the name of a table
          SELECT * FROM 't' SCORE dot TO $q
                        ^^^

        SELECT * FROM select SCORE dot TO $q
        ----
        line 1, column 15: unexpected 'select'; expected the name of a table
          SELECT * FROM select SCORE dot TO $q
                        ^^^^^^
        hint: 'select' is a reserved word; as a name it is written "select"

        SELECT * FROM t
        ----
        line 1, column 16: the statement ends here; expected AT or SCORE
          SELECT * FROM t
                         ^

        SELECT * FROM t SCOR dot TO $q
        ----
        line 1, column 17: unexpected 'SCOR'; expected AT or SCORE
          SELECT * FROM t SCOR dot TO $q
                          ^^^^
        hint: did you mean SCORE?

        SELECT * FROM t AT step SCORE dot TO $q
        ----
        line 1, column 20: unexpected 'step'; expected a snapshot's number, or a tag or time in single quotes
          SELECT * FROM t AT step SCORE dot TO $q
                             ^^^^
        hint: AT 12, AT 'step-300' or AT '2026-01-31T12:00:00Z'

        SELECT * FROM t AT -1 SCORE dot TO $q
        ----
        line 1, column 20: unexpected '-'; expected a snapshot's number, or a tag or time in single quotes
          SELECT * FROM t AT -1 SCORE dot TO $q
                             ^
        hint: AT 12, AT 'step-300' or AT '2026-01-31T12:00:00Z'

        SELECT * FROM t WHERE a = 1 SCORE dot TO $q
        ----
        line 1, column 17: WHERE stands before SCORE; expected SCORE … TO … first
          SELECT * FROM t WHERE a = 1 SCORE dot TO $q
                          ^^^^^
        hint: the order is SELECT … FROM … AT … SCORE … TO … EACH, MEAN, SUM or MAX, then the other clauses

        SELECT * FROM t LIMIT 10
        ----
        line 1, column 17: unexpected 'LIMIT'; expected AT or SCORE
          SELECT * FROM t LIMIT 10
                          ^^^^^
        hint: TOP n returns the n highest scores, BOTTOM n the n lowest

        FROM t SCORE
        ----
        line 1, column 13: the statement ends here; expected dot, cosine or self
          FROM t SCORE
                      ^

        FROM t SCORE cosin TO $q
        ----
        line 1, column 14: unexpected 'cosin'; expected dot, cosine or self
          FROM t SCORE cosin TO $q
                       ^^^^^
        hint: did you mean cosine?

        FROM t SCORE dot $q
        ----
        line 1, column 18: unexpected the parameter $q; expected TO and the source of the queries
          FROM t SCORE dot $q
                           ^^
        hint: TO 'file.safetensors', TO $name, TO ROW 'id' or TO ROWS WHERE condition

        FROM t SCORE dot TO
        ----
        line 1, column 20: the statement ends here; expected a file in single quotes, $name, ROW or ROWS WHERE
          FROM t SCORE dot TO
                             ^
        hint: TO 'file.safetensors', TO $name, TO ROW 'id' or TO ROWS WHERE condition

        FROM t SCORE dot TO q
        ----
        line 1, column 21: unexpected 'q'; expected a file in single quotes, $name, ROW or ROWS WHERE
          FROM t SCORE dot TO q
                              ^
        hint: TO 'file.safetensors', TO $name, TO ROW 'id' or TO ROWS WHERE condition

        FROM t SCORE dot TO "q.npy"
        ----
        line 1, column 21: unexpected the name "q.npy"; expected a file in single quotes, $name, ROW or ROWS WHERE
          FROM t SCORE dot TO "q.npy"
                              ^^^^^^^
        hint: TO 'file.safetensors', TO $name, TO ROW 'id' or TO ROWS WHERE condition

        FROM t SCORE dot TO $
        ----
        line 1, column 21: a lone '$'; expected a parameter such as $q
          FROM t SCORE dot TO $
                              ^

        FROM t SCORE dot TO ROW
        ----
        line 1, column 24: the statement ends here; expected the id of a row: a string or an integer
          FROM t SCORE dot TO ROW
                                 ^

        FROM t SCORE dot TO ROW 1.5
        ----
        line 1, column 25: unexpected the number 1.5; expected the id of a row: a string or an integer
          FROM t SCORE dot TO ROW 1.5
                                  ^^^

        FROM t SCORE dot TO ROW -x
        ----
        line 1, column 26: unexpected 'x'; expected a number behind the sign
          FROM t SCORE dot TO ROW -x
                                   ^

        FROM t SCORE dot TO $q TOP 5 MEAN
        ----
        line 1, column 30: MEAN is misplaced; expected MEAN right behind the source of the queries
          FROM t SCORE dot TO $q TOP 5 MEAN
                                       ^^^^
        hint: the order is SELECT … FROM … AT … SCORE … TO … EACH, MEAN, SUM or MAX, then the other clauses

        FROM t SCORE dot TO $q LAYERS head
        ----
        line 1, column 31: unexpected 'head'; expected a pattern over layer names, in single quotes
          FROM t SCORE dot TO $q LAYERS head
                                        ^^^^
        hint: a string stands between single quotes: '…'

        FROM t SCORE dot TO $q LAYERS
        ----
        line 1, column 30: the statement ends here; expected a pattern over layer names, in single quotes
          FROM t SCORE dot TO $q LAYERS
                                       ^

        FROM t SCORE dot TO $q ACROSS
        ----
        line 1, column 30: the statement ends here; expected the name of a checkpoint in single quotes, or ALL
          FROM t SCORE dot TO $q ACROSS
                                       ^

        FROM t SCORE dot TO $q ACROSS 'a' WEIGHT
        ----
        line 1, column 41: the statement ends here; expected a number
          FROM t SCORE dot TO $q ACROSS 'a' WEIGHT
                                                  ^

        FROM t SCORE dot TO $q ACROSS 'a' WEIGHT 'x'
        ----
        line 1, column 42: unexpected the string 'x'; expected a number
          FROM t SCORE dot TO $q ACROSS 'a' WEIGHT 'x'
                                                   ^^^

        FROM t SCORE dot TO $q ACROSS 'a', 'a'
        ----
        line 1, column 36: this checkpoint is named twice; expected each checkpoint once, with the whole of its weight
          FROM t SCORE dot TO $q ACROSS 'a', 'a'
                                             ^^^

        FROM t SCORE dot TO $q ACROSS ALL WEIGHT 2
        ----
        line 1, column 35: unexpected 'WEIGHT'; expected no weights behind ALL
          FROM t SCORE dot TO $q ACROSS ALL WEIGHT 2
                                            ^^^^^^
        hint: ACROSS ALL uses the stored weights

        FROM t SCORE dot TO $q TOP
        ----
        line 1, column 27: the statement ends here; expected a whole number of rows, at least 1, or a percentage
          FROM t SCORE dot TO $q TOP
                                    ^

        FROM t SCORE dot TO $q TOP 0
        ----
        line 1, column 28: TOP 0 is no number of rows; expected a whole number of rows, at least 1, or a percentage
          FROM t SCORE dot TO $q TOP 0
                                     ^

        FROM t SCORE dot TO $q TOP -3
        ----
        line 1, column 28: TOP -3 is no number of rows; expected a whole number of rows, at least 1, or a percentage
          FROM t SCORE dot TO $q TOP -3
                                     ^^

        FROM t SCORE dot TO $q TOP 1.5
        ----
        line 1, column 28: TOP 1.5 is no number of rows; expected a whole number of rows, at least 1, or a percentage
          FROM t SCORE dot TO $q TOP 1.5
                                     ^^^

        FROM t SCORE dot TO $q TOP 5 TOP 6
        ----
        line 1, column 30: a second TOP; expected each clause once
          FROM t SCORE dot TO $q TOP 5 TOP 6
                                       ^^^
        hint: the first one is at column 24

        FROM t SCORE dot TO $q TOP 5 BOTOM 6
        ----
        line 1, column 30: unexpected 'BOTOM'; expected another clause (LAYERS, ACROSS, PRECONDITION, WHERE, GROUP, TOP, BOTTOM, ALL, EXACT, CONFIDENCE, BUDGET) or the end of the statement
          FROM t SCORE dot TO $q TOP 5 BOTOM 6
                                       ^^^^^
        hint: did you mean BOTTOM?

        FROM t SCORE dot TO $q TOP 99999999999999999999
        ----
        line 1, column 28: this number is too large; expected a 64-bit integer or a finite 64-bit float
          FROM t SCORE dot TO $q TOP 99999999999999999999
                                     ^^^^^^^^^^^^^^^^^^^^

        FROM t SCORE dot TO $q TOP 9223372036854775808
        ----
        line 1, column 28: this number is too large; expected an integer from -9223372036854775808 to 9223372036854775807
          FROM t SCORE dot TO $q TOP 9223372036854775808
                                     ^^^^^^^^^^^^^^^^^^^
        hint: with a decimal point it is read as a float

        FROM t SCORE dot TO $q FROM u
        ----
        line 1, column 24: FROM is misplaced; expected FROM before SCORE
          FROM t SCORE dot TO $q FROM u
                                 ^^^^
        hint: the order is SELECT … FROM … AT … SCORE … TO … EACH, MEAN, SUM or MAX, then the other clauses

        FROM t SCORE dot TO $q ORDER BY score
        ----
        line 1, column 24: unexpected 'ORDER'; expected another clause (LAYERS, ACROSS, PRECONDITION, WHERE, GROUP, TOP, BOTTOM, ALL, EXACT, CONFIDENCE, BUDGET) or the end of the statement
          FROM t SCORE dot TO $q ORDER BY score
                                 ^^^^^
        hint: rows come in the order of their scores: TOP n the highest, BOTTOM n the lowest

        FROM t SCORE dot TO $q LIMIT 5
        ----
        line 1, column 24: unexpected 'LIMIT'; expected another clause (LAYERS, ACROSS, PRECONDITION, WHERE, GROUP, TOP, BOTTOM, ALL, EXACT, CONFIDENCE, BUDGET) or the end of the statement
          FROM t SCORE dot TO $q LIMIT 5
                                 ^^^^^
        hint: TOP n returns the n highest scores, BOTTOM n the n lowest

        FROM t SCORE dot TO $q; FROM u SCORE dot TO $q
        ----
        line 1, column 25: unexpected 'FROM'; expected the end of the text behind ';'
          FROM t SCORE dot TO $q; FROM u SCORE dot TO $q
                                  ^^^^
        hint: several statements belong in a script

        FROM t SCORE dot TO $q EXACTLY
        ----
        line 1, column 24: unexpected 'EXACTLY'; expected another clause (LAYERS, ACROSS, PRECONDITION, WHERE, GROUP, TOP, BOTTOM, ALL, EXACT, CONFIDENCE, BUDGET) or the end of the statement
          FROM t SCORE dot TO $q EXACTLY
                                 ^^^^^^^
        hint: did you mean EXACT?

        FROM t SCORE dot TO $q WHERE
        ----
        line 1, column 29: the statement ends here; expected a column or a value
          FROM t SCORE dot TO $q WHERE
                                      ^

        FROM t SCORE dot TO $q /* a comment
        ----
        line 1, column 24: this comment is not closed; expected */ at its end
          FROM t SCORE dot TO $q /* a comment
                                 ^^
        """)

    @Test(arguments: cases)
    func `a wrong statement is refused with its place`(statement: StatementCase) {
        let error = #expect(throws: QueryError.self) { try Statement.parse(statement.statement) }
        #expect(error?.rendered == statement.answer)
    }

    @Test(arguments: ["", " \n ", "-- nothing", ";"])
    func `an empty statement is refused`(text: String) {
        let error = #expect(throws: QueryError.self) { try Statement.parse(text) }
        #expect(error?.message == "the statement ends here")
        #expect(error?.expected == "SELECT or FROM")
    }
}
