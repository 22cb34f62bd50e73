// Preconditioners through the library: what snapshots have them, what queries get of them, what is
// refused, what an interruption and recovery leave.

import GradDB
import Testing

@Suite struct PreconditionTests {
    private static let dims = 20

    /// Two checkpoints of seven rows in row groups of three.
    private func database(_ codec: CodecKind = .f32) throws -> (TestDatabase, [Matrix]) {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t",
            layers: [
                .init(name: "a", dims: Self.dims, codec: codec),
                .init(name: "b", dims: 9, codec: codec),
            ])
        schema.rowsPerGroup = 3
        try database.create(schema)
        var random = SeededRandom(seed: 5)
        var given: [Matrix] = []
        for checkpoint in ["c", "d"] {
            let rows = (0..<7).map { _ in random.vector(Self.dims) }
            given.append(rows)
            try database.ingest(
                "t", ["a": rows, "b": (0..<7).map { _ in random.vector(9) }],
                checkpoint: checkpoint)
        }
        return (database, given)
    }

    @discardableResult
    private func build(
        _ database: TestDatabase, _ name: String = "p",
        _ change: (inout PreconditionOptions) -> Void = { _ in }
    ) throws -> PreconditionResult {
        var options = PreconditionOptions(name: name)
        change(&options)
        return try DatabaseWriter(path: database.path).precondition("t", options: options)
    }

    private func open(_ view: TableView, _ name: String = "p") throws -> Preconditioner {
        view.open(try view.preconditioner(named: name))
    }

    /// H⁻¹ of a query by elimination.
    private func wanted(_ rows: Matrix, damping: Double, _ query: [Float]) -> [Double] {
        let doubles = rows.map { $0.map(Double.init) }
        var matrix = DenseOracle.secondMoment(doubles).map { $0.map { $0 / Double(rows.count) } }
        for index in matrix.indices { matrix[index][index] += damping }
        return DenseOracle.solve(matrix, query.map(Double.init))
    }

    @Test func snapshotsHaveTheirPreconditioners() throws {
        let (database, _) = try database()
        let first = try build(database)
        #expect(first.snapshot == 3 && first.document.number == 0)
        let writer = try DatabaseWriter(path: database.path)
        #expect(try writer.removePreconditioner("t", name: "p") == 4)
        var options = PreconditionOptions(name: "p")
        options.kind = .diagonal
        options.tag = "again"
        let second = try writer.precondition("t", options: options)
        #expect(second.snapshot == 5 && second.document.number == 1)
        let table = try writer.table("t")
        let names = try (0...5).map { number in
            try table.view(snapshot: UInt64(number)).preconditioners.map(\.number)
        }
        #expect(names == [[], [], [], [0], [], [1]])
        #expect(table.tags == ["again": 5])
        let kinds = try [3, 5].map { number in
            try table.view(snapshot: number).preconditioner(named: "p").parts.map(\.kind)
        }
        #expect(kinds == [[.dense, .dense], [.diagonal, .diagonal]])
    }

    @Test func inversesAndNormsAreThoseOfTheRows() throws {
        let (database, given) = try database()
        let result = try build(database) { $0.checkpoints = ["d", "c"] }
        #expect(result.document.parts.map(\.checkpoint) == [1, 1, 0, 0])
        // Rows that come later have norms under the same matrix.
        var random = SeededRandom(seed: 6)
        let later = (0..<4).map { _ in random.vector(Self.dims) }
        try database.ingest(
            "t", ["a": later, "b": (0..<4).map { _ in random.vector(9) }], checkpoint: "c")
        let view = try database.table("t").newest
        let preconditioner = try open(view)
        let layer = view.table.layers[0]
        for (name, rows) in zip(["c", "d"], given) {
            let checkpoint = try #require(view.checkpoint(named: name))
            let part = try preconditioner.part(layer: layer, checkpoint: checkpoint)
            let energy = rows.joined().reduce(0) { $0 + Double($1) * Double($1) }
            let damping = 0.1 * energy / Double(7 * Self.dims)
            #expect(abs(part.document.damping - damping) < 1e-12)
            let queries = [random.vector(Self.dims), random.vector(Self.dims)]
            let (found, norms) = try part.inverse(of: Array(queries.joined()))
            for (index, query) in queries.enumerated() {
                let inverse = wanted(rows, damping: damping, query)
                let size = DenseOracle.dot(inverse, inverse).squareRoot()
                for (element, wanted) in zip(found.dropFirst(index * Self.dims), inverse) {
                    #expect(abs(Double(element) - wanted) < 1e-7 * size)
                }
                let norm = DenseOracle.dot(query.map(Double.init), inverse)
                #expect(abs(norms[index] - norm) < 1e-12 * norm)
            }
            let stored = try view.units(of: checkpoint).flatMap {
                try preconditioner.squaredNorms(of: $0, layers: [layer], checkpoint: checkpoint)
            }
            let all = name == "c" ? rows + later : rows
            #expect(stored.count == all.count)
            for (norm, row) in zip(stored, all) {
                let inverse = wanted(rows, damping: damping, row)
                let wanted = DenseOracle.dot(row.map(Double.init), inverse)
                #expect(abs(norm - wanted) < 1e-12 * wanted)
            }
            // Layers together.
            let both = try view.units(of: checkpoint).flatMap {
                try preconditioner.squaredNorms(
                    of: $0, layers: view.table.layers, checkpoint: checkpoint)
            }
            let second = try view.units(of: checkpoint).flatMap {
                try preconditioner.squaredNorms(
                    of: $0, layers: [view.table.layers[1]], checkpoint: checkpoint)
            }
            #expect(both == zip(stored, second).map { 0 + $0 + $1 })
        }
    }

    /// More numbers than one piece holds.
    @Test func numbersComeInPieces() throws {
        let dims = 1100  // 605,550 numbers, and a piece is 524,288
        let database = try TestDatabase()
        try database.create(
            TableSchema(name: "t", layers: [.init(name: "a", dims: dims, codec: .f32)]))
        var random = SeededRandom(seed: 8)
        let rows = (0..<5).map { _ in random.vector(dims) }
        try database.ingest("t", ["a": rows])
        try build(database)
        let view = try database.table("t").newest
        let preconditioner = try open(view)
        let checkpoint = try #require(view.newestCheckpoint)
        let part = try preconditioner.part(layer: view.table.layers[0], checkpoint: checkpoint)
        let query = random.vector(dims)
        let inverse = try part.inverse(of: query).vectors.map(Double.init)
        // H · H⁻¹q is q.
        let shares = rows.map { DenseOracle.dot($0.map(Double.init), inverse) / 5 }
        for dim in 0..<dims {
            let image = zip(rows, shares).reduce(part.document.damping * inverse[dim]) {
                $0 + Double($1.0[dim]) * $1.1
            }
            #expect(abs(image - Double(query[dim])) < 1e-3)
        }
        #expect(try Check(try Database(path: database.path), deep: true, threads: 2).run().isOK)
    }

    private static let refusals:
        [(String, GradDBError.Kind, @Sendable (inout PreconditionOptions) -> Void)] = [
            ("already", .usage, { $0.name = "there" }),
            ("preconditioner", .usage, { $0.name = "no good" }),
            ("'x'", .usage, { $0.layers = ["a", "x"] }),
            ("'e'", .usage, { $0.checkpoints = ["c", "e"] }),
            ("twice", .usage, { $0.checkpoints = ["c", "c"] }),
            ("damping", .usage, { $0.damping = -1 }),
            ("damping", .usage, { $0.damping = .nan }),
            ("damping", .usage, { $0.damping = .infinity }),
            (
                "above 0", .usage,
                {
                    $0.kind = .woodbury
                    $0.damping = 0
                }
            ),
            (
                "rank", .usage,
                {
                    $0.kind = .woodbury
                    $0.rank = 0
                }
            ),
            ("rank", .usage, { $0.rank = 4 }),
            ("tag", .usage, { $0.tag = "no good" }),
            ("layer 'a'", .badInput, { $0.damping = 0 }),
        ]

    @Test(arguments: refusals.indices)
    func whatMakesNoSenseIsRefused(index: Int) throws {
        let (word, kind, change) = Self.refusals[index]
        let (database, _) = try database()
        try build(database, "there")
        let before = try documents(database)
        let error = #expect(throws: GradDBError.self) { try build(database, "p", change) }
        #expect(error?.kind == kind && error?.message.contains(word) == true, "\(error as Any)")
        #expect(try documents(database) == before)
    }

    @Test func denseIsForFewDims() throws {
        let database = try TestDatabase()
        try database.create(
            TableSchema(name: "t", layers: [.init(name: "a", dims: 8193, codec: .f32)]))
        #expect(throws: GradDBError.self) { try build(database) }
        var random = SeededRandom(seed: 8)
        try database.ingest("t", ["a": [random.vector(8193), random.vector(8193)]])
        let error = #expect(throws: GradDBError.self) { try build(database) { $0.kind = .dense } }
        #expect(error?.message.contains("8192") == true)
        // Of two gradients there are two directions.
        let result = try build(database)
        #expect(result.document.parts.map(\.kind) == [.woodbury])
        #expect(result.document.parts.map(\.rank) == [2])
    }

    @Test func aTableWithoutRowsHasNone() throws {
        let database = try TestDatabase()
        try database.create(
            TableSchema(name: "t", layers: [.init(name: "a", dims: 4, codec: .f32)]))
        let error = #expect(throws: GradDBError.self) { try build(database) }
        #expect(error?.kind == .failed)
        try database.ingest("t", ["a": [[0, 0, 0, 0]]])
        for kind in PreconditionerKind.allCases {
            let error = #expect(throws: GradDBError.self) { try build(database) { $0.kind = kind } }
            #expect(error?.kind == .badInput && error?.message.contains("zero") == true)
        }
        try build(database) { $0.damping = 2 }
    }

    /// All keys of preconditioners.
    private func numbers(_ database: TestDatabase) throws -> Int {
        var count = 0
        let store = try Database(path: database.path).store
        try store.forEach(.fields, prefix: []) { key, _ in
            if [3, 4].contains(key[4]) { count += 1 }
            return true
        }
        return count
    }

    private func documents(_ database: TestDatabase) throws -> [String] {
        var found: [String] = []
        try Database(path: database.path).store.forEach(.catalog, prefix: []) { key, value in
            let name = String(decoding: key, as: UTF8.self)
            // Numbers that were reserved are never given again.
            if name != "counters" { found.append(name + String(decoding: value, as: UTF8.self)) }
            return true
        }
        return found
    }

    @Test func anInterruptionTakesEverythingBack() throws {
        let (database, _) = try database()
        try build(database, "there")
        let before = try (documents(database), numbers(database))
        #expect(before.1 > 0)
        // The last row of the last pass.
        for rows in [1, 7, 14, 21, 28] {
            let cancellation = Cancellation()
            let error = #expect(throws: GradDBError.self) {
                try DatabaseWriter(path: database.path).precondition(
                    "t", options: PreconditionOptions(name: "p"), cancellation: cancellation
                ) { if $0.rows >= rows { cancellation.cancel() } }
            }
            #expect(error?.kind == .interrupted)
            #expect(try documents(database) == before.0)
            #expect(try numbers(database) == before.1)
        }
    }

    /// What a writer leaves that dies after it has written numbers ahead.
    @Test func recoveryRemovesWhatWasNotPublished() throws {
        let (database, _) = try database()
        try build(database, "there")
        let before = try (documents(database), numbers(database))
        do {
            let writer = try DatabaseWriter(path: database.path)
            let table = try writer.table("t")
            var counters = try writer.counters()
            let batch = WriteBatch(writer.store)
            try batch.put(
                Catalog.Key.reservation(counters.nextSegment),
                document: ReservationDocument(
                    table: table.document.table, segments: 1, preconditioner: 1))
            counters.nextSegment += 1
            try batch.put(Catalog.Key.counters, document: counters)
            try writer.store.write(batch, sync: true)
            let left = NumberWriter(
                writer.store, table: table.document.table, preconditioner: 1)
            let inverse = DiagonalInverse([Double](repeating: 1, count: 1 << 20))
            _ = try left.write(part: 0, inverse, cancellation: Cancellation())
            let view = try table.newest
            let checkpoint = try #require(view.newestCheckpoint)
            for unit in view.units(of: checkpoint) { try left.write(norms: [1], of: unit) }
            try left.finish()
        }
        #expect(try numbers(database) == before.1 + 2 + 3)
        _ = try DatabaseWriter(path: database.path)
        #expect(try numbers(database) == before.1)
        #expect(try documents(database) == before.0)
        #expect(try build(database).document.number == 1)
        #expect(try Check(try Database(path: database.path), deep: true, threads: 2).run().isOK)
    }

    /// Bytes of the rows are read twice, and every layer and checkpoint counts.
    @Test func progressEndsAtItsTotal() throws {
        let (database, _) = try database()
        var reports: [PreconditionProgress] = []
        var options = PreconditionOptions(name: "p")
        options.checkpoints = ["c", "d"]
        _ = try DatabaseWriter(path: database.path).precondition("t", options: options) {
            reports.append($0)
        }
        let last = try #require(reports.last)
        #expect(last.rows == 2 * 2 * 2 * 7)
        let bytes = 2 * 2 * 7 * 4 * (Self.dims + 9)
        #expect(last.bytes == UInt64(bytes) && last.totalBytes == UInt64(bytes))
    }

    /// Missing and foreign values are found, without --deep too.
    @Test func checkFindsWhatIsMissing() throws {
        let (database, _) = try database()
        try build(database)
        let keys = [
            Keys.piece(table: 1, preconditioner: 0, part: 1, piece: 0),
            Keys.norms(table: 1, preconditioner: 0, segment: 2, rowGroup: 1),
        ]
        for key in keys {
            let value: [UInt8]
            do {
                let writer = try DatabaseWriter(path: database.path)
                value = try #require(try writer.store.get(.fields, key))
                let batch = WriteBatch(writer.store)
                batch.delete(.fields, key)
                try writer.commit(batch)
            }
            for deep in [false, true] {
                let report = try Check(
                    try Database(path: database.path), deep: deep, threads: 2
                ).run()
                #expect(report.problems.map(\.message).count { $0.contains("'p'") } == 1)
            }
            do {
                let writer = try DatabaseWriter(path: database.path)
                let batch = WriteBatch(writer.store)
                batch.put(.fields, key, try Zstd.compress([UInt8](repeating: 0, count: 8 * 45)))
                try writer.commit(batch)
            }
            let report = try Check(try Database(path: database.path), deep: true, threads: 2).run()
            #expect(report.problems.count == 1)
            let writer = try DatabaseWriter(path: database.path)
            let batch = WriteBatch(writer.store)
            batch.put(.fields, key, value)
            try writer.commit(batch)
        }
        #expect(try Check(try Database(path: database.path), deep: true, threads: 2).run().isOK)
    }

    @Test(arguments: CodecKind.allCases)
    func matricesAreOfTheDecodedRows(codec: CodecKind) throws {
        let (database, given) = try database(codec)
        try build(database)
        let view = try database.table("t").newest
        let checkpoint = try #require(view.newestCheckpoint)
        let layer = view.table.layers[0]
        let reader = try VectorReader(view, layer: layer, checkpoint: checkpoint)
        let ids = (0..<7).map { RowID.int($0) }
        var floats = [Float](repeating: 0, count: 7 * Self.dims)
        try floats.withUnsafeMutableBufferPointer { try reader.read(ids, into: $0, threads: 1) }
        let rows = (0..<7).map { Array(floats[$0 * Self.dims..<($0 + 1) * Self.dims]) }
        if codec == .f32 { #expect(rows == given[1]) }
        let preconditioner = try open(view)
        let part = try preconditioner.part(layer: layer, checkpoint: checkpoint)
        let stored = try view.units(of: checkpoint).flatMap {
            try preconditioner.squaredNorms(of: $0, layers: [layer], checkpoint: checkpoint)
        }
        for (norm, row) in zip(stored, rows) {
            let inverse = wanted(rows, damping: part.document.damping, row)
            let wanted = DenseOracle.dot(row.map(Double.init), inverse)
            #expect(abs(norm - wanted) < 1e-12 * wanted)
        }
    }
}
