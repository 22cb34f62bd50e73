// The documents that there are most of, member by member.

extension SegmentDocument: ScannedDocument {
    init?(scanning scanner: inout DocumentScanner) {
        var (segment, base, firstRow, lastRow): (UInt64?, UInt64?, UInt64?, UInt64?)
        var (rows, rowGroups, rowsPerGroup): (Int?, Int?, Int?)
        var checkpoint: UInt32?
        var encodings: [EncodingBytes]?
        var snapshots: SnapshotRanges?
        let isWhole = scanner.members { scanner, key in
            switch key {
            case "segment": scanner.set(&segment)
            case "base": scanner.set(&base)
            case "checkpoint": scanner.set(&checkpoint)
            case "rows": scanner.set(&rows)
            case "row_groups": scanner.set(&rowGroups)
            case "rows_per_group": scanner.set(&rowsPerGroup)
            case "encodings": scanner.set(&encodings)
            case "first_row": scanner.set(&firstRow)
            case "last_row": scanner.set(&lastRow)
            case "snapshots": scanner.set(&snapshots)
            default: false
            }
        }
        guard isWhole, let segment, let checkpoint, let rows, let rowGroups, let rowsPerGroup,
            let encodings, let firstRow, let lastRow, let snapshots
        else { return nil }
        self.init(
            segment: segment, base: base, checkpoint: checkpoint, rows: rows,
            rowGroups: rowGroups, rowsPerGroup: rowsPerGroup, encodings: encodings,
            firstRow: firstRow, lastRow: lastRow, snapshots: snapshots)
    }
}

extension SegmentDocument.EncodingBytes: ScannedDocument {
    init?(scanning scanner: inout DocumentScanner) {
        var encoding: UInt32?
        var bytes: UInt64?
        let isWhole = scanner.members { scanner, key in
            switch key {
            case "encoding": scanner.set(&encoding)
            case "bytes": scanner.set(&bytes)
            default: false
            }
        }
        guard isWhole, let encoding, let bytes else { return nil }
        self.init(encoding: encoding, bytes: bytes)
    }
}

extension SnapshotRanges: ScannedDocument {
    init?(scanning scanner: inout DocumentScanner) {
        var ranges: [[UInt64]] = []
        let isWhole = scanner.elements { scanner in
            var range: [UInt64] = []
            defer { ranges.append(range) }
            return scanner.elements { scanner in
                guard range.count < 2, let number = scanner.integer(UInt64.self) else {
                    return false
                }
                range.append(number)
                return true
            }
        }
        guard isWhole else { return nil }
        self.init(ranges)
    }
}

extension SnapshotDocument: ScannedDocument {
    init?(scanning scanner: inout DocumentScanner) {
        var (snapshot, parent, nextRow, deleted): (UInt64?, UInt64?, UInt64?, UInt64?)
        var (bytes, restored): (UInt64?, UInt64?)
        var (time, operation, message, hash): (String?, String?, String?, String?)
        var checkpoint: UInt32?
        var segments: Int?
        var sums: ContentSums?
        let isWhole = scanner.members { scanner, key in
            switch key {
            case "snapshot": scanner.set(&snapshot)
            case "parent": scanner.set(&parent)
            case "time": scanner.set(&time)
            case "operation": scanner.set(&operation)
            case "message": scanner.set(&message)
            case "checkpoint": scanner.set(&checkpoint)
            case "next_row": scanner.set(&nextRow)
            case "deleted": scanner.set(&deleted)
            case "segments": scanner.set(&segments)
            case "bytes": scanner.set(&bytes)
            case "hash": scanner.set(&hash)
            case "sums": scanner.set(&sums)
            case "restored": scanner.set(&restored)
            default: false
            }
        }
        guard isWhole, let snapshot, let parent, let time, let message, let nextRow, let deleted,
            let segments, let bytes, let hash, let sums,
            let operation = operation.flatMap(Operation.init(rawValue:))
        else { return nil }
        self.init(
            snapshot: snapshot, parent: parent, time: time, operation: operation,
            message: message, checkpoint: checkpoint, nextRow: nextRow, deleted: deleted,
            segments: segments, bytes: bytes, hash: hash, sums: sums, restored: restored)
    }
}

extension ContentSums: ScannedDocument {
    private struct Part: ScannedDocument {
        let encoding: UInt32
        let sum: UInt64

        init?(scanning scanner: inout DocumentScanner) {
            var encoding: UInt32?
            var sum: String?
            let isWhole = scanner.members { scanner, key in
                switch key {
                case "encoding": scanner.set(&encoding)
                case "sum": scanner.set(&sum)
                default: false
                }
            }
            guard isWhole, let encoding, let sum = sum.flatMap(ContentSums.number) else {
                return nil
            }
            self.encoding = encoding
            self.sum = sum
        }
    }

    private static func number(_ text: String) -> UInt64? {
        text.utf8.count == 16 ? UInt64(text, radix: 16) : nil
    }

    init?(scanning scanner: inout DocumentScanner) {
        var records: String?
        var parts: [Part]?
        let isWhole = scanner.members { scanner, key in
            switch key {
            case "records": scanner.set(&records)
            case "encodings": scanner.set(&parts)
            default: false
            }
        }
        guard isWhole, let records = records.flatMap(Self.number), let parts else { return nil }
        self.init()
        self.records = records
        for part in parts { encodings[part.encoding] = part.sum }
    }
}
