// The snapshot that a commit is going to make: the newest one, and what is changed. Everything that
// is counted or summed over the whole table follows from that here, once for all operations.

package struct NextSnapshot {
    package let table: Table
    package let number: UInt64
    package let operation: SnapshotDocument.Operation
    package var message: String
    /// To name it with.
    package var tag: String?

    /// Starts as the newest one's, with its number raised.
    package var head: HeadDocument
    /// With the encodings as they will be.
    package var schema: TableDocument
    /// New ones, and those whose snapshots change.
    package var segments: [SegmentDocument] = []
    package var checkpoints: [CheckpointDocument] = []
    package var preconditioners: [PreconditionerDocument] = []
    package var deleted: DeletedRows
    /// Of the newest snapshot until now.
    private let deletedBefore: DeletedRows
    package var sums: ContentSums
    /// The checkpoint that vectors are added to.
    package var checkpoint: UInt32?
    /// The snapshot that is restored.
    package var restored: UInt64?

    package init(
        of table: Table, _ operation: SnapshotDocument.Operation, message: String, tag: String?
    ) throws {
        try self.init(of: table.newest, operation, message: message, tag: tag)
    }

    /// - Parameter newest: the table's newest snapshot.
    init(
        of newest: TableView, _ operation: SnapshotDocument.Operation, message: String, tag: String?
    ) throws {
        table = newest.table
        self.operation = operation
        self.message = message
        self.tag = tag
        head = table.head
        head.snapshot += 1
        number = head.snapshot
        schema = table.document
        deletedBefore = try newest.deletedRows
        deleted = deletedBefore
        sums = newest.document?.sums ?? ContentSums()
    }

    /// Leaves segments out, with their companions.
    package mutating func leaveOut(_ numbers: Set<UInt64>) {
        for var segment in table.allSegments
        where segment.snapshots.isOpen && numbers.contains(segment.base ?? segment.segment) {
            segment.snapshots.set(false, from: number)
            segments.append(segment)
        }
    }

    /// Puts all that changes into a batch.
    func write(to batch: WriteBatch, kernels: KernelSet) throws {
        let id = schema.table
        if schema != table.document {
            try batch.put(Catalog.Key.table(schema.name), document: schema)
        }
        for segment in segments {
            try batch.put(Catalog.Key.segment(id, segment.segment), document: segment)
        }
        for checkpoint in checkpoints {
            try batch.put(Catalog.Key.checkpoint(id, checkpoint.checkpoint), document: checkpoint)
        }
        for preconditioner in preconditioners {
            try batch.put(
                Catalog.Key.preconditioner(id, preconditioner.number), document: preconditioner)
        }
        try deleted.write(changesFrom: deletedBefore, table: id, in: number, batch)
        try batch.put(Catalog.Key.snapshot(id, number), document: document(kernels))
        try batch.put(Catalog.Key.head(id), document: head)
        if let tag {
            try batch.put(Catalog.Key.tag(id, tag), document: TagDocument(snapshot: number))
        }
    }

    private func document(_ kernels: KernelSet) -> SnapshotDocument {
        let encodings = Set(
            schema.layers.flatMap { $0.encodings(in: number) }.map(\.number))
        let sums = self.sums.restricted(to: encodings)
        let segments = Self.merge(table.allSegments, self.segments, by: \.segment)
            .filter { $0.snapshots.contains(number) }
        let checkpoints = Self.merge(table.allCheckpoints, self.checkpoints, by: \.checkpoint)
            .filter { $0.snapshots.contains(number) }
        return SnapshotDocument(
            snapshot: number, parent: table.head.snapshot, time: Timestamp.now(),
            operation: operation, message: message, checkpoint: checkpoint, nextRow: head.nextRow,
            deleted: UInt64(deleted.count), segments: segments.count { $0.base == nil },
            bytes: segments.lazy.flatMap(\.encodings)
                .reduce(0) { $0 + (encodings.contains($1.encoding) ? $1.bytes : 0) },
            hash: sums.hash(
                layers: schema.layers, in: number, checkpoints: checkpoints, kernels),
            sums: sums, restored: restored)
    }

    private static func merge<D>(
        _ documents: [D], _ changed: [D], by number: KeyPath<D, some Hashable>
    ) -> [D] {
        let numbers = Set(changed.map { $0[keyPath: number] })
        return documents.filter { !numbers.contains($0[keyPath: number]) } + changed
    }
}
