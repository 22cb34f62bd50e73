// The JSON header of a safetensors document:
//
//   {"__metadata__": {"any": "string"},
//    "grad": {"dtype": "F16", "shape": [1024, 65536], "data_offsets": [0, 134217728]}}
//
// How it is read:
//  1. It is UTF-8 and begins with a brace; white space may follow it.
//  2. It is cut into members, and every member is decoded by itself: a header of a hundred
//     megabytes costs its own bytes and the table of its tensors, not a tree of the document.
//  3. Each tensor has exactly a dtype, a shape and offsets, which agree with each other.
//  4. Laid out by their offsets, the tensors cover the data section once, without holes.

/// Parses one header. It knows nothing of files, only how many bytes of data follow the header.
struct SafetensorsHeader {
    /// More tensors, or more metadata, than any run has: it bounds the memory that a hostile
    /// header can make us use.
    static let memberLimit = 1_000_000
    private static let entryByteLimit = 65_536
    static let metadataKey = "__metadata__"
    /// Of the metadata's keys that say what made a tensor.
    static let projectorPrefix = "graddb.projector."

    private let json = JSONText()
    /// Where the data section begins in the document, and how long it is.
    private let dataStart: Int
    private let dataByteCount: Int?
    private(set) var tensors: [String: TensorInfo] = [:]
    /// What made them, by tensor, going by the metadata.
    private(set) var projectors: [String: ProjectorDocument] = [:]

    /// What `header` declares of a data section of `dataByteCount` bytes, which begins at offset
    /// `dataStart` of the document; nil where nobody knows how many follow.
    static func parse(
        _ header: [UInt8], dataStart: Int, dataByteCount: Int?
    ) throws(FormatProblem) -> SafetensorsHeader {
        var parser = SafetensorsHeader(dataStart: dataStart, dataByteCount: dataByteCount)
        try parser.read(header.span)
        try parser.checkLayout()
        return parser
    }

    private init(dataStart: Int, dataByteCount: Int?) {
        self.dataStart = dataStart
        self.dataByteCount = dataByteCount
    }

    private mutating func read(_ text: Span<UInt8>) throws(FormatProblem) {
        guard !text.isEmpty, text[0] == UInt8(ascii: "{") else {
            throw FormatProblem(
                "the header does not begin with \"{\"; this is no safetensors data, or it is "
                    + "damaged")
        }
        guard JSONText.isPlainUTF8(text) else {
            throw FormatProblem("the header is not valid UTF-8; the file is damaged")
        }
        var members: [JSONMember] = []
        let end = JSONMembers.scan(text, limit: Self.memberLimit, into: &members)
        guard let end, JSONMembers.skipSpace(text, end) == text.count else {
            throw FormatProblem(
                members.count < Self.memberLimit
                    ? "the header is not valid JSON; the file is damaged"
                    : "the header has more than \(Self.memberLimit) tensors; split the file")
        }
        tensors.reserveCapacity(members.count)
        var hasMetadata = false
        for member in members {
            let name = try string(text, member.key)
            if name == Self.metadataKey {
                guard !hasMetadata else { throw Self.repeated(name, in: "the header") }
                hasMetadata = true
                try readMetadata(text, member.value)
            } else {
                let info = try tensor(text, member.value, name: name)
                guard tensors.updateValue(info, forKey: name) == nil else {
                    throw Self.repeated(name, in: "the header")
                }
            }
        }
    }

    private func string(
        _ text: Span<UInt8>, _ range: Range<Int>
    ) throws(FormatProblem) -> String {
        guard let string = json.decode(String.self, text.extracting(range)) else {
            throw FormatProblem(
                "the header is not valid JSON: \(Excerpt.raw(text, range)) is no "
                    + "string; the file is damaged")
        }
        return string
    }

    private mutating func readMetadata(
        _ text: Span<UInt8>, _ range: Range<Int>
    ) throws(FormatProblem) {
        var members: [JSONMember] = []
        let end = JSONMembers.scan(
            text, from: range.lowerBound, limit: Self.memberLimit, into: &members)
        guard end == range.upperBound else {
            throw FormatProblem(
                "\(Self.metadataKey) in the header is no object of strings; write the file again")
        }
        var keys: Set<String> = []
        for member in members {
            let key = try string(text, member.key)
            guard keys.insert(key).inserted else {
                throw Self.repeated(key, in: Self.metadataKey)
            }
            guard let value = json.decode(String.self, text.extracting(member.value)) else {
                throw FormatProblem(
                    "\(Self.metadataKey) in the header: the value of \(Excerpt.quoted(key)) is no "
                        + "string; write the file again with strings only")
            }
            if key.hasPrefix(Self.projectorPrefix) {
                let tensor = String(key.dropFirst(Self.projectorPrefix.count))
                projectors[tensor] = try Self.projector(value, of: tensor)
            }
        }
    }

    private static func projector(
        _ text: String, of tensor: String
    ) throws(FormatProblem) -> ProjectorDocument {
        do {
            return try ProjectorDocument(parsing: text)
        } catch {
            throw FormatProblem(
                "the projector of tensor \(Excerpt.quoted(tensor)), in \(metadataKey), cannot be "
                    + "used: \(error)")
        }
    }

    private func tensor(
        _ text: Span<UInt8>, _ range: Range<Int>, name: String
    ) throws(FormatProblem) -> TensorInfo {
        let problem = { (what: String) in
            FormatProblem("tensor \(Excerpt.quoted(name)): \(what)")
        }
        guard range.count <= Self.entryByteLimit else {
            throw problem(
                "its header entry is longer than \(Self.entryByteLimit) bytes; the file is damaged")
        }
        guard let entry = json.decode(Entry.self, text.extracting(range)),
            Self.isExact(text, range), entry.offsets.count == 2
        else {
            throw problem(
                "its header entry must have exactly dtype, a shape of non-negative integers, and "
                    + "two data_offsets; found \(Excerpt.raw(text, range))")
        }
        guard let dtype = TensorDType(rawValue: entry.dtype) else {
            throw problem(
                "dtype \(Excerpt.quoted(entry.dtype)) is unknown; "
                    + "write the file with F32, F16 or BF16")
        }
        guard entry.shape.allSatisfy({ $0 >= 0 }) else {
            throw problem("shape \(Excerpt.shape(entry.shape)) has a negative size")
        }
        let (begin, end) = (entry.offsets[0], entry.offsets[1])
        guard 0 <= begin, begin <= end else {
            throw problem("data_offsets [\(begin), \(end)] are no range; the file is damaged")
        }
        let available = dataByteCount ?? .max - dataStart
        guard end <= available else {
            throw problem(
                "data_offsets [\(begin), \(end)] lie outside the \(available) bytes of data; "
                    + "the file is truncated or damaged, copy it again")
        }
        guard let byteCount = dtype.byteCount(shape: entry.shape) else {
            throw problem(
                "shape \(Excerpt.shape(entry.shape)) of \(dtype.rawValue) overflows, or is not a "
                    + "whole number of bytes")
        }
        guard byteCount == end - begin else {
            throw problem(
                "shape \(Excerpt.shape(entry.shape)) of \(dtype.rawValue) needs \(byteCount) "
                    + "bytes, but its data_offsets span \(end - begin); the file is damaged")
        }
        return TensorInfo(
            dtype: dtype, shape: entry.shape, byteOffset: dataStart + begin, byteCount: byteCount)
    }

    /// The tensors in the order of their bytes must follow each other from the first byte of data
    /// to the last; only that leaves neither overlaps nor holes.
    private func checkLayout() throws(FormatProblem) {
        var covered = dataStart
        let ordered = tensors.sorted {
            ($0.value.byteOffset, $0.value.byteCount) < ($1.value.byteOffset, $1.value.byteCount)
        }
        for (name, info) in ordered {
            guard info.byteOffset == covered else {
                let what = info.byteOffset < covered ? "overlaps another tensor" : "follows a hole"
                throw FormatProblem(
                    "tensor \(Excerpt.quoted(name)) \(what) at data byte "
                        + "\(info.byteOffset - dataStart); the file is damaged")
            }
            covered += info.byteCount
        }
        guard let dataByteCount else { return }
        let rest = dataStart + dataByteCount - covered
        guard rest == 0 else {
            throw FormatProblem(
                "\(rest) bytes at the end belong to no tensor; the file is damaged, or something "
                    + "was appended to it")
        }
    }

    /// Whether an entry that was decoded has three members, so none twice and none unknown, and
    /// its numbers are written as integers: JSONDecoder takes 5.0 and 5e0 for one.
    private static func isExact(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
        var members: [JSONMember] = []
        guard JSONMembers.scan(text, from: range.lowerBound, limit: 4, into: &members) != nil,
            members.count == 3
        else { return false }
        for member in members where text[member.value.lowerBound] == UInt8(ascii: "[") {
            let array = text.extracting(member.value)
            for index in array.indices {
                switch array[index] {
                case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): return false
                default: continue
                }
            }
        }
        return true
    }

    private static func repeated(_ name: String, in place: String) -> FormatProblem {
        FormatProblem(
            "\(Excerpt.quoted(name)) occurs twice in \(place); write the file again with "
                + "different names")
    }

    /// What the header says of one tensor; offsets count from the start of the data section.
    private struct Entry: Decodable {
        let dtype: String
        let shape: [Int]
        let offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype, shape
            case offsets = "data_offsets"
        }
    }
}
