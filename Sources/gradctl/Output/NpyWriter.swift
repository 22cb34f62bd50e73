// The scores of ALL as an .npy array, and beside it a line of JSON for each row of the array.

import GradDB
import GradDBQuery

/// Writes float64, C order: [queries, rows], under PER LAYER [layers, queries, rows].
final class NpyWriter: MatrixSink {
    private let path: String
    private let array: OutputFile
    private let rows: OutputFile
    private var header: ResultHeader?
    private var shape: MatrixShape?
    private var headerBytes = 0

    init(_ path: String) throws {
        self.path = path
        array = try OutputFile(path)
        rows = try OutputFile(path + ".rows.jsonl")
    }

    func begin(_ header: ResultHeader, _ shape: MatrixShape) throws {
        if let varying = header.varyingColumns.min() {
            throw GradDBError(
                .usage,
                "'\(header.columns[varying].name)' is not the same for all scores of a row, so a "
                    + "matrix cannot have it; leave it out of SELECT")
        }
        self.header = header
        self.shape = shape
        let bytes = Self.header([shape.layers, shape.answers, shape.rows].compactMap { $0 })
        headerBytes = bytes.count
        try array.write(bytes)
    }

    /// Version 1.0: the array begins at a multiple of 64.
    private static func header(_ shape: [Int]) -> [UInt8] {
        let sizes = shape.map(String.init).joined(separator: ", ")
        var text = "{'descr': '<f8', 'fortran_order': False, 'shape': (\(sizes)), }"
        let prefix = 10
        while (prefix + text.utf8.count + 1) % 64 != 0 { text += " " }
        text += "\n"
        let count = text.utf8.count
        return [0x93] + Array("NUMPY".utf8) + [1, 0]
            + [UInt8(truncatingIfNeeded: count), UInt8(truncatingIfNeeded: count >> 8)]
            + Array(text.utf8)
    }

    func describe(_ row: ResultRow) throws {
        guard let header else { return }
        var object = JSONObject([("id", row.id.json)])
        var seen: Set<String> = ["id"]
        for (index, column) in header.columns.enumerated()
        where !header.scoreColumns.contains(index) && seen.insert(column.name).inserted {
            object.append(column.name, row.values[index].json)
        }
        try rows.write(object.text + "\n")
    }

    func append(_ scores: UnsafeBufferPointer<Double>, answer: Int, layer: Int) throws {
        guard let shape else { return }
        let line = layer * shape.answers + answer
        // The machines that this runs on are little-endian, as the array is.
        try array.write(
            UnsafeRawBufferPointer(scores), at: headerBytes + 8 * shape.rows * line)
    }

    /// Puts both files in their places.
    ///
    /// - Returns: what was written, as format-spec/cli-json.md has it.
    func finish(seconds: Double) throws -> JSONObject {
        try rows.finish()
        try array.finish()
        let (rows, answers) = (shape?.rows ?? 0, shape?.answers ?? 0)
        let scores = (shape?.layers ?? 1) * answers * rows
        var object = JSONObject([
            ("output", .string(path)), ("rows", .int(Int64(rows))),
            ("queries", .int(Int64(answers))),
        ])
        if let layers = shape?.layers { object.append("layers", .int(Int64(layers))) }
        object.append("bytes", .int(Int64(headerBytes + 8 * scores)))
        object.append("seconds", .float(seconds))
        return object
    }
}
