// The one face of everything that vectors are read from: a safetensors file, an .npy file, a
// message of a stream. A source owns what it reads from and lets go of it when it goes away, so
// that a directory of thousands of files holds open only those that somebody still refers to.

/// One input of named tensors, all of which were found whole and well-formed when it was opened.
package protocol VectorSource: Sendable {
    /// What errors call this input: a path, or "standard input, message 3".
    var name: String { get }
    /// Size of the whole input, for progress.
    var byteCount: Int { get }
    var tensors: [String: TensorInfo] { get }
    /// What made the tensors out of raw gradients, by tensor, where the input says so.
    var projectors: [String: ProjectorDocument] { get }
    /// Bytes of the input that one row of a tensor is read from, for progress.
    func inputBytes(perRowOf tensor: String) -> Int
    /// Copies rows `rows` of a tensor, raw little-endian bytes as stored, into all of `buffer`,
    /// whose size must be `rows.count * rowBytes` of the tensor's `matrix`. A vector is one row.
    ///
    /// Safe to call from several threads at once. Throws `badInput` where the input has become
    /// shorter since it was opened, and `io` where the system fails to read it.
    func read(
        tensor: String, rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError)
}

extension VectorSource {
    package func inputBytes(perRowOf tensor: String) -> Int {
        (try? matrix(tensor, allowVector: false).rowBytes) ?? 0
    }

    /// The tensor `tensor` as rows of vectors, or `badInput` saying which tensor of which input is
    /// missing, of the wrong dtype or of the wrong shape. Ingest needs `[rows, dims]`; queries
    /// also take `[dims]` as one row and say so with `allowVector`.
    package func matrix(_ tensor: String, allowVector: Bool) throws(GradDBError) -> VectorMatrix {
        guard let info = tensors[tensor] else {
            throw .badInput(
                "\(name) has no tensor \(Excerpt.quoted(tensor)); "
                    + (tensors.isEmpty
                        ? "it holds no tensors at all"
                        : "it holds \(Excerpt.list(tensors.keys.sorted()))")
                    + ". Name the tensors of a file after the table's layers")
        }
        do {
            return try info.matrix(allowVector: allowVector)
        } catch {
            throw .badInput("\(name): tensor \(Excerpt.quoted(tensor)) \(error.text)")
        }
    }

    /// How many rows the named tensors have, which must be the same number for all of them: row i
    /// of each belongs to the same example. 0 where no tensor is named.
    package func rowCount(
        of layers: [String], allowVector: Bool = false
    ) throws(GradDBError) -> Int {
        var agreed: (layer: String, rows: Int)?
        for layer in layers {
            let rows = try matrix(layer, allowVector: allowVector).rows
            guard let first = agreed else {
                agreed = (layer, rows)
                continue
            }
            guard rows == first.rows else {
                throw .badInput(
                    "\(name): tensor \(Excerpt.quoted(layer)) has \(rows) rows, but "
                        + "\(Excerpt.quoted(first.layer)) has \(first.rows); the tensors of one "
                        + "file must have one row for each of the same examples")
            }
        }
        return agreed?.rows ?? 0
    }
}
