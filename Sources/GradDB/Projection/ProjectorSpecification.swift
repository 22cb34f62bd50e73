// Projectors as people write them: `sketch,dims=65536,seed=7,normalise=tensor`.

extension ProjectorDocument {
    /// The projector that a specification describes: a kind, then `dims=`, `seed=` (decimal or
    /// 0x…), `normalise=`, `rounds=`, `rank=OUTxIN`, `match=` (any number of times), by commas.
    ///
    /// - Parameter dims: of the layer, for a specification that leaves them out.
    /// - Throws: `.usage` saying what is wrong with it.
    public init(specification: String, dims layerDims: Int? = nil) throws {
        func refuse(_ what: String) -> GradDBError {
            .usage(
                "projector '\(specification)': \(what). A projector is written like "
                    + "sketch,dims=65536,seed=7,normalise=tensor")
        }
        let parts = specification.split(separator: ",", omittingEmptySubsequences: false)
        guard let first = parts.first, let kind = Kind(rawValue: String(first)) else {
            let known = Kind.allCases.map(\.rawValue).joined(separator: ", ")
            throw refuse("there is no kind '\(parts.first ?? "")'; there are \(known)")
        }
        self.init(kind: kind, dims: 0)
        if kind == .rapidgrad { rounds = Self.usualRounds }
        var dims: Int?
        var seen: Set<String> = []
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, !pair[1].isEmpty else {
                throw refuse("'\(part)' is no KEY=VALUE")
            }
            let key = String(pair[0])
            let value = String(pair[1])
            guard seen.insert(key).inserted || key == "match" else {
                throw refuse("'\(key)' is given twice")
            }
            func number() throws -> Int {
                guard let number = Int(value), number >= 0 else {
                    throw refuse("'\(value)' is no number for \(key)")
                }
                return number
            }
            switch key {
            case "dims": dims = try number()
            case "rounds": rounds = try number()
            case "seed":
                let isHexadecimal = value.hasPrefix("0x")
                let digits = isHexadecimal ? value.dropFirst(2) : value[...]
                guard let seed = UInt64(digits, radix: isHexadecimal ? 16 : 10) else {
                    throw refuse("'\(value)' is no seed of 64 bits")
                }
                self.seed = seed
            case "normalise":
                guard let normalisation = Normalisation(rawValue: value) else {
                    throw refuse("normalise is none or tensor, not '\(value)'")
                }
                normalise = normalisation
            case "rank":
                let sides = value.split(separator: "x", omittingEmptySubsequences: false)
                let ranks = sides.compactMap { Int($0) }
                guard sides.count == 2, ranks.count == 2 else {
                    throw refuse("a rank is two numbers, such as 32x32, not '\(value)'")
                }
                rank = ranks
            case "match": match = (match ?? []) + [value]
            default: throw refuse("there is no '\(key)'")
            }
        }
        let product = rank.flatMap { rank -> Int? in
            let (product, overflow) = rank[0].multipliedReportingOverflow(by: rank[1])
            return overflow ? nil : product
        }
        guard let given = dims ?? product ?? layerDims else { throw refuse("dims are missing") }
        self.dims = given
        do {
            try validate()
        } catch {
            throw refuse("\(error)")
        }
    }

    private static let usualRounds = 20
}
