// One safetensors document from a pipe: its tensors come once, in the order of their bytes, and
// none of them is kept. For gradients that are larger than memory and are never written to a disk.

import SystemPackage

/// Not for use from several threads at once.
package final class TensorStream: RawTensorSource, @unchecked Sendable {
    // Constant after init but for the position, which only the one reader changes.
    package let name: String
    package let tensors: [String: TensorInfo]
    package let byteCount: Int
    /// In the order in which they come.
    package let order: [String]
    private let descriptor: FileDescriptor
    private var position: Int

    /// Reads the header.
    ///
    /// - Parameter descriptor: somebody else's, who closes it.
    /// - Throws: `.badInput` where it is no safetensors, `.io`.
    package init(_ descriptor: FileDescriptor, name: String) throws(GradDBError) {
        self.descriptor = descriptor
        self.name = name
        let prefix = try Self.read(8, from: descriptor, at: 0, name)
        let length = UInt64(littleEndianBytes: prefix)
        guard length <= TensorFile.safetensorsHeaderLimit else {
            throw .badInput(
                "\(name): a header of \(length) bytes is announced, and the format allows "
                    + "\(TensorFile.safetensorsHeaderLimit); this is no safetensors file")
        }
        let header = try Self.read(Int(length), from: descriptor, at: 8, name)
        position = 8 + header.count
        do {
            let parsed = try SafetensorsHeader.parse(
                header, dataStart: position, dataByteCount: nil)
            tensors = parsed.tensors
        } catch {
            throw error.inInput(name)
        }
        order = tensors.sorted {
            ($0.value.byteOffset, $0.value.byteCount) < ($1.value.byteOffset, $1.value.byteCount)
        }.map(\.key)
        byteCount = tensors.values.reduce(position) { $0 + $1.byteCount }
    }

    /// The next bytes, all of `buffer`.
    package func next(into buffer: UnsafeMutableRawBufferPointer) throws(GradDBError) {
        do {
            let count = try descriptor.readFully(into: buffer)
            guard count == buffer.count else {
                throw GradDBError.badInput(
                    "\(name): it ends after \(position + count) of \(byteCount) bytes; the sender "
                        + "stopped early, send it again")
            }
            position += count
        } catch let error as SystemFailure {
            throw GradDBError(.io, "\(name): cannot read at byte \(position): \(error.text)")
        } catch let error as GradDBError {
            throw error
        } catch {
            throw GradDBError(.io, "\(name): cannot read at byte \(position): \(error)")
        }
    }

    package func read(
        tensor: String, elements: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError) {
        throw GradDBError(.failed, "\(name) can only be read in its order")
    }

    private static func read(
        _ count: Int, from descriptor: FileDescriptor, at position: Int, _ name: String
    ) throws(GradDBError) -> [UInt8] {
        let bytes: [UInt8]
        do {
            bytes = try descriptor.readFully(count)
        } catch {
            throw GradDBError(.io, "\(name): cannot read at byte \(position): \(error.text)")
        }
        guard bytes.count == count else {
            throw .badInput(
                "\(name): it ends after \(position + bytes.count) bytes, inside its header; the "
                    + "sender stopped early, send it again")
        }
        return bytes
    }
}
