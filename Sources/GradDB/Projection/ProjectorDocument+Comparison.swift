// Whether two projectors are the same, and if not, in words.

extension ProjectorDocument: CustomStringConvertible {
    /// Whether vectors of the two can be compared: by hash, or without `tensors` where one of the
    /// two does not know them yet.
    public func agrees(with other: ProjectorDocument) -> Bool {
        guard tensors != nil, other.tensors != nil else {
            return withoutTensors.hash == other.withoutTensors.hash
        }
        return hash == other.hash
    }

    /// For people: `sketch, 65536 dims, seed 0x7, normalise tensor, hash 0123456789abcdef`.
    public var description: String {
        var words = ["\(kind.rawValue)"]
        if let rank { words.append("rank " + rank.map(String.init).joined(separator: "x")) }
        words.append("\(dims) dims")
        words.append("seed \(seedText)")
        if let rounds { words.append("\(rounds) rounds") }
        words.append("normalise \(normalise.rawValue)")
        if let tensors { words.append("\(tensors.count) tensors") }
        words.append("hash \(hash)")
        return words.joined(separator: ", ")
    }

    /// What sets `self` apart from `other`, in a few words; empty where nothing does.
    package func difference(from other: ProjectorDocument) -> String {
        if kind != other.kind { return "the kinds differ" }
        if dims != other.dims { return "the dims differ" }
        if seed != other.seed { return "the seeds differ" }
        if normalise != other.normalise { return "they normalise differently" }
        if rounds != other.rounds { return "the rounds differ" }
        if rank != other.rank { return "the ranks differ" }
        guard let tensors, let others = other.tensors else { return "" }
        let known = Dictionary(others.map { ($0.name, $0.shape) }, uniquingKeysWith: { a, _ in a })
        for tensor in tensors {
            guard let shape = known[tensor.name] else {
                return "tensor \(Excerpt.quoted(tensor.name)) is new"
            }
            if shape != tensor.shape {
                return "tensor \(Excerpt.quoted(tensor.name)) has shape "
                    + "\(Excerpt.shape(tensor.shape)), not \(Excerpt.shape(shape))"
            }
        }
        let own = Set(tensors.map(\.name))
        return others.first { !own.contains($0.name) }
            .map { "tensor \(Excerpt.quoted($0.name)) is missing" } ?? ""
    }
}
