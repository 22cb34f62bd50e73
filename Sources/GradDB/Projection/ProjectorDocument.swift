// What identifies a projector: the JSON object of format-spec/projectors.md, in a table's document
// and in files of projected vectors.

/// A linear map of the raw gradient of a row to the vector of a layer, described so that two
/// implementations agree on every index and every sign.
public struct ProjectorDocument: Hashable, Sendable {
    /// How elements become sums.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case sketch, rapidgrad, dense, factored
    }

    /// What happens to a tensor before it is projected.
    public enum Normalisation: String, Codable, Sendable, CaseIterable {
        case none
        /// Each tensor of a row to Euclidean length 1.
        case tensor
    }

    /// A tensor that it takes, with the shape of one row's.
    public struct Tensor: Codable, Hashable, Sendable {
        public var name: String
        public var shape: [Int]

        public init(name: String, shape: [Int]) {
            self.name = name
            self.shape = shape
        }
    }

    /// Of the kinds' definitions; others are refused.
    public static let currentVersion = 1

    public var kind: Kind
    public var version = Self.currentVersion
    /// Elements of the result.
    public var dims: Int
    public var seed: UInt64
    public var normalise: Normalisation
    /// Rounds of permutations; `rapidgrad` only, which always has it.
    public var rounds: Int?
    /// `[k_out, k_in]`, whose product `dims` is; `factored` only, which always has it.
    public var rank: [Int]?
    /// Patterns (`*`, `?`) of the names of the tensors that belong to the layer; nil for all.
    /// No part of the projector's identity.
    public var match: [String]?
    /// What it takes, in ascending order of the names' bytes; nil until the first row is projected.
    public var tensors: [Tensor]?

    /// A projector of the current version. Nothing is checked; see `validate`.
    public init(
        kind: Kind, dims: Int, seed: UInt64 = 0, normalise: Normalisation = .none,
        rounds: Int? = nil, rank: [Int]? = nil, match: [String]? = nil, tensors: [Tensor]? = nil
    ) {
        self.kind = kind
        self.dims = dims
        self.seed = seed
        self.normalise = normalise
        self.rounds = rounds
        self.rank = rank
        self.match = match
        self.tensors = tensors
    }

    /// The same before it has seen a row.
    public var withoutTensors: ProjectorDocument {
        var copy = self
        copy.tensors = nil
        return copy
    }

    /// Whether a tensor of this name belongs to the layer, going by `match`.
    package func selects(_ tensor: String) -> Bool {
        match.map { $0.contains { Glob($0).matches(tensor) } } ?? true
    }
}

// Strict, because a projector that is read half is another projector: what is not as specified is
// refused here, and what contradicts itself in `validate`.
extension ProjectorDocument: Codable {
    private enum CodingKeys: String, CodingKey {
        case kind, version, dims, seed, normalise, rounds, rank, match, tensors
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        kind = try values.decode(Kind.self, forKey: .kind)
        version = try values.decode(Int.self, forKey: .version)
        dims = try values.decode(Int.self, forKey: .dims)
        let digits = try values.decode(String.self, forKey: .seed)
        guard let seed = Self.seed(digits) else {
            throw DecodingError.dataCorruptedError(
                forKey: .seed, in: values,
                debugDescription: "the seed '\(digits)' is not 0x and hexadecimal digits")
        }
        self.seed = seed
        normalise = try values.decode(Normalisation.self, forKey: .normalise)
        rounds = try values.decodeIfPresent(Int.self, forKey: .rounds)
        rank = try values.decodeIfPresent([Int].self, forKey: .rank)
        match = try values.decodeIfPresent([String].self, forKey: .match)
        tensors = try values.decodeIfPresent([Tensor].self, forKey: .tensors)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(kind, forKey: .kind)
        try values.encode(version, forKey: .version)
        try values.encode(dims, forKey: .dims)
        try values.encode(seedText, forKey: .seed)
        try values.encode(normalise, forKey: .normalise)
        try values.encodeIfPresent(rounds, forKey: .rounds)
        try values.encodeIfPresent(rank, forKey: .rank)
        try values.encodeIfPresent(match, forKey: .match)
        try values.encodeIfPresent(tensors, forKey: .tensors)
    }

    package var seedText: String { "0x" + String(seed, radix: 16) }

    /// The one spelling of a seed: lower case, without leading zeros.
    private static func seed(_ text: String) -> UInt64? {
        guard text.hasPrefix("0x"), let value = UInt64(text.dropFirst(2), radix: 16),
            text == "0x" + String(value, radix: 16)
        else { return nil }
        return value
    }
}
