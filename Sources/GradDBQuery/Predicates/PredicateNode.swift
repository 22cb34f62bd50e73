// A condition with all names and types settled: what the evaluator runs over columns. Every test
// of a column is unknown where the column is NULL.

package indirect enum PredicateNode: Equatable, Sendable {
    case constant(Truth)
    case not(PredicateNode)
    case and([PredicateNode])
    case or([PredicateNode])
    /// True where the column has no value, false elsewhere; never unknown.
    case isNull(column: String)
    /// The value of a bool column itself.
    case bool(column: String)
    case intInterval(column: String, NumericInterval<Int64>)
    case floatInterval(column: String, NumericInterval<Double>)
    /// Ascending.
    case intMembership(column: String, [Int64])
    /// Ascending.
    case floatMembership(column: String, [Double])
    case string(column: String, StringTest)
    /// Two columns of comparable types.
    case comparison(ComparisonOperator, left: String, right: String)
}

// Constructors that work out what is known without any row.
extension PredicateNode {
    static func negation(of node: PredicateNode) -> PredicateNode {
        switch node {
        case .constant(let truth): .constant(truth.negated)
        case .not(let inner): inner
        default: .not(node)
        }
    }

    func negated(if isNegated: Bool) -> PredicateNode {
        isNegated ? .negation(of: self) : self
    }

    static func conjunction(of nodes: [PredicateNode]) -> PredicateNode {
        combination(of: nodes, neutral: .yes, decisive: .no) { .and($0) }
    }

    static func disjunction(of nodes: [PredicateNode]) -> PredicateNode {
        combination(of: nodes, neutral: .no, decisive: .yes) { .or($0) }
    }

    private static func combination(
        of nodes: [PredicateNode], neutral: Truth, decisive: Truth,
        _ combine: ([PredicateNode]) -> PredicateNode
    ) -> PredicateNode {
        if nodes.contains(.constant(decisive)) { return .constant(decisive) }
        var rest = nodes.filter {
            if case .constant = $0 { false } else { true }
        }
        if nodes.contains(.constant(.unknown)) { rest.append(.constant(.unknown)) }
        return rest.isEmpty ? .constant(neutral) : rest.count == 1 ? rest[0] : combine(rest)
    }

    /// The columns it reads, each once, in the order of their first appearance.
    var columns: [String] {
        var names: [String] = []
        var seen: Set<String> = []
        visitColumns { name in
            if seen.insert(name).inserted { names.append(name) }
        }
        return names
    }

    private func visitColumns(_ visit: (String) -> Void) {
        switch self {
        case .constant: break
        case .not(let node): node.visitColumns(visit)
        case .and(let nodes), .or(let nodes):
            for node in nodes { node.visitColumns(visit) }
        case .isNull(let column), .bool(let column), .intInterval(let column, _),
            .floatInterval(let column, _), .intMembership(let column, _),
            .floatMembership(let column, _), .string(let column, _):
            visit(column)
        case .comparison(_, let left, let right):
            visit(left)
            visit(right)
        }
    }
}
