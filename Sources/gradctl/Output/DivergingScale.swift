// Colours for scores: white at zero, orange below and blue above, so that signs can be told apart by
// everyone (the ends are those of ColorBrewer's PuOr and Blues). Where all scores have one sign, one
// half is used.

struct Colour: Equatable {
    var red: UInt8
    var green: UInt8
    var blue: UInt8

    var hex: String {
        "#"
            + [red, green, blue].map { value in
                let digits = String(value, radix: 16)
                return digits.count < 2 ? "0" + digits : digits
            }.joined()
    }

    /// Whether black letters can be read on it: by its luminance.
    var isLight: Bool {
        0.2126 * Double(red) + 0.7152 * Double(green) + 0.0722 * Double(blue) > 128
    }

    /// Of a cell without a score.
    static let missing = Colour(red: 0xC8, green: 0xC8, blue: 0xC8)
}

struct DivergingScale {
    /// Of the scores at the ends of the colour bar: of equal size where both signs are there.
    let least: Double
    let most: Double
    private let largest: Double

    private static let below = [
        Colour(red: 0xFF, green: 0xFF, blue: 0xFF), Colour(red: 0xFD, green: 0xC0, blue: 0x86),
        Colour(red: 0xE0, green: 0x82, blue: 0x14), Colour(red: 0x7F, green: 0x3B, blue: 0x08),
    ]
    private static let above = [
        Colour(red: 0xFF, green: 0xFF, blue: 0xFF), Colour(red: 0x9E, green: 0xCA, blue: 0xE1),
        Colour(red: 0x31, green: 0x82, blue: 0xBD), Colour(red: 0x08, green: 0x30, blue: 0x6B),
    ]

    init(_ matrix: ScoreMatrix) {
        let (least, most) = matrix.range
        largest = max(least.magnitude, most.magnitude)
        self.least = least < 0 ? -largest : 0
        self.most = most > 0 ? largest : 0
    }

    /// From -1 to 1.
    func position(_ score: Double) -> Double {
        // Divided, not multiplied by an inverse, which may be infinite.
        largest > 0 ? max(-1, min(1, score / largest)) : 0
    }

    func colour(_ score: Double?) -> Colour {
        guard let score else { return .missing }
        return Self.colour(at: position(score))
    }

    /// - Parameter position: from -1 to 1.
    static func colour(at position: Double) -> Colour {
        let colours = position < 0 ? below : above
        // A hundred shades each, which fit a palette.
        let place = (position.magnitude * 100).rounded() / 100 * Double(colours.count - 1)
        let index = min(colours.count - 2, Int(place))
        let share = place - Double(index)
        func mix(_ channel: KeyPath<Colour, UInt8>) -> UInt8 {
            let (a, b) = (colours[index][keyPath: channel], colours[index + 1][keyPath: channel])
            return UInt8((Double(a) + share * (Double(b) - Double(a))).rounded())
        }
        return Colour(red: mix(\.red), green: mix(\.green), blue: mix(\.blue))
    }
}
