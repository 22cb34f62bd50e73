// Measures the devices that --device names, and keeps their rates for the planner.

import GradDB
import GradDBQuery

struct DeviceBenchRun {
    let choice: DeviceChoice
    /// Bytes of each device.
    let memory: Int?
    let options: DeviceBenchOptions

    /// - Throws: `.failed` where a device is not there, or fails.
    func measure() throws -> [DeviceMeasurement] {
        do {
            return try MeasuredDevice.start(choice, memory: memory).map { device in
                try DeviceBench.measure(device, options, statement: statement)
            }
        } catch let error as DeviceError {
            throw GradDBError(.failed, error.message)
        }
    }

    /// Asks for the best rows of the table's query, as anyone would, again and again.
    private func statement(
        _ table: BenchTable, _ device: DeviceUse, _ seconds: Double
    ) throws -> [Double] {
        var options = QueryOptions()
        options.threads = self.options.threads
        options.cancellation = self.options.cancellation
        options.vectors = ["query": table.query]
        options.device = device
        let engine = QueryEngine(try table.database(), options: options)
        let top = max(1, min(DeviceBench.mostTop, table.rows / 2))
        let text = "FROM \(BenchTable.name) SCORE dot TO $query TOP \(top) EXACT"
        func run() throws -> Double {
            let began = ContinuousClock.now
            guard case .rows(let result) = try engine.run(text), result.rows.count == top else {
                throw GradDBError(.failed, "'\(text)' did not give as many rows as it asks for")
            }
            return (ContinuousClock.now - began).seconds
        }
        _ = try run()
        let end = ContinuousClock.now + .seconds(seconds)
        var times: [Double] = []
        repeat { times.append(try run()) } while times.count < 3 || ContinuousClock.now < end
        return times
    }
}
