// A backend that keeps what it is told.

import CoreMetrics
import Synchronization

final class RecordingMetrics: MetricsFactory {
    private final class Handler: CounterHandler, TimerHandler {
        let record: @Sendable (Int64) -> Void

        init(_ record: @escaping @Sendable (Int64) -> Void) { self.record = record }

        func increment(by amount: Int64) { record(amount) }
        func reset() {}
        func recordNanoseconds(_ duration: Int64) { record(duration) }
    }

    private let values = Mutex<[String: [Int64]]>([:])

    /// What came under a label, dimensions behind it: `graddb_commits{operation=ingest}`.
    func values(_ name: String) -> [Int64] { values.withLock { $0[name] ?? [] } }

    func total(_ name: String) -> Int64 { values(name).reduce(0, +) }

    var names: Set<String> { values.withLock { Set($0.keys) } }

    private func handler(_ label: String, _ dimensions: [(String, String)]) -> Handler {
        let words = dimensions.map { "\($0)=\($1)" }.joined(separator: ",")
        let name = words.isEmpty ? label : "\(label){\(words)}"
        return Handler { [self] value in values.withLock { $0[name, default: []].append(value) } }
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> CounterHandler {
        handler(label, dimensions)
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> TimerHandler {
        handler(label, dimensions)
    }

    func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> RecorderHandler {
        preconditionFailure("the engine records no values")
    }

    func destroyCounter(_ handler: CounterHandler) {}
    func destroyTimer(_ handler: TimerHandler) {}
    func destroyRecorder(_ handler: RecorderHandler) {}
}
