// The one text of a projector, which its hash is of: keys in the order of the specification, no
// white space, strings escaped as little as JSON allows.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension ProjectorDocument {
    /// The object as text, as a file of projected vectors has it in its metadata.
    public var text: String { text(withMatch: true) }

    /// XXH3-64 of the text without `match`, 16 hexadecimal digits: the projector's identity.
    public var hash: String {
        guard let kernels = KernelSet.supported.first else { return "" }
        let bytes = Array(text(withMatch: false).utf8)
        let digits = String(bytes.withUnsafeBytes { kernels.hash($0) }, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// What `text` gives, or any other spelling of the object, read and validated.
    ///
    /// - Throws: `.badInput` saying what is wrong, without saying where.
    public init(parsing text: String) throws {
        // With a NUL in it, the decoder would take it for UTF-16.
        guard !text.utf8.contains(0) else {
            throw GradDBError.badInput("it is no projector: it is not valid JSON")
        }
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(text.utf8))
        } catch let error as DecodingError {
            throw GradDBError.badInput("it is no projector: \(Self.reason(error))")
        }
        try validate()
    }

    private func text(withMatch: Bool) -> String {
        var members = [
            "\"kind\":" + JSONValue.quoted(kind.rawValue), "\"version\":\(version)",
            "\"dims\":\(dims)", "\"seed\":" + JSONValue.quoted(seedText),
            "\"normalise\":" + JSONValue.quoted(normalise.rawValue),
        ]
        if let rounds { members.append("\"rounds\":\(rounds)") }
        if let rank { members.append("\"rank\":" + Self.list(rank.map(String.init))) }
        if withMatch, let match {
            members.append("\"match\":" + Self.list(match.map(JSONValue.quoted)))
        }
        if let tensors {
            let objects = tensors.map {
                "{\"name\":\(JSONValue.quoted($0.name)),\"shape\":\(Self.list($0.shape.map(String.init)))}"
            }
            members.append("\"tensors\":" + Self.list(objects))
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    private static func list(_ items: [String]) -> String {
        "[" + items.joined(separator: ",") + "]"
    }

    private static func reason(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): return "'\(key.stringValue)' is missing"
        case .dataCorrupted(let context) where context.codingPath.isEmpty:
            return "it is not valid JSON"
        case .typeMismatch(_, let context), .valueNotFound(_, let context),
            .dataCorrupted(let context):
            let path = context.codingPath.map {
                $0.intValue.map { "[\($0)]" } ?? $0.stringValue
            }.joined(separator: ".")
            return path.isEmpty
                ? "it is no JSON object" : "'\(path)' has a value that is not possible"
        @unknown default: return "\(error)"
        }
    }
}
