// The canonical spelling of a statement: every clause in the order of the specification, defaults
// that can be written out are. It reads back as the same statement.

extension Statement: CustomStringConvertible {
    package var description: String {
        var clauses: [String] = []
        switch explain {
        case .plan: clauses.append("EXPLAIN")
        case .analyze: clauses.append("EXPLAIN ANALYZE")
        case nil: break
        }
        clauses.append("SELECT " + selection.map(\.value.description).joined(separator: ", "))
        if isPerLayer { clauses.append("PER LAYER") }
        clauses.append("FROM " + Spelling.table(table.value))
        if let version { clauses.append("AT \(version.value)") }
        clauses.append("SCORE \(measure.value.rawValue)")
        if let querySource {
            clauses.append("TO \(querySource.value) \(reduction.rawValue.uppercased())")
        }
        if !layers.isEmpty {
            clauses.append(
                "LAYERS " + layers.map { Spelling.string($0.value) }.joined(separator: ", "))
        }
        switch checkpoints {
        case .newest: break
        case .all: clauses.append("ACROSS ALL")
        case .listed(let listed):
            clauses.append("ACROSS " + listed.map(\.description).joined(separator: ", "))
        }
        if let preconditioner {
            clauses.append("PRECONDITION " + Spelling.name(preconditioner.value))
        }
        if let filter { clauses.append("WHERE \(filter)") }
        if let grouping { clauses.append("GROUP BY \(grouping)") }
        if let top { clauses.append("TOP \(top.value)") }
        if let bottom { clauses.append("BOTTOM \(bottom.value)") }
        if isAll { clauses.append("ALL") }
        if let accuracy { clauses.append(accuracy.value.description) }
        return clauses.joined(separator: " ")
    }
}

extension Accuracy: CustomStringConvertible {
    package var description: String {
        switch self {
        case .exact: "EXACT"
        case .confidence(let probability): "CONFIDENCE \(probability)"
        case .budget(let seconds): "BUDGET \(seconds)s"
        }
    }
}

extension SelectItem: CustomStringConvertible {
    package var description: String {
        switch self {
        case .all: "*"
        case .column(let name, let alias):
            Spelling.name(name.value) + (alias.map { " AS " + Spelling.name($0.value) } ?? "")
        }
    }
}

extension TableVersion: CustomStringConvertible {
    package var description: String {
        switch self {
        case .snapshot(let number): "\(number)"
        case .named(let name): Spelling.string(name)
        }
    }
}

extension QuerySource: CustomStringConvertible {
    package var description: String {
        switch self {
        case .file(let path): Spelling.string(path)
        case .parameter(let name): "$" + name
        case .row(.string(let id)): "ROW " + Spelling.string(id)
        case .row(.int(let id)): "ROW \(id)"
        case .rows(let condition): "ROWS WHERE \(condition)"
        }
    }
}

extension WeightedCheckpoint: CustomStringConvertible {
    package var description: String {
        Spelling.string(name.value) + (weight.map { " WEIGHT \($0.value)" } ?? "")
    }
}

extension Grouping: CustomStringConvertible {
    package var description: String {
        Spelling.name(column.value) + " WITH " + reduction.value.rawValue
    }
}

extension RowLimit: CustomStringConvertible {
    package var description: String {
        switch self {
        case .rows(let count): "\(count)"
        case .percent(let share): "\(share)%"
        }
    }
}
