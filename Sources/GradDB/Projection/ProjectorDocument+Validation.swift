// Whether a projector is one: the limits of format-spec/projectors.md.

extension ProjectorDocument {
    /// More elements than any tensor or row has: sums of their numbers must not overflow.
    static let elementLimit = 1 << 50
    /// `dense`, and either side of `factored`.
    static let denseDimsLimit = 1 << 20
    static let roundsLimit = 1000

    /// - Throws: `.badInput` saying what is wrong, without saying where.
    public func validate() throws {
        func refuse(_ what: String) -> GradDBError { .badInput(what) }
        guard version == Self.currentVersion else {
            throw refuse(
                "version \(version) of projector kind \(kind.rawValue) is unknown, "
                    + "\(Self.currentVersion) is read; use a newer gradctl")
        }
        guard (1...TableSchema.maxDims).contains(dims) else {
            throw refuse("a projector has 1 to \(TableSchema.maxDims) dims, not \(dims)")
        }
        guard (rounds != nil) == (kind == .rapidgrad), (rank != nil) == (kind == .factored) else {
            throw refuse(
                "'rounds' belongs to kind rapidgrad and 'rank' to kind factored: there always, "
                    + "elsewhere never; the kind is \(kind.rawValue)")
        }
        if let match, match.isEmpty || match.contains("") {
            throw refuse("'match' has a pattern or more, none of them empty, or is left out")
        }
        try validateKind(refuse)
        if let tensors { try validate(tensors, refuse) }
    }

    private func validateKind(_ refuse: (String) -> GradDBError) throws {
        switch kind {
        case .sketch:
            guard dims.isMultiple(of: 64) else {
                throw refuse("a sketch has a multiple of 64 dims, not \(dims)")
            }
        case .dense:
            guard dims <= Self.denseDimsLimit else {
                throw refuse(
                    "a dense projector has at most \(Self.denseDimsLimit) dims, not \(dims); use "
                        + "kind sketch")
            }
        case .rapidgrad:
            guard let rounds, (0...Self.roundsLimit).contains(rounds) else {
                throw refuse("rapidgrad takes 0 to \(Self.roundsLimit) rounds")
            }
        case .factored:
            guard let rank, rank.count == 2,
                rank.allSatisfy({ (1...Self.denseDimsLimit).contains($0) }),
                rank[0] * rank[1] == dims
            else {
                throw refuse(
                    "factored takes a rank of two numbers, k_out and k_in, from 1 to "
                        + "\(Self.denseDimsLimit), whose product is dims (\(dims))")
            }
        }
    }

    private func validate(_ tensors: [Tensor], _ refuse: (String) -> GradDBError) throws {
        guard !tensors.isEmpty else { throw refuse("'tensors' is empty; leave it out") }
        for (one, next) in zip(tensors, tensors.dropFirst()) {
            guard one.name.utf8.lexicographicallyPrecedes(next.name.utf8) else {
                throw refuse(
                    "'tensors' is not in ascending order of names: \(Excerpt.quoted(next.name)) "
                        + "comes after \(Excerpt.quoted(one.name))")
            }
        }
        var total = 0
        for tensor in tensors {
            guard let count = Self.elementCount(tensor.shape) else {
                throw refuse(
                    "tensor \(Excerpt.quoted(tensor.name)) has the impossible shape "
                        + Excerpt.shape(tensor.shape))
            }
            total += count
            guard total <= Self.elementLimit else {
                throw refuse("its tensors have more than \(Self.elementLimit) elements")
            }
        }
        if kind == .factored { _ = try FactoredModule.modules(of: tensors) }
    }

    /// The product of a shape's extents; nil where one is negative or the product is out of reach.
    static func elementCount(_ shape: [Int]) -> Int? {
        var count = 1
        for extent in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard extent >= 0, !overflow, product <= elementLimit else { return nil }
            count = product
        }
        return count
    }
}

/// A linear layer as `factored` takes it: what goes in, and what comes back.
struct FactoredModule: Equatable, Sendable {
    static let inputSuffix = ".input"
    static let gradientSuffix = ".grad_output"

    var name: String
    var inputDims: Int
    var outputDims: Int

    /// The modules of a projector's tensors, in the order of their names.
    ///
    /// - Throws: `.badInput` for a tensor without its partner, or of another shape than
    ///   `[0, dims]`.
    static func modules(of tensors: [ProjectorDocument.Tensor]) throws -> [FactoredModule] {
        let byName = Dictionary(
            tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var modules: [FactoredModule] = []
        for tensor in tensors {
            let partner: String
            if tensor.name.hasSuffix(gradientSuffix) {
                let module = String(tensor.name.dropLast(gradientSuffix.count))
                partner = module + inputSuffix
                if let input = byName[partner] {
                    modules.append(
                        FactoredModule(
                            name: module, inputDims: input.shape.last ?? 0,
                            outputDims: tensor.shape.last ?? 0))
                }
            } else if tensor.name.hasSuffix(inputSuffix) {
                partner = tensor.name.dropLast(inputSuffix.count) + gradientSuffix
            } else {
                throw GradDBError.badInput(
                    "factored takes tensors named <module>\(inputSuffix) and "
                        + "<module>\(gradientSuffix), not \(Excerpt.quoted(tensor.name)); choose "
                        + "them with match")
            }
            guard byName[partner] != nil else {
                throw GradDBError.badInput(
                    "factored takes tensors in pairs, but \(Excerpt.quoted(tensor.name)) comes "
                        + "without \(Excerpt.quoted(partner))")
            }
            guard tensor.shape.count == 2, tensor.shape[0] == 0, tensor.shape[1] > 0 else {
                throw GradDBError.badInput(
                    "factored takes tensors [positions, dims] (in a projector [0, dims]), but "
                        + "\(Excerpt.quoted(tensor.name)) has \(Excerpt.shape(tensor.shape))")
            }
        }
        return modules
    }
}
