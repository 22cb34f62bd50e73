// Whether inputs were made by the projectors of a table's layers: the rules of
// format-spec/projectors.md, in one place for everything that takes vectors.
//
// An ingest asks for one source after the other; what a layer of an empty table takes over from the
// first of them binds the others. A query asks for its file, and changes nothing.

/// The projectors of a table's layers, as they are after the sources that were checked so far.
package struct ProjectorAgreement: Sendable {
    /// The table's layers, with the projectors, and tensors of projectors, that they have taken
    /// over from sources.
    package private(set) var layers: [Layer]
    /// Whether a layer took something over: then the table's document must be written anew.
    package private(set) var hasAdopted = false

    private let table: String
    /// Whether a layer may still take a projector.
    private let mayAdopt: Bool
    /// By layer: the first source that says nothing of a projector, and the first that speaks of
    /// one where the layer has none.
    private var silent: [String: String] = [:]
    private var unknown: [String: String] = [:]

    /// - Parameters:
    ///   - table: its name.
    ///   - layers: the layers that the sources bring; all of the table's for an ingest.
    ///   - hasRows: whether the table has rows in a snapshot: then a layer without a projector
    ///     stays without.
    package init(table: String, layers: [Layer], hasRows: Bool) {
        self.table = table
        self.layers = layers
        mayAdopt = !hasRows
    }

    /// Compares the projectors that a source speaks of with those of the layers.
    ///
    /// - Throws: `.badInput` naming the source, the layer, both projectors and the remedy.
    package mutating func check(_ source: any VectorSource) throws {
        try check(source.projectors, of: source.name)
    }

    /// The same for projectors (by layer) of vectors that were taken in before.
    package mutating func check(
        _ projectors: [String: ProjectorDocument], of source: String
    ) throws {
        for index in layers.indices {
            let layer = layers[index]
            guard let brought = projectors[layer.name] else {
                silent[layer.name] = silent[layer.name] ?? source
                continue
            }
            guard brought.dims == layer.dims else {
                throw GradDBError.badInput(
                    "\(source): the projector of tensor \(Excerpt.quoted(layer.name)) makes "
                        + "\(brought.dims) dims, but layer '\(layer.name)' of table '\(table)' "
                        + "has \(layer.dims)")
            }
            guard let own = layer.projector else {
                if mayAdopt {
                    adopt(brought, index)
                } else {
                    unknown[layer.name] = unknown[layer.name] ?? source
                }
                continue
            }
            guard own.agrees(with: brought) else {
                throw refusal(of: brought, from: source, layer: layer.name, own)
            }
            if own.tensors == nil, brought.tensors != nil {
                var filled = own
                filled.tensors = brought.tensors
                adopt(filled, index)
            }
        }
    }

    private mutating func adopt(_ projector: ProjectorDocument, _ index: Int) {
        layers[index].projector = projector
        hasAdopted = true
    }

    private func refusal(
        of brought: ProjectorDocument, from source: String, layer: String, _ own: ProjectorDocument
    ) -> GradDBError {
        let difference = brought.difference(from: own)
        return .badInput(
            "\(source): tensor \(Excerpt.quoted(layer)) was made by another projector than layer "
                + "'\(layer)' of table '\(table)'\(difference.isEmpty ? "" : ": \(difference)"). "
                + "The file's is \(brought); the layer's is \(own). Their dot products mean "
                + "nothing; project the raw gradients again with "
                + "`gradctl project --table \(table)`")
    }

    /// What a user should know, a sentence each, in the order of the layers.
    package var notes: [String] {
        layers.compactMap { layer in
            if layer.projector != nil, let source = silent[layer.name] {
                return "\(source) does not say which projector made '\(layer.name)'; it is taken "
                    + "for that of the layer"
            }
            if let source = unknown[layer.name] {
                return "\(source) says which projector made '\(layer.name)', but the layer has "
                    + "rows of an unknown one; whether they fit cannot be checked"
            }
            return nil
        }
    }
}
