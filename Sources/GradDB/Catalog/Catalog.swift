// Typed access to the `catalog` column family: keys, JSON, prefixes.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Reads catalog documents from a store.
package struct Catalog: Sendable {
    package let store: RocksStore

    package init(_ store: RocksStore) { self.store = store }

    package enum Key {
        package static let database = "database"
        package static let counters = "counters"
        package static let cleanUp = "clean_up"
        package static let tables = "table/"
        package static let reservations = "reservation/"

        package static func table(_ name: String) -> String { tables + name }
        package static func head(_ table: UInt32) -> String { "head/" + hex(table) }
        package static func snapshots(_ table: UInt32) -> String { "snapshot/\(hex(table))/" }
        package static func snapshot(_ table: UInt32, _ number: UInt64) -> String {
            snapshots(table) + hex(number)
        }
        package static func segments(_ table: UInt32) -> String { "segment/\(hex(table))/" }
        package static func segment(_ table: UInt32, _ number: UInt64) -> String {
            segments(table) + hex(number)
        }
        package static func checkpoints(_ table: UInt32) -> String { "checkpoint/\(hex(table))/" }
        package static func checkpoint(_ table: UInt32, _ number: UInt32) -> String {
            checkpoints(table) + hex(number)
        }
        package static func tags(_ table: UInt32) -> String { "tag/\(hex(table))/" }
        package static func tag(_ table: UInt32, _ name: String) -> String { tags(table) + name }
        package static func preconditioners(_ table: UInt32) -> String {
            "preconditioner/\(hex(table))/"
        }
        package static func preconditioner(_ table: UInt32, _ number: UInt32) -> String {
            preconditioners(table) + hex(number)
        }
        package static func reservation(_ segment: UInt64) -> String {
            reservations + hex(segment)
        }

        /// Fixed width, so that text order is number order.
        package static func hex<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: T.bitWidth / 4 - digits.count) + digits
        }
    }

    /// The document under a key; nil when there is none.
    package func document<D: Decodable>(_ key: String, as type: D.Type = D.self) throws -> D? {
        guard let value = try store.pinned(.catalog, Array(key.utf8)) else { return nil }
        return try value.withBytes { try Self.decode($0, key: key) }
    }

    /// All documents whose key starts with `prefix`, in key order, with the rest of their keys.
    package func documents<D: Decodable>(
        _ prefix: String, as type: D.Type = D.self
    ) throws -> [(suffix: String, document: D)] {
        var found: [(String, D)] = []
        let prefixBytes = Array(prefix.utf8)
        try store.forEach(.catalog, prefix: prefixBytes) { key, value in
            let suffix = String(decoding: key.dropFirst(prefixBytes.count), as: UTF8.self)
            found.append((suffix, try Self.decode(value, key: prefix + suffix)))
            return true
        }
        return found
    }

    private static func decode<D: Decodable>(
        _ bytes: UnsafeRawBufferPointer, key: String
    ) throws -> D {
        try DocumentJSON.decode(bytes, what: "the catalog document '\(key)'")
    }
}

extension WriteBatch {
    package func put(_ key: String, document: some Encodable) throws {
        put(.catalog, Array(key.utf8), try DocumentJSON.encode(document))
    }

    package func delete(document key: String) { delete(.catalog, Array(key.utf8)) }
}

/// Times as the catalog and the command line write them: RFC 3339, UTC, milliseconds.
package enum Timestamp {
    package static func now() -> String { text(Date()) }

    package static func text(_ date: Date) -> String {
        date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    /// Accepts `YYYY-MM-DD` (midnight, UTC) and `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)`; nil for
    /// anything else. Foundation's parser takes a prefix for the whole, and February for March, so
    /// the text is looked at first and the day compared afterwards.
    package static func parse(_ text: String) -> Date? {
        let form = /\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2}))?/
        guard let match = text.wholeMatch(of: form) else { return nil }
        let day = text.prefix(10)
        guard let midnight = try? Date.ISO8601FormatStyle().parse("\(day)T00:00:00Z"),
            Self.text(midnight).hasPrefix(day)
        else { return nil }
        guard let clock = match.1 else { return midnight }
        let parts = clock.dropFirst().prefix(8).split(separator: ":").compactMap { Int($0) }
        guard parts.count == 3, parts[0] < 24, parts[1] < 60, parts[2] < 60 else { return nil }
        return try? Date.ISO8601FormatStyle(includingFractionalSeconds: match.2 != nil).parse(text)
    }
}
