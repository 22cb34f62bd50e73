// Verifying table files of blocks as a whole: that what finds entries is sound, and RocksDB's
// checksums of everything else.

extension TableFile {
    /// Where the data blocks lie that fail RocksDB's checksum.
    ///
    /// - Throws: `.corrupt` for an index that changes while it is read, `.interrupted`.
    func damagedParts(
        hash: ChecksumFunction, cancellation: Cancellation
    ) throws -> [Range<Int>] {
        var damaged: [Range<Int>] = []
        try forEachPart { part in
            try cancellation.check()
            if !isSound(part, hash: hash) { damaged.append(part) }
        }
        return damaged
    }
}

extension BlockFiles {
    /// What is wrong with the files.
    package struct Damage: Sendable {
        /// Files whose blocks cannot be found, by path.
        package var files: [String: GradDBError] = [:]
        /// Parts that fail RocksDB's checksum, in files whose blocks can be found.
        package var parts: Set<Part> = []

        package init() {}
    }

    /// A part of a file with a checksum of RocksDB's: it holds one entry or a few.
    package struct Part: Hashable, Sendable {
        package let path: String
        package let offset: Int
        package let bytes: Int
    }

    /// Looks at all files.
    ///
    /// - Parameter deep: verify every byte, and not only what finds blocks.
    package func damage(
        deep: Bool, threads: Int, cancellation: Cancellation
    ) throws -> Damage {
        try Parallel.map(fileCount, threads: threads) { index in
            try cancellation.check()
            var damage = Damage()
            let path = self.path(ofFile: index)
            do {
                let parts = try self.damagedParts(ofFile: index, deep: deep, cancellation)
                damage.parts = Set(
                    parts.map { Part(path: path, offset: $0.lowerBound, bytes: $0.count) })
            } catch let error as GradDBError where error.kind != .interrupted {
                damage.files[path] = error
            }
            return damage
        }.reduce(into: Damage()) { all, damage in
            all.files.merge(damage.files) { first, _ in first }
            all.parts.formUnion(damage.parts)
        }
    }
}
