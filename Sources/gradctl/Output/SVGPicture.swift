// A drawing as SVG 1.1.

enum SVGPicture {
    static func text(_ drawing: HeatMapDrawing) -> String {
        let (width, height) = (number(drawing.width), number(drawing.height))
        var lines = [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(number(1.5 * drawing.width))\" "
                + "height=\"\(number(1.5 * drawing.height))\" viewBox=\"0 0 \(width) \(height)\" "
                + "font-family=\"monospace\" font-size=\"10\">",
            "<rect width=\"\(width)\" height=\"\(height)\" fill=\"#ffffff\"/>",
            "<g shape-rendering=\"crispEdges\">",
        ]
        lines += drawing.rectangles.map(rectangle)
        lines.append("</g>")
        lines += drawing.texts.map(text)
        lines.append("</svg>\n")
        return lines.joined(separator: "\n")
    }

    private static func rectangle(_ rectangle: HeatMapDrawing.Rectangle) -> String {
        let element =
            "<rect x=\"\(number(rectangle.x))\" y=\"\(number(rectangle.y))\" "
            + "width=\"\(number(rectangle.width))\" height=\"\(number(rectangle.height))\" "
            + "fill=\"\(rectangle.colour.hex)\""
        guard let tooltip = rectangle.tooltip else { return element + "/>" }
        return element + "><title>\(escaped(tooltip))</title></rect>"
    }

    private static func text(_ text: HeatMapDrawing.Text) -> String {
        let anchor =
            switch text.anchor {
            case .start: ""
            case .middle: " text-anchor=\"middle\""
            case .end: " text-anchor=\"end\""
            }
        let (x, y) = (number(text.x), number(text.y))
        let turned = text.isUpright ? " transform=\"rotate(-90 \(x) \(y))\"" : ""
        return "<text x=\"\(x)\" y=\"\(y)\"\(anchor)\(turned)>\(escaped(text.text))</text>"
    }

    private static func number(_ value: Double) -> String {
        let rounded = (value * 100).rounded() / 100
        return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
    }

    /// As text of XML, which has no place for most control characters, however they are written.
    static func escaped(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;".unicodeScalars
            case "<": result += "&lt;".unicodeScalars
            case ">": result += "&gt;".unicodeScalars
            case "\"": result += "&quot;".unicodeScalars
            case _ where scalar.value < 0x20: result.append(" ")
            case "\u{7F}"..."\u{9F}", "\u{FFFE}", "\u{FFFF}": result.append("\u{FFFD}")
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}
