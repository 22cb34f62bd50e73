// The name of an object of a backup directory: <seal, 16 digits>-<content bytes>.<family>.

struct ObjectName: Hashable, Sendable, CustomStringConvertible {
    /// The families that are backed up; the number is that of the object's header.
    enum Family: UInt8, CaseIterable, Sendable {
        case catalog = 1
        case rows, fields, blocks

        init?(name: some StringProtocol) {
            guard let family = Self.allCases.first(where: { $0.column.rawValue == name }) else {
                return nil
            }
            self = family
        }

        var column: ColumnFamily {
            switch self {
            case .catalog: .catalog
            case .rows: .rows
            case .fields: .fields
            case .blocks: .blocks
            }
        }
    }

    var seal: UInt64
    var contentBytes: UInt64
    var family: Family

    init(seal: UInt64, contentBytes: UInt64, family: Family) {
        self.seal = seal
        self.contentBytes = contentBytes
        self.family = family
    }

    /// Nil for anything that is not exactly what `description` gives.
    init?(_ text: String) {
        guard text.utf8.count < 64 else { return nil }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let family = Family(name: parts[1]) else { return nil }
        let numbers = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard numbers.count == 2, let seal = UInt64(numbers[0], radix: 16),
            let bytes = UInt64(numbers[1])
        else { return nil }
        self.init(seal: seal, contentBytes: bytes, family: family)
        guard text.utf8.elementsEqual(description.utf8) else { return nil }
    }

    var description: String {
        "\(Catalog.Key.hex(seal))-\(contentBytes).\(family.column.rawValue)"
    }

    /// The directory in `objects/` that it is in.
    var directory: String { String(Catalog.Key.hex(seal).prefix(2)) }
}

/// An object as a manifest has it.
struct StoredObject: Sendable {
    var name: ObjectName
    /// Of its file.
    var bytes: UInt64
    var checksum: UInt64
}
