import Foundation
import GradDB
import Testing

@Suite struct RowIDTests {
    @Test(arguments: [
        (RowID.string("alpaca-12"), "\"alpaca-12\""), (.string("12"), "\"12\""), (.int(12), "12"),
        (.int(.min), "-9223372036854775808"), (.int(.max), "9223372036854775807"),
    ])
    func isAJSONStringOrNumber(id: RowID, json: String) throws {
        #expect(String(decoding: try JSONEncoder().encode(id), as: UTF8.self) == json)
        #expect(try JSONDecoder().decode(RowID.self, from: Data(json.utf8)) == id)
    }

    @Test(arguments: ["true", "null", "[]", "1.5", "9223372036854775808"])
    func isNothingElse(json: String) {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(RowID.self, from: Data(json.utf8))
        }
    }

    @Test func aStringIsNotTheIntegerItSpells() {
        #expect(RowID.string("12") != RowID.int(12))
        #expect(RowID.string("12").description == RowID.int(12).description)
    }
}
