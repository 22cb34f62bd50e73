// One line on standard error that shows how far long work is: only on a terminal.

import GradDB

#if canImport(Glibc)
    import Glibc
#endif

final class ProgressBar {
    private let isShown: Bool
    /// Bytes of the whole work; nil when nobody knows.
    var total: UInt64?
    private let started = ContinuousClock.now
    private var lastDrawn: ContinuousClock.Instant?

    init(total: UInt64?, isShown: Bool) {
        self.total = total
        self.isShown = isShown && Console.isErrorTerminal
    }

    func update(rows: Int, bytes: UInt64) {
        guard isShown else { return }
        let now = ContinuousClock.now
        if let lastDrawn, now - lastDrawn < .milliseconds(100) { return }
        lastDrawn = now
        let seconds = max((now - started).seconds, 1e-9)
        let rate = "\(Units.bytes(UInt64(Double(bytes) / seconds)))/s"
        var text = "\(rows.grouped) rows  \(Units.bytes(bytes))"
        if let total, total > 0 {
            let share = min(1, Double(bytes) / Double(total))
            let left = Int((seconds / max(share, 1e-9) - seconds).rounded())
            text += " of \(Units.bytes(total))  \(rate)  \(left) s left  "
            let room = (Console.width(of: STDERR_FILENO) ?? 80) - text.count - 8
            if room >= 5 {
                let filled = Int(share * Double(min(room, 30)))
                let empty = min(room, 30) - filled
                text += String(repeating: "█", count: filled) + String(repeating: "░", count: empty)
            }
            text += " \(Int(share * 100))%"
        } else {
            text += "  \(rate)"
        }
        let width = (Console.width(of: STDERR_FILENO) ?? 80) - 1
        Console.writeError(raw: "\r\u{1B}[K" + text.prefix(width))
    }

    func finish() {
        if lastDrawn != nil { Console.writeError(raw: "\r\u{1B}[K") }
    }
}

/// Numbers for people.
enum Units {
    static func bytes(_ count: UInt64) -> String {
        let units = ["B", "kB", "MB", "GB", "TB", "PB"]
        var value = Double(count)
        var unit = 0
        while value >= 1000, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        return unit == 0 ? "\(count) B" : "\((value * 10).rounded() / 10) \(units[unit])"
    }

    /// A number of bytes, such as 200M: with k, M or G, powers of 1000; nil for anything else and for 0.
    static func parse(_ text: String) -> UInt64? {
        let units: [Character: UInt64] = ["k": 1000, "K": 1000, "M": 1_000_000, "G": 1_000_000_000]
        let unit = text.last.flatMap { units[$0] }
        let digits = unit == nil ? text[...] : text.dropLast()
        guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }),
            let number = UInt64(digits), number > 0,
            case (let bytes, false) = number.multipliedReportingOverflow(by: unit ?? 1)
        else { return nil }
        return bytes
    }

    /// The bytes that an option is given.
    ///
    /// - Throws: `.usage` for what are none.
    static func byteCount(_ text: String, of option: String) throws -> Int {
        guard let bytes = parse(text).flatMap({ Int(exactly: $0) }) else {
            throw GradDBError(.usage, "\(option) takes bytes, such as 4G, not '\(text)'")
        }
        return bytes
    }

    static func seconds(_ value: Double) -> String {
        value < 10 ? "\((value * 100).rounded() / 100) s" : "\(Int(value.rounded())) s"
    }
}
