// One line on standard error for work of several stages: only on a terminal.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// May be updated from any thread.
final class StageBar: Sendable {
    private struct State {
        var stage = ""
        var share = 0.0
        var started = ContinuousClock.now
        var lastDrawn: ContinuousClock.Instant?
    }

    private let isShown: Bool
    private let state = Mutex(State())

    init(isShown: Bool) { self.isShown = isShown && Console.isErrorTerminal }

    func update(_ stage: String, share: Double) {
        guard isShown else { return }
        state.withLock { state in
            let now = ContinuousClock.now
            if state.stage != stage {
                state.stage = stage
                state.started = now
                state.share = 0
            }
            // Threads report out of order.
            state.share = max(state.share, min(1, share))
            if let last = state.lastDrawn, now - last < .milliseconds(100) { return }
            state.lastDrawn = now
            let seconds = (now - state.started).seconds
            let width = (Console.width(of: STDERR_FILENO) ?? 80) - 1
            var text = stage
            if state.share > 0 {
                text += "  \(Int((seconds / state.share - seconds).rounded())) s left"
            }
            let room = min(30, width - text.count - 8)
            if room >= 5 {
                let filled = Int(state.share * Double(room))
                text += "  " + String(repeating: "█", count: filled)
                text += String(repeating: "░", count: room - filled)
            }
            text += " \(Int(state.share * 100))%"
            Console.writeError(raw: "\r\u{1B}[K" + text.prefix(width))
        }
    }

    func finish() {
        state.withLock { if $0.lastDrawn != nil { Console.writeError(raw: "\r\u{1B}[K") } }
    }
}
