// Finds the query vectors of a statement and looks at them: what is wrong with one is found out
// before anything runs.

import GradDB
import Logging

struct QuerySetBinder {
    let view: TableView
    let layers: [Layer]
    let tiers: [[LayerEncoding]]
    let checkpoints: [CheckpointDocument]
    let preconditioner: BoundPreconditioner?
    let options: QueryOptions

    private let log = Logger(label: "graddb.query")
    /// What a path has in the place of a checkpoint's name.
    private static let placeholder = "{checkpoint}"

    init(
        view: TableView, layers: [Layer], tiers: [[LayerEncoding]],
        checkpoints: [CheckpointDocument], preconditioner: BoundPreconditioner?,
        options: QueryOptions
    ) {
        self.view = view
        self.layers = layers
        self.tiers = tiers
        self.checkpoints = checkpoints
        self.preconditioner = preconditioner
        self.options = options
    }

    func bind(_ statement: Statement) throws -> QuerySet {
        guard let source = statement.querySource else { return .none }
        let isCosine = statement.measure.value == .cosine
        switch source.value {
        case .file(let path): return try files(path, name: path, isCosine, source, statement)
        case .parameter(let name):
            if let batch = options.vectors[name] {
                let named = try batch.named(forLayers: view.table.layers.map(\.name))
                return try queries([named], name: "$" + name, isCosine)
            }
            guard let path = options.parameters[name] else {
                let bound = options.parameters.keys.sorted() + options.vectors.keys.sorted()
                throw statement.error(
                    "nothing is bound to $\(name)", at: source.range,
                    expected: "--param \(name)=FILE on the command line, or vectors from a program",
                    hint: NearestName.hint(for: name, among: bound))
            }
            return try files(path, name: "$" + name, isCosine, source, statement)
        case .row(let identifier):
            return try row(identifier, isCosine, source.range, statement)
        case .rows(let condition):
            return try rows(condition, isCosine, source.range, statement)
        }
    }

    private var encoder: QueryEncoder {
        get throws { try QueryEncoder(view.table, layers: layers, tiers: tiers) }
    }

    private var preconditioning: QueryPreconditioning? {
        get throws {
            try preconditioner.map {
                QueryPreconditioning(
                    preconditioner: $0, checkpoints: checkpoints, encoder: try encoder)
            }
        }
    }

    // MARK: files and memory

    private func files(
        _ path: String, name: String, _ isCosine: Bool, _ source: Located<QuerySource>,
        _ statement: Statement
    ) throws -> QuerySet {
        var paths = [path]
        if path.contains(Self.placeholder) {
            guard !checkpoints.isEmpty else {
                throw statement.error(
                    "\(Self.placeholder) stands for no checkpoint's name, as table "
                        + "'\(view.table.name)' has none yet", at: source.range,
                    expected: "a path without it")
            }
            paths = checkpoints.map { path.replacing(Self.placeholder, with: $0.name) }
        }
        let tensor = view.table.layers.count == 1 ? view.table.layers[0].name : nil
        return try queries(
            try paths.map { try TensorFile($0, npyTensor: tensor) }, name: name, isCosine)
    }

    private func queries(
        _ sources: [any VectorSource], name: String, _ isCosine: Bool
    ) throws -> QuerySet {
        let counts = try sources.map(checkedCount)
        for (source, count) in zip(sources, counts) where count != counts[0] {
            throw GradDBError(
                .badInput,
                "\(source.name) holds \(count) query vectors, but \(sources[0].name) holds "
                    + "\(counts[0]); all checkpoints need as many")
        }
        let preconditioning = try self.preconditioning
        let vectors = try FileQueries(
            sources, count: counts[0], name: name, encoder: try encoder, isCosine: isCosine,
            harmless: preconditioning?.harmless, options: options)
        let set = QuerySet(
            vectors, sourceName: name, layers: layers.count, preconditioning: preconditioning)
        for query in vectors.unusual {
            for checkpoint in checkpoints.indices {
                for tier in tiers.indices {
                    _ = try set.encoded(
                        query..<query + 1, checkpoint: checkpoint, tier: tier, options)
                }
            }
        }
        return set
    }

    /// How many queries a source holds.
    ///
    /// - Throws: `.badInput` for one that does not fit the layers.
    private func checkedCount(_ source: any VectorSource) throws -> Int {
        try refuseRawGradients(source)
        let count = try source.rowCount(of: layers.map(\.name), allowVector: true)
        guard count > 0 else {
            throw GradDBError(.badInput, "\(source.name) holds no query vectors: it has 0 rows")
        }
        var agreement = ProjectorAgreement(
            table: view.table.name, layers: layers, hasRows: true)
        try agreement.check(source)
        for note in agreement.notes { log.notice("\(note)") }
        for layer in layers {
            let dims = try source.matrix(layer.name, allowVector: true).dims
            guard dims == layer.dims else {
                throw GradDBError(
                    .badInput,
                    "\(source.name): tensor '\(layer.name)' has \(dims) dims, but layer "
                        + "'\(layer.name)' of table '\(view.table.name)' has \(layer.dims)")
            }
        }
        return count
    }

    /// Raw gradients are not projected silently: what a query costs, and by which projector it was
    /// made, is its maker's to know.
    private func refuseRawGradients(_ file: any VectorSource) throws {
        for layer in layers where file.tensors[layer.name] == nil {
            guard let projector = layer.projector else { continue }
            let names = file.tensors.keys.sorted()
            let known = projector.tensors.map { Set($0.map(\.name)) }
            guard let raw = names.first(where: { known?.contains($0) ?? projector.selects($0) })
            else { continue }
            throw GradDBError(
                .badInput,
                "\(file.name) has no tensor '\(layer.name)', but raw gradients ('\(raw)'); make "
                    + "vectors of them first: gradctl project --table \(view.table.name) "
                    + "\(file.name) OUT")
        }
    }

    // MARK: rows of the table

    private func row(
        _ identifier: QuerySource.RowIdentifier, _ isCosine: Bool, _ range: SourceRange,
        _ statement: Statement
    ) throws -> QuerySet {
        let (name, candidates): (String, [RowID]) =
            switch identifier {
            case .int(let value): ("ROW \(value)", [.int(value)])
            // In a table of integer ids, ROW '5' means 5: there is nothing else it could mean.
            case .string(let text):
                (
                    "ROW \(Spelling.string(text))",
                    [.string(text)]
                        + (Int64(text).flatMap { "\($0)" == text ? [.int($0)] : nil } ?? [])
                )
            }
        guard let row = try candidates.lazy.compactMap({ try view.row(of: $0) }).first else {
            throw statement.error(
                "table '\(view.table.name)' has no row with this id", at: range,
                expected: "an id that the snapshot has")
        }
        for checkpoint in checkpoints where try view.location(of: row, in: checkpoint) == nil {
            throw statement.error(
                "this row has no vector at checkpoint '\(checkpoint.name)'", at: range,
                expected: "a row that was ingested for that checkpoint")
        }
        var one = RowSet()
        one.insert(row)
        return try queries(one, sourceName: name, spelled: name, isCosine)
    }

    private func rows(
        _ condition: Expression, _ isCosine: Bool, _ range: SourceRange, _ statement: Statement
    ) throws -> QuerySet {
        let predicate = try BoundPredicate(
            condition, in: statement.origin.source,
            schema: QueryBinder.filterSchema(of: view.table), parameters: options.parameters)
        let matching = try predicate.rows(of: view, options)
        let name = try statement.origin.source.compact(range)
        let set = try queries(matching, sourceName: name, spelled: nil, isCosine)
        guard set.count > 0 else {
            let missing =
                matching.count == 0
                ? "no row of table '\(view.table.name)' fulfils this condition"
                : "no row that fulfils this condition has a vector at every chosen checkpoint"
            throw statement.error(
                missing, at: range, expected: "a condition that is true of a row or more")
        }
        return set
    }

    private func queries(
        _ rows: RowSet, sourceName: String, spelled: String?, _ isCosine: Bool
    ) throws -> QuerySet {
        let vectors = try RowQueries(
            rows, in: view, checkpoints: checkpoints, encoder: try encoder, tiers: tiers,
            spelled: spelled)
        if isCosine { try vectors.refuseZero(layers: layers) }
        return QuerySet(
            vectors, sourceName: sourceName, layers: layers.count,
            preconditioning: try preconditioning)
    }
}

extension SourceText {
    /// A part of a statement with one space wherever there is white space or a comment between its
    /// words.
    fileprivate func compact(_ range: SourceRange) throws -> String {
        let part = SourceText(self[range])
        var lexer = Lexer(part)
        var text = ""
        var end = 0
        while true {
            let token = try lexer.next()
            if case .end = token.kind { return text }
            if token.range.start > end, !text.isEmpty { text += " " }
            text += part[token.range]
            end = token.range.end
        }
    }
}
