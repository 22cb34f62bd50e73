// Memory for encoded queries: at multiples of 64 bytes, where vector loads never cross cache lines
// (bit planes at other addresses cost up to a third of a scan).

/// An immutable run of bytes that starts at a multiple of 64.
package final class AlignedBytes: @unchecked Sendable {  // constant after init
    private let storage: UnsafeMutableRawBufferPointer
    private let count: Int

    /// `fill` gets `count` zeroed bytes.
    package init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 64)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        storage = bytes
        self.count = count
        fill(UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]))
    }

    package convenience init(_ bytes: UnsafeRawBufferPointer) {
        self.init(count: bytes.count) { $0.copyMemory(from: bytes) }
    }

    /// The same `range` of each of several, one behind the other.
    convenience init(_ range: Range<Int>, of parts: [AlignedBytes]) {
        self.init(count: range.count * parts.count) { target in
            for (index, part) in parts.enumerated() {
                let first = index * range.count
                UnsafeMutableRawBufferPointer(rebasing: target[first..<first + range.count])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: part.storage[range]))
            }
        }
    }

    deinit { storage.deallocate() }

    /// A copy.
    package var contents: [UInt8] { [UInt8](storage[..<count]) }

    /// The bytes from `offset` on, as elements. They live as long as this object.
    func pointer<Element>(at offset: Int, as _: Element.Type) -> UnsafePointer<Element>? {
        storage.baseAddress.map {
            UnsafeRawPointer($0 + offset).assumingMemoryBound(to: Element.self)
        }
    }
}
