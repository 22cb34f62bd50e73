// A parsed tensor file: names and places of tensors over the bytes they lie in. Which format the
// file has matters only to the initialisers beside this one; reading rows is the same for all.

/// A safetensors or .npy document, in a file or in memory, checked from end to end at opening.
package struct TensorFile: VectorSource {
    package let name: String
    package let tensors: [String: TensorInfo]
    package let projectors: [String: ProjectorDocument]
    private let bytes: any ByteSource

    package var byteCount: Int { bytes.byteCount }

    init(
        name: String, tensors: [String: TensorInfo],
        projectors: [String: ProjectorDocument] = [:], bytes: any ByteSource
    ) {
        self.name = name
        self.tensors = tensors
        self.projectors = projectors
        self.bytes = bytes
    }

    package func read(
        tensor: String, rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError) {
        let matrix = try matrix(tensor, allowVector: true)
        guard let info = tensors[tensor] else { return }
        precondition(rows.lowerBound >= 0 && rows.upperBound <= matrix.rows, "no such rows")
        // No overflow here or below: all rows together are `info.byteCount` bytes, which exist.
        precondition(buffer.count == rows.count * matrix.rowBytes, "buffer of another size")
        guard !buffer.isEmpty else { return }
        do {
            try bytes.read(at: info.byteOffset + rows.lowerBound * matrix.rowBytes, into: buffer)
        } catch {
            throw error.reading("\(name), tensor \(Excerpt.quoted(tensor))")
        }
    }

    package func read(
        tensor: String, elements: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError) {
        guard let info = tensors[tensor], !buffer.isEmpty else { return }
        let width = info.dtype.bitsPerElement / 8
        precondition(
            elements.lowerBound >= 0 && elements.upperBound * width <= info.byteCount,
            "no such elements")
        precondition(buffer.count == elements.count * width, "buffer of another size")
        do {
            try bytes.read(at: info.byteOffset + elements.lowerBound * width, into: buffer)
        } catch {
            throw error.reading("\(name), tensor \(Excerpt.quoted(tensor))")
        }
    }
}
