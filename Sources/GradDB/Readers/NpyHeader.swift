// The header of an .npy document: a Python dictionary literal of exactly three keys, in any order,
// padded with spaces:
//
//   {'descr': '<f4', 'fortran_order': False, 'shape': (1024, 65536), }
//
// Format: numpy.lib.format. Only this much of Python is understood: strings without escapes, True
// and False, and tuples of plain integers. Whatever else stands there is refused by name.

/// Parses one header; it knows nothing of files.
struct NpyHeader: Equatable {
    let dtype: TensorDType
    let isFortranOrder: Bool
    let shape: [Int]

    /// More dimensions than numpy has.
    private static let rankLimit = 64

    init(parsing text: [UInt8]) throws(FormatProblem) {
        var parser = NpyLiteral(text)
        var descr: String?
        var isFortranOrder: Bool?
        var shape: [Int]?
        try parser.expect("{")
        while !parser.take("}") {
            let key = try parser.string()
            try parser.expect(":")
            switch key {
            case "descr" where descr == nil:
                guard !parser.at("[") else { throw Self.structured }
                descr = try parser.string()
            case "fortran_order" where isFortranOrder == nil:
                isFortranOrder = try parser.bool()
            case "shape" where shape == nil:
                shape = try parser.tuple(limit: Self.rankLimit)
            case "descr", "fortran_order", "shape":
                throw FormatProblem("the header has the key '\(key)' twice; the file is damaged")
            default:
                throw FormatProblem(
                    "the header has an unknown key \(Excerpt.quoted(key)); it is damaged, or of a "
                        + "newer format")
            }
            if !parser.take(",") {
                try parser.expect("}")
                break
            }
        }
        try parser.expectEnd()
        guard let descr, let isFortranOrder, let shape else {
            throw FormatProblem(
                "the header lacks one of 'descr', 'fortran_order' and 'shape'; the file is "
                    + "damaged")
        }
        self.dtype = try Self.dtype(descr)
        self.isFortranOrder = isFortranOrder
        self.shape = shape
        // With one row or one column both orders are the same bytes.
        guard !isFortranOrder || shape.count(where: { $0 != 1 }) <= 1 || shape.contains(0) else {
            throw FormatProblem(
                "the array is stored in Fortran order, column after column; save it again with "
                    + "numpy.save(path, numpy.ascontiguousarray(x))")
        }
    }

    private static let structured = FormatProblem(
        "the array has a structured dtype, and gradients are read from '<f4' or '<f2'; save one "
            + "of its fields as numpy.ascontiguousarray(x['field'], dtype=numpy.float32)")

    /// numpy's type string: byte order, kind, bytes. `=` is the machine's own order, which is
    /// little-endian wherever this program runs, and `|` says that order does not matter.
    private static func dtype(_ descr: String) throws(FormatProblem) -> TensorDType {
        let remedy = "save it again as numpy.ascontiguousarray(x, dtype=numpy.float32)"
        switch descr {
        case "<f4", "=f4", "|f4", "f4": return .f32
        case "<f2", "=f2", "|f2", "f2": return .f16
        case ">f4", ">f2":
            throw FormatProblem("dtype '\(descr)' is big-endian; \(remedy)")
        case "|O", "O", "<O", ">O":
            throw FormatProblem("the array holds Python objects (dtype '\(descr)'); \(remedy)")
        case "|V2", "<V2", "V2":
            throw FormatProblem(
                "dtype '\(descr)' has no meaning in .npy, it may have been bfloat16; save that as "
                    + "safetensors, or " + remedy)
        default:
            throw FormatProblem(
                "dtype \(Excerpt.quoted(descr)) is not read, only '<f4' and '<f2' are; \(remedy)")
        }
    }
}
