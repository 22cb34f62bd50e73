// Random conditions over random columns, against an evaluator that looks at one row at a time and
// does what the specification says, literally (NaiveEvaluator.swift).

import GradDB
import GradDBQuery
import Testing

@Suite struct PredicatePropertyTests {
    private static let schema = [
        Field(name: "i", type: .int), Field(name: "j", type: .int), Field(name: "f", type: .float),
        Field(name: "g", type: .float), Field(name: "b", type: .bool),
        Field(name: "c", type: .bool), Field(name: "s", type: .string),
        Field(name: "t", type: .string),
    ]

    @Test func `evaluation by columns is evaluation by rows`() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("random predicates: seed \(seed)")
        var conditions = RandomCondition(random: LanguageRandom(seed: seed))
        for _ in 0..<300 {
            let rowCount = conditions.random.below(40)
            var rows = [[String: FieldValue]](repeating: [:], count: rowCount)
            var batch = PredicateBatch()
            for field in Self.schema {
                for row in 0..<rowCount { rows[row][field.name] = conditions.value(of: field.type) }
                batch.add(field.name, field.type, rows.map { $0[field.name] })
            }
            for _ in 0..<10 {
                let condition = conditions.condition(depth: conditions.random.below(5))
                let expected = rows.indices.filter {
                    NaiveEvaluator(row: rows[$0]).truth(of: condition) == true
                }
                let found = try batch.rows(
                    where: condition.description, parameters: RandomCondition.parameters)
                #expect(found == expected, "seed \(seed): \(condition)")
            }
        }
    }
}
