// Writes projected vectors as safetensors, row by row: the header is known before the first row. A
// reader never sees half a file: it is written beside its place, synced, and renamed.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

package final class VectorFile {
    /// One tensor: f32, [rows, dims of its projector].
    package struct Tensor {
        package var name: String
        package var projector: ProjectorDocument

        package init(name: String, projector: ProjectorDocument) {
            self.name = name
            self.projector = projector
        }
    }

    private let path: String
    private let partialPath: String
    private let descriptor: FileDescriptor
    private var isFinished = false
    /// Of each tensor, in the order given.
    private let offsets: [Int64]
    private let tensors: [Tensor]

    /// Begins a file of `rows` rows; nothing is at `path` until `finish`.
    ///
    /// - Throws: `.io`.
    package init(path: String, rows: Int, _ tensors: [Tensor]) throws(GradDBError) {
        self.path = path
        partialPath = "\(path).\(getpid()).partial"
        self.tensors = tensors
        let header = Self.header(rows: rows, tensors)
        var offset = Int64(header.count)
        offsets = tensors.map { tensor in
            defer { offset += Int64(4 * rows * tensor.projector.dims) }
            return offset
        }
        do {
            descriptor = try FileDescriptor.open(
                FilePath(partialPath), .writeOnly,
                options: [.create, .truncate, .closeOnExec],
                permissions: FilePermissions(rawValue: 0o666))
        } catch {
            throw Self.failure(path, error)
        }
        do {
            try descriptor.writeAll(header)
        } catch {
            throw Self.failure(path, error)
        }
    }

    deinit {
        guard !isFinished else { return }
        try? descriptor.close()
        unlink(partialPath)
    }

    /// Writes rows of tensor number `tensor` from row `first` on.
    package func write(
        _ vectors: UnsafeBufferPointer<Float>, tensor: Int, row first: Int
    ) throws(GradDBError) {
        let offset = offsets[tensor] + Int64(4 * first * tensors[tensor].projector.dims)
        do {
            try descriptor.writeAll(
                toAbsoluteOffset: offset, UnsafeRawBufferPointer(vectors))
        } catch {
            throw Self.failure(path, error)
        }
    }

    /// Makes the file whole and puts it in its place.
    package func finish() throws(GradDBError) {
        guard fsync(descriptor.rawValue) == 0 else {
            throw Self.failure(path, Errno(rawValue: errno))
        }
        do {
            try descriptor.close()
        } catch {
            throw Self.failure(path, error)
        }
        guard rename(partialPath, path) == 0 else {
            throw Self.failure(path, Errno(rawValue: errno))
        }
        isFinished = true
    }

    private static func failure(_ path: String, _ error: any Error) -> GradDBError {
        GradDBError(.io, "cannot write \(path): \(SystemFailure(error).text)")
    }

    private static func header(rows: Int, _ tensors: [Tensor]) -> [UInt8] {
        let metadata = tensors.map {
            JSONValue.quoted(SafetensorsHeader.projectorPrefix + $0.name) + ":"
                + JSONValue.quoted($0.projector.text)
        }
        var members = [
            "\"\(SafetensorsHeader.metadataKey)\":{" + metadata.joined(separator: ",") + "}"
        ]
        var offset = 0
        for tensor in tensors {
            let end = offset + 4 * rows * tensor.projector.dims
            members.append(
                "\(JSONValue.quoted(tensor.name)):{\"dtype\":\"F32\",\"shape\":"
                    + "[\(rows),\(tensor.projector.dims)],\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var text = Array("{\(members.joined(separator: ","))}".utf8)
        while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
        return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
    }
}
