// The inputs that a user named, opened one after the other: files, directories, and "-" for the
// stream on standard input. Names and sizes are looked at in the beginning, so that a wrong path is
// an error before hours of work; a file is opened only when its turn comes.

import SystemPackage

/// An iterator over the vector sources of a list of paths. Not for use from several threads at
/// once; the sources themselves are.
package final class InputSet {
    /// Bytes of all inputs together; nil where a stream is among them.
    package let totalBytes: Int?

    private var pending: [InputPath]
    private let npyTensor: String?
    private let standardInput: SafetensorsStream
    private var isStreaming = false
    /// Sources that are open already.
    private var open: [any VectorSource] = []
    /// Projects raw tensors, where the inputs hold those.
    private let raw: RawInputs?

    /// - Parameters:
    ///   - paths: Files, directories (their .safetensors and .npy files in the order of their
    ///     names' bytes, no files of deeper directories, no hidden ones) and at most one `-`.
    ///   - npyTensor: What to call the one tensor of an .npy file; nil refuses such files, as a
    ///     table of several layers must.
    ///   - standardInput: What `-` reads.
    ///   - spoolDirectory: Where large messages of a stream are kept, see `SafetensorsStream`.
    ///   - raw: What projects the inputs, which then hold raw tensors; nil for vectors.
    ///
    /// Throws `badInput` for a path that does not exist and for a directory without inputs.
    package init(
        paths: [String], npyTensor: String?, standardInput: FileDescriptor = .standardInput,
        spoolDirectory: String, raw: RawInputs? = nil
    ) throws(GradDBError) {
        var inputs: [InputPath] = []
        for path in paths {
            inputs += try InputPath.inputs(path)
        }
        guard inputs.count(where: { $0.isStream }) <= 1 else {
            throw .usage("\"-\" is named twice, but standard input can be read once; name it once")
        }
        // The last is taken first, which keeps taking one cheap in a list of thousands.
        pending = inputs.reversed()
        totalBytes = InputPath.totalBytes(inputs)
        self.npyTensor = npyTensor
        self.raw = raw
        self.standardInput = SafetensorsStream(standardInput, spoolDirectory: spoolDirectory)
    }

    /// Sources that are open already, such as vectors in memory.
    package init(_ sources: [any VectorSource]) {
        open = sources.reversed()
        pending = []
        totalBytes = sources.reduce(0) { $0 + $1.byteCount }
        npyTensor = nil
        raw = nil
        standardInput = SafetensorsStream(.standardInput, spoolDirectory: "")
    }

    /// Opens and checks the next input; nil after the last one. Each message of a stream is one.
    package func next() throws(GradDBError) -> (any VectorSource)? {
        if let source = open.popLast() { return source }
        while true {
            if isStreaming {
                if let message = try standardInput.next() { return try vectors(of: message) }
                isStreaming = false
            }
            switch pending.popLast() {
            case .file(let path, _):
                return try vectors(of: try TensorFile(path, npyTensor: npyTensor))
            case .stream: isStreaming = true
            case nil: return nil
            }
        }
    }

    private func vectors(of file: TensorFile) throws(GradDBError) -> any VectorSource {
        guard let raw else { return file }
        return try raw.vectors(of: file)
    }
}
