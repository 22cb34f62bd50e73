import GradDB

/// From a snapshot on, up to another one where it is given.
func ranges(_ first: UInt64, _ end: UInt64? = nil) -> SnapshotRanges {
    var ranges = SnapshotRanges(from: first)
    if let end { ranges.set(false, from: end) }
    return ranges
}
