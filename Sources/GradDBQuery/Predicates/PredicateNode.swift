// A condition with all names and types settled: what the evaluator runs over columns. Every test
// of a value is unknown where the value is NULL.

package indirect enum PredicateNode: Equatable, Sendable {
    case constant(Truth)
    case not(PredicateNode)
    case and([PredicateNode])
    case or([PredicateNode])
    /// True where there is no value, false elsewhere; never unknown.
    case isNull(ValueNode)
    /// A bool itself.
    case bool(ValueNode)
    /// Of an int.
    case intInterval(ValueNode, NumericInterval<Int64>)
    /// Of a float.
    case floatInterval(ValueNode, NumericInterval<Double>)
    /// Of an int; ascending.
    case intMembership(ValueNode, [Int64])
    /// Of a float; ascending.
    case floatMembership(ValueNode, [Double])
    case string(ValueNode, StringTest)
    /// Two values of comparable types.
    case comparison(ComparisonOperator, ValueNode, ValueNode)
    /// Whether the value equals any of the others, which are of comparable types.
    case membership(ValueNode, [ValueNode])
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
        case .isNull(let value), .bool(let value), .intInterval(let value, _),
            .floatInterval(let value, _), .intMembership(let value, _),
            .floatMembership(let value, _), .string(let value, _):
            value.visitColumns(visit)
        case .comparison(_, let left, let right):
            left.visitColumns(visit)
            right.visitColumns(visit)
        case .membership(let value, let others):
            value.visitColumns(visit)
            for other in others { other.visitColumns(visit) }
        }
    }
}
