// Answers that are shown as a whole: as JSON, as characters, as a picture.

import GradDB
import GradDBQuery

#if canImport(Glibc)
    import Glibc
#endif

final class MatrixPrinter: RowPrinter {
    private let format: OutputFormat
    private let output: any TextOutput
    /// Of a picture: begun before the statement runs, which may take long.
    private let file: OutputFile?
    private let useColor: Bool
    private let collector = MatrixCollector()

    init(_ format: OutputFormat, to output: any TextOutput, path: String?, useColor: Bool) throws {
        self.format = format
        self.output = output
        file = try [.svg, .png].contains(format) ? path.map { try OutputFile($0) } : nil
        self.useColor = useColor
    }

    func begin(_ header: ResultHeader) throws { try collector.begin(header) }

    func append(_ row: ResultRow) throws { try collector.append(row) }

    func end() throws {
        let matrix = collector.matrix
        switch format {
        case .matrix: try output.write(matrix.json.text + "\n")
        case .heatmap:
            let map = HeatMap(
                matrix, width: Console.width(of: STDOUT_FILENO) ?? 80,
                palette: HeatMap.palette(useColor: useColor))
            for line in map.lines { try output.write(line + "\n") }
        case .svg: try write(Array(SVGPicture.text(HeatMapDrawing(matrix)).utf8))
        case .png: try write(PNGPicture.bytes(HeatMapDrawing(matrix)))
        case .table, .csv, .json, .jsonl, .npy: break
        }
    }

    private func write(_ bytes: [UInt8]) throws {
        try file?.write(bytes)
        try file?.finish()
    }
}
