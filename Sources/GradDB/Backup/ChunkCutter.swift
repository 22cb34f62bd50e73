// Where the records of a family are cut into objects: at places that depend on the keys and sizes
// of entries near them, so that what is inserted, changed or removed changes the objects around it
// only. An entry ends a chunk with a probability of its size over the size that chunks should have.
//
// That size grows with what came before, so that a large database has no more than some thousand
// chunks, and the chunk at whose end rows are appended is a small part of all.

struct ChunkCutter {
    private static let smallest = 32 << 10
    private static let largest = 8 << 20
    /// A chunk is about this part of what came before it.
    private static let share = 256
    /// A chunk that has grown to this many times its size is cut wherever it is.
    private static let patience = 4

    /// Bytes before the chunk.
    private var bytesBefore = 0
    private var chunkBytes = 0
    private var target = Self.smallest

    /// Whether a chunk ends before an entry: a large one is alone, so that its neighbours may
    /// change.
    func endsBefore(entryBytes: Int) -> Bool { chunkBytes > 0 && entryBytes >= target }

    /// Takes an entry, and says whether the chunk ends after it.
    mutating func endsAfter(entryBytes: Int, keyHash: UInt64) -> Bool {
        chunkBytes += entryBytes
        // The upper half of the hash as a fraction of one, against entryBytes / target.
        let draw = (keyHash >> 32) * UInt64(target)
        return draw >> 32 < UInt64(entryBytes) || chunkBytes >= Self.patience * target
    }

    /// Begins the next chunk.
    mutating func cut() {
        bytesBefore += chunkBytes
        chunkBytes = 0
        let wanted = min(max(bytesBefore / Self.share, Self.smallest), Self.largest)
        // A power of two: a few bytes more or less before it move no cut.
        while target * 2 <= wanted { target *= 2 }
    }
}
