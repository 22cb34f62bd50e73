// A drawing as PNG (ISO/IEC 15948): one byte a pixel, a palette, one IDAT chunk.

import GradDB

enum PNGPicture {
    /// Pixels of a unit of the drawing.
    private static let scale = 2

    static func bytes(_ drawing: HeatMapDrawing) -> [UInt8] {
        var canvas = PixelCanvas(
            width: Int(drawing.width.rounded(.up)) * scale,
            height: Int(drawing.height.rounded(.up)) * scale)
        for rectangle in drawing.rectangles { fill(rectangle, &canvas) }
        for text in drawing.texts { write(text, &canvas) }
        return PNGFile.bytes(canvas)
    }

    private static func pixel(_ units: Double) -> Int { Int((units * Double(scale)).rounded()) }

    private static func fill(
        _ rectangle: HeatMapDrawing.Rectangle, _ canvas: inout PixelCanvas
    ) {
        let colour = canvas.index(of: rectangle.colour)
        for y in pixel(rectangle.y)..<pixel(rectangle.y + rectangle.height) {
            for x in pixel(rectangle.x)..<pixel(rectangle.x + rectangle.width) {
                canvas.set(x, y, colour)
            }
        }
    }

    private static func write(_ text: HeatMapDrawing.Text, _ canvas: inout PixelCanvas) {
        let advance = Int(HeatMapDrawing.characterWidth) * scale
        let length = TextTable.width(text.text) * advance
        var along =
            switch text.anchor {
            case .start: 0
            case .middle: -length / 2
            case .end: -length
            }
        let (x, y) = (pixel(text.x), pixel(text.y))
        for character in text.text {
            for (row, bits) in PixelFont.rows(of: character).enumerated() {
                for column in 0..<PixelFont.width
                where bits >> (PixelFont.width - 1 - column) & 1 == 1 {
                    let right = along + column * scale
                    let up = (PixelFont.height - row) * scale
                    for i in 0..<scale {
                        for j in 0..<scale {
                            if text.isUpright {
                                canvas.set(x - up + j, y - right - i, PixelCanvas.black)
                            } else {
                                canvas.set(x + right + i, y - up + j, PixelCanvas.black)
                            }
                        }
                    }
                }
            }
            along += TextTable.width(String(character)) * advance
        }
    }
}

/// Pixels as numbers of colours.
struct PixelCanvas {
    let width: Int
    let height: Int
    private(set) var pixels: [UInt8]
    private(set) var colours: [Colour]
    private var indices: [Int: UInt8] = [:]

    static let black: UInt8 = 1

    /// White.
    init(width: Int, height: Int) {
        self.width = width
        self.height = height
        pixels = [UInt8](repeating: 0, count: width * height)
        colours = [Colour(red: 255, green: 255, blue: 255), Colour(red: 0, green: 0, blue: 0)]
    }

    /// The number of a colour; of more than 256 the last ones share one.
    mutating func index(of colour: Colour) -> UInt8 {
        let key = Int(colour.red) << 16 | Int(colour.green) << 8 | Int(colour.blue)
        if let known = indices[key] { return known }
        if colours.count < 256 { colours.append(colour) }
        let index = UInt8(colours.count - 1)
        indices[key] = index
        return index
    }

    /// Pixels beside the canvas are left out.
    mutating func set(_ x: Int, _ y: Int, _ colour: UInt8) {
        guard x >= 0, x < width, y >= 0, y < height else { return }
        pixels[y * width + x] = colour
    }
}
