// Opening .npy:
//
//    0  6 bytes        93 'N' 'U' 'M' 'P' 'Y'
//    6  2 bytes        version: 1.0, 2.0 or 3.0
//    8  2 or 4 bytes   N, the length of the header, unsigned, little-endian (2 in version 1.0)
//   10 or 12  N bytes  the header, see NpyHeader
//   the rest           the array's bytes, to the end of the file
//
// Format: numpy.lib.format. Version 2.0 only has the longer N, 3.0 only UTF-8 where 1.0 and 2.0
// have Latin-1, and what we understand of the header is ASCII in all three.

import SystemPackage

extension TensorFile {
    static let npyMagic: [UInt8] = [0x93] + "NUMPY".utf8
    /// Far longer than any header of a plain array, which is about 100 bytes.
    private static let npyHeaderLimit = 65_536

    /// Opens an .npy file as an input of one tensor, called `tensor`: the format has no names.
    /// Throws `badInput` where the file is missing, unreadable or malformed.
    package init(npy path: String, tensor: String) throws(GradDBError) {
        try self.init(npy: FileBytes.open(FilePath(path)), name: path, tensor: tensor)
    }

    /// An .npy document in memory, which errors call `name`.
    package init(npy document: [UInt8], name: String, tensor: String) throws(GradDBError) {
        try self.init(npy: MemoryBytes(document), name: name, tensor: tensor)
    }

    init(npy bytes: any ByteSource, name: String, tensor: String) throws(GradDBError) {
        let text = try Self.npyHeader(of: bytes, name: name)
        do {
            let header = try NpyHeader(parsing: text.bytes)
            let info = try Self.npyTensor(
                header, dataStart: text.end, dataByteCount: bytes.byteCount - text.end)
            self.init(name: name, tensors: [tensor: info], bytes: bytes)
        } catch {
            throw error.inInput(name)
        }
    }

    /// The text of the header, and the offset behind it.
    private static func npyHeader(
        of bytes: any ByteSource, name: String
    ) throws(GradDBError) -> (bytes: [UInt8], end: Int) {
        let truncated = GradDBError.badInput(
            "\(name): the file ends after \(bytes.byteCount) bytes, inside its header; "
                + "copy it again")
        guard bytes.byteCount >= 10 else { throw truncated }
        let prefix = try bytes.header(0..<min(12, bytes.byteCount), of: name)
        guard prefix.starts(with: npyMagic) else {
            throw .badInput("\(name): does not begin with \\x93NUMPY; this is no .npy file")
        }
        let start: Int
        switch (prefix[6], prefix[7]) {
        case (1, 0): start = 10
        case (2, 0), (3, 0): start = 12
        case (let major, let minor):
            throw .badInput(
                "\(name): version \(major).\(minor) of .npy is unknown, 1.0, 2.0 and 3.0 are "
                    + "read; save it again with numpy.save")
        }
        guard bytes.byteCount >= start else { throw truncated }
        let length = Int(UInt64(littleEndianBytes: prefix[8..<start]))
        guard length <= npyHeaderLimit else {
            throw .badInput(
                "\(name): a header of \(length) bytes is announced, and a plain array needs about "
                    + "100; the file is damaged, or its dtype is structured")
        }
        guard length <= bytes.byteCount - start else { throw truncated }
        return (try bytes.header(start..<start + length, of: name), start + length)
    }

    private static func npyTensor(
        _ header: NpyHeader, dataStart: Int, dataByteCount: Int
    ) throws(FormatProblem) -> TensorInfo {
        let shape = Excerpt.shape(header.shape)
        guard let byteCount = header.dtype.byteCount(shape: header.shape) else {
            throw FormatProblem("shape \(shape) is larger than any file; the file is damaged")
        }
        guard byteCount == dataByteCount else {
            throw FormatProblem(
                "shape \(shape) needs \(byteCount) bytes of data, but \(dataByteCount) follow the "
                    + "header; the file is "
                    + (dataByteCount < byteCount
                        ? "truncated, copy it again" : "damaged, or something was appended to it"))
        }
        return TensorInfo(
            dtype: header.dtype, shape: header.shape, byteOffset: dataStart, byteCount: byteCount)
    }
}
