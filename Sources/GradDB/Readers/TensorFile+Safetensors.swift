// Opening safetensors:
//
//        0  8 bytes    N, the length of the header, unsigned, little-endian
//        8  N bytes    the header: a JSON object in UTF-8, padded with spaces
//    8 + N  the rest   the tensors' bytes, one after the other without holes
//
// Format: https://github.com/huggingface/safetensors#format. All that it demands is checked here
// and in SafetensorsHeader before any byte of a tensor is read.

import SystemPackage

extension TensorFile {
    /// The longest header that the format allows.
    static let safetensorsHeaderLimit: UInt64 = 100_000_000
    /// The shortest document: a length and an empty object.
    static let safetensorsLeastBytes = 10

    /// Opens a safetensors file. Throws `badInput` where it is missing, unreadable or malformed.
    package init(safetensors path: String) throws(GradDBError) {
        try self.init(safetensors: FileBytes.open(FilePath(path)), name: path)
    }

    /// A safetensors document in memory, which errors call `name`.
    package init(safetensors document: [UInt8], name: String) throws(GradDBError) {
        try self.init(safetensors: MemoryBytes(document), name: name)
    }

    init(safetensors bytes: any ByteSource, name: String) throws(GradDBError) {
        let header = try Self.safetensorsHeader(of: bytes, name: name)
        let dataStart = 8 + header.count
        do {
            let parsed = try SafetensorsHeader.parse(
                header, dataStart: dataStart, dataByteCount: bytes.byteCount - dataStart)
            self.init(
                name: name, tensors: parsed.tensors, projectors: parsed.projectors, bytes: bytes)
        } catch {
            throw error.inInput(name)
        }
    }

    private static func safetensorsHeader(
        of bytes: any ByteSource, name: String
    ) throws(GradDBError) -> [UInt8] {
        guard bytes.byteCount >= safetensorsLeastBytes else {
            throw .badInput(
                "\(name): only \(bytes.byteCount) bytes, too few for safetensors; the file is "
                    + "empty or truncated, copy it again")
        }
        let length = UInt64(littleEndianBytes: try bytes.header(0..<8, of: name))
        guard length <= safetensorsHeaderLimit else {
            throw .badInput(
                "\(name): a header of \(length) bytes is announced, and the format allows "
                    + "\(safetensorsHeaderLimit); this is no safetensors file, or it is damaged")
        }
        let available = bytes.byteCount - 8
        guard length <= UInt64(available) else {
            throw .badInput(
                "\(name): a header of \(length) bytes is announced, but only \(available) bytes "
                    + "follow; the file is truncated, copy it again")
        }
        return try bytes.header(8..<8 + Int(length), of: name)
    }
}

extension UInt64 {
    /// The first eight bytes, least significant first; missing ones count as zero.
    init(littleEndianBytes bytes: some Sequence<UInt8>) {
        self = 0
        for (index, byte) in bytes.prefix(8).enumerated() {
            self |= UInt64(byte) << (8 * UInt64(index))
        }
    }
}
