import Foundation
import GradDB
import Testing

/// JSON Lines metadata: what is read, what is refused, and where it says so.
@Suite struct MetadataReaderTests {
    private static let fields = [
        Field(name: "source", type: .string), Field(name: "tokens", type: .int),
        Field(name: "score", type: .float), Field(name: "flagged", type: .bool),
    ]

    private let directory: ReaderFixtures.Directory

    init() throws {
        directory = try ReaderFixtures.Directory()
    }

    private func reader(_ bytes: [UInt8], fields: [Field] = fields) throws -> MetadataReader {
        try MetadataReader(path: directory.write("rows.jsonl", bytes), fields: fields)
    }

    private func rows(_ text: String, fields: [Field] = fields) throws -> [MetadataRow] {
        try rows(Array(text.utf8), fields: fields)
    }

    private func rows(_ bytes: [UInt8], fields: [Field] = fields) throws -> [MetadataRow] {
        let reader = try reader(bytes, fields: fields)
        var rows: [MetadataRow] = []
        while let row = try reader.next() { rows.append(row) }
        #expect(try reader.next() == nil)
        return rows
    }

    @Test func readsRowsInTheOrderOfTheFields() throws {
        let rows = try rows(
            """
            {"id":"a-1","source":"alpaca","tokens":37,"score":0.5,"flagged":true}
            {"flagged":false, "score":-2, "tokens":-9223372036854775808, "id":7, "source":""}
            { "id" : "x" , "source" : null }
            {"id":9223372036854775807,"source":"\\u00e9\\n\\"\\ud83d\\ude00","score":1e3}
            """)
        #expect(rows.map(\.id) == [.string("a-1"), .int(7), .string("x"), .int(.max)])
        #expect(rows.map(\.lineNumber) == [1, 2, 3, 4])
        #expect(rows[0].values == [.string("alpaca"), .int(37), .float(0.5), .bool(true)])
        #expect(rows[1].values == [.string(""), .int(.min), .float(-2), .bool(false)])
        #expect(rows[2].values == [nil, nil, nil, nil])
        #expect(rows[3].values == [.string("é\n\"😀"), nil, .float(1000), nil])
    }

    @Test func takesLineEndsBlankLinesAndByteOrderMarks() throws {
        let text =
            "\u{FEFF}{\"id\":1}\r\n\r\n\n  \t\n{\"id\":2}\r\n"
            + "\u{FEFF}{\"id\":3}\n \u{0D}\n{\"id\":4}  "
        let rows = try rows(text, fields: [])
        #expect(rows.map(\.id) == [.int(1), .int(2), .int(3), .int(4)])
        #expect(rows.map(\.lineNumber) == [1, 5, 6, 8])
        #expect(try self.rows("", fields: []).isEmpty)
        #expect(try self.rows("\n\n", fields: []).isEmpty)
        #expect(try self.rows("\u{FEFF}", fields: []).isEmpty)
    }

    @Test func collectsUndeclaredKeysAndSkipsTheirValues() throws {
        let reader = try reader(
            Array(
                """
                {"id":1,"text":"a } b","nested":{"id":2,"tokens":"x","a":[{"id":"\\""}]},"tokens":1}
                {"id":2,"text":null,"list":[1,[2,{"source":3}]],"\\u00e9":1,"z\\u006f":2}
                """.utf8))
        #expect(try reader.next()?.values == [nil, .int(1), nil, nil])
        #expect(reader.undeclaredKeys == ["text", "nested"])
        #expect(try reader.next()?.values == [nil, nil, nil, nil])
        #expect(try reader.next() == nil)
        #expect(reader.undeclaredKeys == ["text", "nested", "list", "é", "zo"])
    }

    @Test func keepsAThousandUndeclaredKeysAndNoMore() throws {
        let reader = try reader(
            (0..<1_200).flatMap { Array("{\"id\":\($0),\"key\($0)\":1}\n".utf8) })
        while try reader.next() != nil {}
        #expect(reader.undeclaredKeys.count == 1_000)
    }

    @Test func findsKeysHoweverTheyAreWritten() throws {
        let fields = [Field(name: "größe", type: .int), Field(name: "a\"b", type: .int)]
        let rows = try rows(
            """
            {"\\u0069d":"x","größe":1,"a\\"b":2}
            {"id":"y","gr\\u00f6\\u00dfe":3,"a\\u0022b":4}
            """, fields: fields)
        #expect(rows.map(\.id) == [.string("x"), .string("y")])
        #expect(rows.map(\.values) == [[.int(1), .int(2)], [.int(3), .int(4)]])
    }

    @Test func readsLinesLongerThanItsBuffer() throws {
        let text = String(repeating: "ä", count: 700_000)
        let short = "{\"id\":1,\"source\":\"s\"}\n"
        let rows = try rows(short + "{\"source\":\"\(text)\",\"id\":2}\n" + short)
        #expect(rows.map(\.lineNumber) == [1, 2, 3])
        #expect(rows[1].values[0] == .string(text))
        #expect(rows[2].id == .int(1))
    }

    @Test func givesTheSameRowsWhereverTheBufferEnds() throws {
        // Lengths that drift against the buffer, so that line ends fall everywhere in it.
        var text = ""
        for index in 0..<9_000 {
            let filling = String(repeating: "x", count: index % 251)
            text += "{\"id\":\(index),\"source\":\"\(filling)\",\"tokens\":\(index * 7)}\n"
        }
        let rows = try rows(text)
        #expect(rows.count == 9_000)
        for (index, row) in rows.enumerated() {
            guard row.id == .int(Int64(index)), row.lineNumber == index + 1,
                row.values[1] == .int(Int64(index * 7))
            else {
                Issue.record("row \(index) is \(row)")
                break
            }
        }
    }

    @Test func readsAPipe() throws {
        let path = directory.path + "/rows.fifo"
        try #require(mkfifo(path, 0o600) == 0)
        let sender = Thread {
            let handle = FileHandle(forWritingAtPath: path)
            for index in 0..<500 {
                try? handle?.write(contentsOf: Data("{\"id\":\(index)}\n".utf8))
            }
            try? handle?.close()
        }
        sender.start()
        let reader = try MetadataReader(path: path, fields: [])
        var count: Int64 = 0
        while let row = try reader.next() {
            #expect(row.id == .int(count))
            count += 1
        }
        #expect(count == 500)
    }

    @Test(arguments: [
        // The id.
        ("{}", "has no \"id\""),
        ("{\"tokens\":1}", "has no \"id\""),
        ("{\"id\":null}", "has no \"id\""),
        ("{\"ID\":1}", "has no \"id\""),
        ("{\"id\":5.0}", "\"id\" must be a string or an integer of 64 bits, found the number 5.0"),
        ("{\"id\":1e3}", "found the number 1e3"),
        ("{\"id\":true}", "found the value true"),
        ("{\"id\":[1]}", "found the array [1]"),
        ("{\"id\":{\"a\":1}}", "found the object {\"a\":1}"),
        ("{\"id\":9223372036854775808}", "found the number 9223372036854775808"),
        ("{\"id\":01}", "found the number 01"),
        ("{\"id\":-}", "found the number -"),
        ("{\"id\":\"\"}", "\"id\" of 0 bytes"),
        ("{\"id\":\"\(String(repeating: "é", count: 513))\"}", "\"id\" of 1026 bytes"),
        ("{\"id\":\"\\ud800\"}", "has a wrong escape"),
        // The fields.
        (
            "{\"id\":1,\"tokens\":\"5\"}",
            "\"tokens\" must be an integer of 64 bits, found the string"
        ),
        ("{\"id\":1,\"tokens\":5.0}", "found the number 5.0"),
        ("{\"id\":1,\"tokens\":5e0}", "found the number 5e0"),
        ("{\"id\":1,\"tokens\":true}", "found the value true"),
        ("{\"id\":1,\"tokens\":99999999999999999999}", "found the number 99999999999999999999"),
        ("{\"id\":1,\"source\":5}", "\"source\" must be a string, found the number 5"),
        ("{\"id\":1,\"source\":\"\\x\"}", "has a wrong escape"),
        ("{\"id\":1,\"source\":\"a\tb\"}", "has a wrong escape or a control character"),
        ("{\"id\":1,\"score\":\"0.5\"}", "\"score\" must be a finite number"),
        ("{\"id\":1,\"score\":1e400}", "found the number 1e400"),
        ("{\"id\":1,\"score\":false}", "found the value false"),
        ("{\"id\":1,\"flagged\":1}", "\"flagged\" must be true or false, found the number 1"),
        ("{\"id\":1,\"flagged\":\"true\"}", "found the string \"true\""),
        ("{\"id\":1,\"flagged\":{}}", "found the object {}"),
        // Keys that occur twice.
        ("{\"id\":1,\"id\":1}", "has the key \"id\" twice"),
        ("{\"id\":1,\"\\u0069d\":2}", "has the key \"id\" twice"),
        ("{\"id\":1,\"tokens\":1,\"tokens\":2}", "has the key \"tokens\" twice"),
        ("{\"id\":1,\"tokens\":null,\"tokens\":2}", "has the key \"tokens\" twice"),
        ("{\"id\":1,\"x\":1,\"y\":2,\"x\":3}", "has the key \"x\" twice"),
        (
            "{\"id\":1,\((0..<30).map { "\"k\($0)\":0" }.joined(separator: ",")),\"k7\":1}",
            "has the key \"k7\" twice"
        ),
        // No JSON object.
        ("[1]", "is not a JSON object: [1]"),
        ("5", "is not a JSON object"),
        ("\"id\"", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("id,source", "is not a JSON object: id,source"),
        ("{\"id\":1", "is not a JSON object"),
        ("{\"id\":1}}", "is not a JSON object"),
        ("{\"id\":1} {\"id\":2}", "is not a JSON object"),
        ("{\"id\":1,}", "is not a JSON object"),
        ("{\"id\" 1}", "is not a JSON object"),
        ("{id:1}", "is not a JSON object"),
        ("{'id':1}", "is not a JSON object"),
        ("{\"id\":1,\"x\":tru}", "is not a JSON object"),
        ("{\"id\":\"1}", "is not a JSON object"),
        ("{\"id\":1,\"x\":[}", "is not a JSON object"),
        ("{\"id\":1,\"\\q\":2}", "is not a JSON object"),
        ("{\"id\":1,\"score\":NaN}", "NaN and Infinity are not JSON: write null"),
        ("{\"id\":1,\"score\":-Infinity}", "NaN and Infinity are not JSON: write null"),
        ("{\"id\":1,\"x\":\(String(repeating: "[", count: 100_000))}", "is not a JSON object"),
        ("{\"id\":1,\"a\u{0}\":1}", "is not valid UTF-8"),
    ])
    func refusesALineByFileNumberAndReason(line: String, message: String) throws {
        let reader = try reader(Array("{\"id\":0}\n\n\(line)\n{\"id\":4}\n".utf8))
        #expect(try reader.next()?.id == .int(0))
        let failure = ReaderFixtures.failure { _ = try reader.next() }
        #expect(failure.kind == .badInput)
        #expect(failure.message.hasPrefix("\(directory.path)/rows.jsonl, line 3: "))
        #expect(failure.message.contains(message), "\(failure.message)")
        #expect(failure.message.utf8.count < 1_000)
    }

    @Test func refusesBytesThatAreNoUTF8() throws {
        let bad: [[UInt8]] = [
            [0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0xAF], [0xF5, 0x80, 0x80, 0x80],
        ]
        for bytes in bad {
            let line = Array("{\"id\":\"".utf8) + bytes + Array("\"}\n".utf8)
            let failure = ReaderFixtures.failure { _ = try rows(line) }
            #expect(failure.kind == .badInput)
            #expect(failure.message.contains("line 1: is not valid UTF-8"))
        }
        let utf16 = Array("{\"id\":1}\n".utf16).flatMap { ReaderFixtures.littleEndian($0) }
        let failure = ReaderFixtures.failure { _ = try rows(utf16) }
        #expect(failure.message.contains("line 1: is not valid UTF-8"))
    }

    @Test func takesLinesUpToTheLimitAndNoneBeyond() throws {
        let limit = 16 << 20
        let head = Array("{\"id\":1,\"x\":\"".utf8)
        let tail = Array("\"}".utf8)
        for excess in [0, 1] {
            let filling = [UInt8](repeating: 0x78, count: limit - head.count - tail.count + excess)
            let line = head + filling + tail
            if excess == 0 {
                #expect(try rows(line + [0x0A] + line).map(\.lineNumber) == [1, 2])
            } else {
                let failure = ReaderFixtures.failure { _ = try rows(line + [0x0A]) }
                #expect(failure.kind == .badInput)
                #expect(failure.message.contains("line 1: the line is longer than"))
            }
        }
    }

    @Test func refusesALineWithoutAnEnd() throws {
        let endless = Array("{\"id\":1,\"x\":\"".utf8) + [UInt8](repeating: 0x78, count: 18 << 20)
        let failure = ReaderFixtures.failure { _ = try rows(endless) }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("line 1: the line is longer than 16777216 bytes"))
    }

    @Test func refusesWhatIsNoFile() throws {
        let missing = ReaderFixtures.failure {
            _ = try MetadataReader(path: directory.path + "/none.jsonl", fields: [])
        }
        #expect(missing.kind == .badInput)
        #expect(missing.message.contains("none.jsonl: no such file"))
        let folder = ReaderFixtures.failure {
            _ = try MetadataReader(path: directory.path, fields: [])
        }
        #expect(folder.kind == .badInput)
        #expect(folder.message.contains("is a directory"))
        let field = ReaderFixtures.failure {
            _ = try reader([], fields: [Field(name: "id", type: .string)])
        }
        #expect(field.kind == .usage)
    }

    @Test func survivesRandomChanges() throws {
        let whole = Array(
            "{\"id\":\"a-1\",\"source\":\"\\u00e9\",\"tokens\":37,\"x\":[1,{}],\"flagged\":true}"
                .utf8)
        let likely = Array("{}[]\",:0123456789-.eEtfn\\u \t\u{0}é".utf8)
        let seed = ReaderFixtures.seed("metadata")
        var numbers = SeededRandom(seed: seed)
        var lines: [UInt8] = []
        for _ in 0..<5_000 {
            var line = whole
            for _ in 0...Int.random(in: 0..<3, using: &numbers) {
                let place = Int.random(in: 0..<line.count, using: &numbers)
                line[place] =
                    Bool.random(using: &numbers)
                    ? .random(in: .min ... .max, using: &numbers)
                    : likely.randomElement(using: &numbers) ?? 0
            }
            lines += line + [0x0A]
        }
        let reader = try reader(lines)
        var refused = 0
        var isAtEnd = false
        while !isAtEnd {
            do {
                isAtEnd = try reader.next() == nil
            } catch {
                #expect(error.kind == .badInput, "seed \(seed): \(error)")
                refused += 1
            }
        }
        #expect(refused > 1_000)
    }
}
