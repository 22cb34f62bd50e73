// Words of the whole language that this version does not do yet: it says so at the word.

import GradDBQuery
import Testing

@Suite struct LaterVersionTests {
    static let cases = StatementCase.cases(
        """
        SELECT lower(source) FROM t SCORE dot TO $q
        ----
        line 1, column 8: the function lower is not available in this version; expected the name of a column
          SELECT lower(source) FROM t SCORE dot TO $q
                 ^^^^^

        FROM t SCORE self
        ----
        line 1, column 14: self is not available in this version; expected dot or cosine
          FROM t SCORE self
                       ^^^^

        FROM t SCORE dot TO ROWS WHERE a = 1
        ----
        line 1, column 21: ROWS WHERE is not available in this version; expected a file in single quotes, $name or ROW
          FROM t SCORE dot TO ROWS WHERE a = 1
                              ^^^^

        FROM t SCORE dot TO $q SUM
        ----
        line 1, column 24: SUM is not available in this version; expected EACH or MEAN
          FROM t SCORE dot TO $q SUM
                                 ^^^

        FROM t SCORE dot TO $q MAX
        ----
        line 1, column 24: MAX is not available in this version; expected EACH or MEAN
          FROM t SCORE dot TO $q MAX
                                 ^^^

        FROM t SCORE dot TO $q TOP 5%
        ----
        line 1, column 28: TOP with a percentage is not available in this version; expected a whole number of rows, at least 1
          FROM t SCORE dot TO $q TOP 5%
                                     ^^

        FROM t SCORE dot TO $q TOP ALL
        ----
        line 1, column 28: TOP ALL is not available in this version; expected a whole number of rows, at least 1
          FROM t SCORE dot TO $q TOP ALL
                                     ^^^

        FROM t SCORE dot TO $q ALL
        ----
        line 1, column 24: ALL is not available in this version; expected TOP or BOTTOM with a number of rows
          FROM t SCORE dot TO $q ALL
                                 ^^^

        FROM t SCORE dot TO $q PRECONDITION fisher
        ----
        line 1, column 24: PRECONDITION is not available in this version; expected scores without a preconditioner
          FROM t SCORE dot TO $q PRECONDITION fisher
                                 ^^^^^^^^^^^^

        FROM t SCORE dot TO $q GROUP BY source WITH sum
        ----
        line 1, column 24: GROUP BY is not available in this version; expected one result for each row
          FROM t SCORE dot TO $q GROUP BY source WITH sum
                                 ^^^^^

        FROM t SCORE dot TO $q PER LAYER
        ----
        line 1, column 24: PER LAYER is not available in this version; expected one score over all chosen layers
          FROM t SCORE dot TO $q PER LAYER
                                 ^^^

        SELECT id, score PER LAYER FROM t SCORE dot TO $q
        ----
        line 1, column 18: PER LAYER is not available in this version; expected one score over all chosen layers
          SELECT id, score PER LAYER FROM t SCORE dot TO $q
                           ^^^
        """)

    @Test(arguments: cases)
    func `what a later version will do is named as such`(statement: StatementCase) {
        let error = #expect(throws: QueryError.self) { try Statement.parse(statement.statement) }
        #expect(error?.rendered == statement.answer)
    }
}
