// Of which snapshots something is: encodings, segments, checkpoints, preconditioners
// (format-spec/catalog.md). What snapshots share is stored once, and each commit only touches what it
// changes.

/// Ranges of snapshot numbers, ascending and apart; the last one may be open.
///
/// As JSON `[[3, 7], [9]]`: in 3 to 6, and from 9 on.
package struct SnapshotRanges: Hashable, Sendable {
    private struct Part: Hashable, Sendable {
        var first: UInt64
        /// The first snapshot after it; nil while it is open.
        var end: UInt64?
    }

    private var parts: [Part]

    /// From a snapshot on.
    package init(from first: UInt64) { parts = [Part(first: first)] }

    /// Pairs of the first snapshot and the first one after it, which the last pair may lack; nil
    /// unless they ascend and are apart.
    init?(_ ranges: [[UInt64]]) {
        parts = []
        var end: UInt64? = 0
        for range in ranges {
            guard let last = end, let first = range.first, range.count <= 2, last <= first,
                range.count == 1 || first < range[1]
            else { return nil }
            end = range.count == 2 ? range[1] : nil
            parts.append(Part(first: first, end: end))
        }
        guard !parts.isEmpty else { return nil }
    }

    package func contains(_ snapshot: UInt64) -> Bool {
        parts.contains { $0.first <= snapshot && $0.end.map { snapshot < $0 } ?? true }
    }

    /// Whether the newest snapshot, and those to come, have it.
    package var isOpen: Bool { parts.last.map { $0.end == nil } ?? false }

    /// The first snapshot that had it.
    package var first: UInt64 { parts.first?.first ?? 0 }

    /// Each snapshot in which something comes or goes.
    package var changes: [UInt64] { parts.flatMap { [$0.first] + ($0.end.map { [$0] } ?? []) } }

    /// The numbers that are in both; nil where there are none.
    package func intersection(_ other: SnapshotRanges) -> SnapshotRanges? {
        var both = self
        both.parts = parts.flatMap { part in
            other.parts.compactMap {
                let first = max(part.first, $0.first)
                let end = min(part.end ?? .max, $0.end ?? .max)
                return first < end ? Part(first: first, end: end == .max ? nil : end) : nil
            }
        }
        return both.parts.isEmpty ? nil : both
    }

    /// Whether one of these snapshots, in ascending order, has it.
    package func containsAny(of snapshots: [UInt64]) -> Bool {
        parts.contains { part in
            // The first one that is not before the part.
            var (low, high) = (0, snapshots.count)
            while low < high {
                let middle = (low + high) / 2
                if snapshots[middle] < part.first { low = middle + 1 } else { high = middle }
            }
            return low < snapshots.count && part.end.map { snapshots[low] < $0 } ?? true
        }
    }

    /// Has it, or not, from a snapshot on that is newer than all before.
    package mutating func set(_ isThere: Bool, from snapshot: UInt64) {
        guard isThere != isOpen else { return }
        if isThere {
            parts.append(Part(first: snapshot))
        } else {
            parts[parts.count - 1].end = snapshot
        }
    }
}

extension SnapshotRanges: Codable {
    package init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        parts = []
        var end: UInt64? = 0
        while !list.isAtEnd {
            var range = try list.nestedUnkeyedContainer()
            let part = Part(
                first: try range.decode(UInt64.self),
                end: range.isAtEnd ? nil : try range.decode(UInt64.self))
            guard let last = end, last <= part.first, part.first < (part.end ?? .max),
                range.isAtEnd
            else {
                throw DecodingError.dataCorruptedError(
                    in: list, debugDescription: "these are not ranges of snapshots")
            }
            end = part.end
            parts.append(part)
        }
        guard !parts.isEmpty else {
            throw DecodingError.dataCorruptedError(
                in: list, debugDescription: "there is no range of snapshots")
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        for part in parts {
            var range = list.nestedUnkeyedContainer()
            try range.encode(part.first)
            if let end = part.end { try range.encode(end) }
        }
    }
}
