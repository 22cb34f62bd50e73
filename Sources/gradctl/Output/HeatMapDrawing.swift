// A heat map as rectangles and texts: what an SVG file and a PNG file show alike. All lengths are in
// units of which a character is 6 wide, and a line of text 10 high.

struct HeatMapDrawing {
    struct Rectangle {
        var x: Double
        var y: Double
        var width: Double
        var height: Double
        var colour: Colour
        /// What a viewer may show of it.
        var tooltip: String?
    }

    struct Text {
        enum Anchor { case start, middle, end }

        /// Where it is anchored on its base line.
        var x: Double
        var y: Double
        var text: String
        var anchor = Anchor.start
        /// Whether it runs upwards.
        var isUpright = false
    }

    private(set) var rectangles: [Rectangle] = []
    private(set) var texts: [Text] = []
    private(set) var width = 0.0
    private(set) var height = 0.0

    static let characterWidth = 6.0
    static let lineHeight = 10.0
    private static let margin = 10.0
    /// What the cells of one map may take.
    private static let mapWidth = 640.0
    private static let mapHeight = 420.0
    private static let largestCell = 22.0
    private static let longestQuery = 32
    private static let longestColumn = 24
    /// More cells than these would make a file of tooltips.
    private static let mostTooltips = 5_000

    private let matrix: ScoreMatrix
    private let binned: BinnedMatrix
    private let scale: DivergingScale

    init(_ matrix: ScoreMatrix) {
        self.matrix = matrix
        binned = BinnedMatrix(
            matrix, lines: Int(Self.mapHeight), columns: Int(Self.mapWidth))
        scale = DivergingScale(matrix)
        draw()
    }

    private mutating func draw() {
        let queries = binned.queries.map { Label.shortened($0, to: Self.longestQuery) }
        let columns = binned.columns.map { Label.shortened($0, to: Self.longestColumn) }
        func length(_ names: [String]) -> Double {
            Double(names.map(TextTable.width).max() ?? 0) * Self.characterWidth
        }
        let cellWidth = min(Self.largestCell, Self.mapWidth / Double(max(1, columns.count)))
        let cellHeight = min(Self.largestCell, Self.mapHeight / Double(max(1, queries.count)))
        let left = Self.margin + length(queries) + 6
        let labels = length(columns) + 4
        width = left + cellWidth * Double(columns.count)
        var y = Self.margin
        for (number, layer) in binned.scores.enumerated() {
            if let layers = matrix.layers {
                texts.append(
                    Text(x: Self.margin, y: y + 8, text: Label.shortened(layers[number], to: 80)))
                y += Self.lineHeight + 4
            }
            y += labels
            drawColumnNames(columns, x: left, y: y - 4, cellWidth)
            drawQueryNames(queries, x: left - 6, y: y, cellHeight)
            drawCells(layer, x: left, y: y, cellWidth, cellHeight, layer: number)
            y += cellHeight * Double(queries.count) + 14
        }
        drawLegend(x: left, y: y)
        height = y + 40
        if let note = binned.note {
            texts.append(Text(x: left, y: height, text: note))
            height += 14
        }
        let right = texts.filter { !$0.isUpright && $0.anchor == .start }.map {
            $0.x + Double(TextTable.width($0.text)) * Self.characterWidth
        }
        width = max(width, left + 240, right.max() ?? 0) + Self.margin
    }

    /// As many names as there is room for, evenly spread.
    private static func named(_ count: Int, _ size: Double) -> StrideTo<Int> {
        stride(from: 0, to: count, by: max(1, Int((Self.lineHeight / size).rounded(.up))))
    }

    private mutating func drawColumnNames(
        _ names: [String], x: Double, y: Double, _ size: Double
    ) {
        for index in Self.named(names.count, size) {
            texts.append(
                Text(
                    x: x + (Double(index) + 0.5) * size + 3, y: y, text: names[index],
                    isUpright: true))
        }
    }

    private mutating func drawQueryNames(
        _ names: [String], x: Double, y: Double, _ size: Double
    ) {
        for index in Self.named(names.count, size) {
            texts.append(
                Text(
                    x: x, y: y + (Double(index) + 0.5) * size + 3, text: names[index], anchor: .end)
            )
        }
    }

    private mutating func drawCells(
        _ cells: [[Double?]], x: Double, y: Double, _ width: Double, _ height: Double, layer: Int
    ) {
        let hasTooltips = binned.note == nil && matrix.cellCount <= Self.mostTooltips
        for (i, line) in cells.enumerated() {
            for (j, score) in line.enumerated() {
                var tooltip: String?
                if hasTooltips, let score {
                    tooltip = "\(matrix.queries[i]) · \(binned.columns[j]): \(score)"
                    if let layers = matrix.layers {
                        tooltip = "\(layers[layer]): " + (tooltip ?? "")
                    }
                }
                rectangles.append(
                    Rectangle(
                        x: x + Double(j) * width, y: y + Double(i) * height, width: width,
                        height: height, colour: scale.colour(score), tooltip: tooltip))
            }
        }
    }

    /// A bar of all colours, with the scores at its ends and at zero.
    private mutating func drawLegend(x: Double, y: Double) {
        let steps = 100
        let barWidth = 200.0
        let first = scale.least < 0 ? -1.0 : 0
        let last = scale.most > 0 ? 1.0 : 0
        for step in 0..<steps {
            let position = first + (last - first) * (Double(step) + 0.5) / Double(steps)
            rectangles.append(
                Rectangle(
                    x: x + barWidth * Double(step) / Double(steps), y: y,
                    width: barWidth / Double(steps), height: 10,
                    colour: DivergingScale.colour(at: position)))
        }
        var marks = [(0.0, scale.least), (1.0, scale.most)]
        if first < 0, last > 0 { marks.append((0.5, 0.0)) }
        for (place, score) in marks {
            texts.append(
                Text(
                    x: x + barWidth * place, y: y + 21, text: Label.number(score),
                    anchor: place == 0 ? .start : place == 1 ? .end : .middle))
        }
        if binned.lacksScores {
            rectangles.append(
                Rectangle(x: x + barWidth + 16, y: y, width: 10, height: 10, colour: .missing))
            texts.append(Text(x: x + barWidth + 30, y: y + 8, text: "no score"))
        }
    }
}
