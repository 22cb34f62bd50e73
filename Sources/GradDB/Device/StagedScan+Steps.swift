// What a scan on a device does in order: bring buffers to the device, score what is there, complete
// outputs, and hand over what they hold.

import CGradKernels

extension StagedScan {
    /// Does the next step.
    func advance() throws {
        switch steps.removeFirst() {
        case .score(let run, let shipment): try score([run], shipment)
        case .land(let filling, let batch, let shipment): try land(filling, batch, shipment)
        case .complete(let shipment): try complete(shipment)
        }
    }

    /// Brings a buffer to the device, once it has been filled, and scores what it held.
    private func land(
        _ filling: Filling, _ batch: StagingReaders.Batch, _ shipment: Shipment
    ) throws {
        try batch.wait()
        let queue = workspace.copying
        let began = try queue.record()
        let pinned = UnsafeRawBufferPointer(filling.slot.pinned)
        if filling.loads.allSatisfy({ $0.stays == nil }) {
            try queue.copy(
                UnsafeRawBufferPointer(rebasing: pinned[..<filling.used]), to: filling.slot.landing)
        } else {
            for load in filling.loads {
                try queue.copy(
                    UnsafeRawBufferPointer(
                        rebasing: pinned[load.offset..<load.offset + load.bytes]),
                    to: load.stays ?? filling.slot.landing + load.offset)
            }
        }
        let landed = try queue.record()
        timed.copies.append((began, landed))
        try workspace.compute.wait(for: landed)
        try score(filling.runs, shipment)
        filling.slot.isFree = try workspace.compute.record()
    }

    /// Items that one launch is told of.
    private static let mostItems = 1 << 14

    func score(_ runs: [Run], _ shipment: Shipment) throws {
        let began = try workspace.compute.record()
        for run in runs {
            var first = 0
            while first < run.items.count {
                let last = min(run.items.count, first + Self.mostItems)
                try score(
                    run.column, Array(run.items[first..<last]), shipment.output,
                    isBounded: !shipment.bounded.isEmpty)
                first = last
            }
        }
        timed.launches.append((began, try workspace.compute.record()))
    }

    private func score(
        _ index: Int, _ items: [gd_item], _ output: DeviceOutput, isBounded: Bool
    ) throws {
        let column = columns[index]
        let rowsPerTile = isBounded ? DeviceColumn.rowsPerEstimateTile : column.rowsPerTile
        var tiles: [gd_tile] = []
        for (number, item) in items.enumerated() {
            for row in stride(from: 0, to: item.rows, by: rowsPerTile) {
                tiles.append(gd_tile(item: UInt32(number), row: row))
            }
        }
        let uploaded = try workspace.upload(items, tiles)
        let began = workspace.timesScores ? try workspace.compute.record() : nil
        let place = DeviceColumn.Place(
            items: uploaded.items, tiles: uploaded.tiles, tileCount: tiles.count,
            counting: output.counting, dots: output.dots, stride: output.capacity,
            isFirst: index == 0)
        if isBounded, let highs = output.highs {
            try column.estimate(place, highs: highs, on: workspace.compute)
        } else {
            try column.score(place, on: workspace.compute)
        }
        if let began { timed.scores.append((began, try workspace.compute.record())) }
        guard scan.request.squaredNorms == nil else { return }
        var arguments = gd_norms_args()
        arguments.items = uploaded.items.value
        arguments.norms = output.norms.value
        arguments.is_first = index == 0 ? 1 : 0
        arguments.item_count = UInt32(items.count)
        try workspace.compute.launch("gd_norms", x: items.count, &arguments)
    }

    private func complete(_ shipment: Shipment) throws {
        guard shipment.rows > 0 else { return }
        if let squaredNorms = scan.request.squaredNorms {
            for place in shipment.places {
                let norms = try squaredNorms(scan.units[place.unit])
                try workspace.upload(
                    to: shipment.output.norms + place.first * 8, bytes: norms.count * 8
                ) { target in norms.withUnsafeBytes { target.copyMemory(from: $0) } }
            }
        }
        let began = try workspace.compute.record()
        try shipment.output.complete(
            rows: shipment.rows, selector,
            bounded: shipment.bounded.enumerated().map { (columns[$0.offset], $0.element) })
        let completing = (began, try workspace.compute.record())
        timed.launches.append(completing)
        if selector != nil { timed.selections.append(completing) }
    }

    // MARK: collect

    /// Waits for a shipment's output and hands it over.
    func collect(_ shipment: Shipment) throws {
        while steps.contains(where: { $0.concerns(shipment) }) { try advance() }
        guard shipment.rows > 0 else { return }
        try shipment.output.wait()
        guard consumer.selection != nil else {
            try handOverGroups(shipment)
            return
        }
        let began = ContinuousClock.now
        var shipment = shipment
        var candidates = try shipment.output.selected()
        counters.device?.readSeconds += (ContinuousClock.now - began).seconds
        if !shipment.bounded.isEmpty {
            if let candidates {
                countRescored(candidates.count, shipment)
            } else {
                candidates = try scoreExactly(&shipment)
            }
        }
        if let candidates {
            try consumer.selected(0, selected(candidates, shipment))
        } else {
            try shipment.output.loadScores(rows: shipment.rows)
            try handOverAll(shipment)
        }
    }

    /// Candidates by row number.
    ///
    /// - Throws: `DeviceError` where the device names rows or queries that there are not.
    private func selected(
        _ candidates: UnsafeBufferPointer<gd_candidate>, _ shipment: Shipment
    ) throws -> [SelectedScore] {
        try candidates.map { candidate in
            let place = shipment.places[shipment.place(of: Int(candidate.row))]
            let row = Int(candidate.row) - place.first
            guard place.rows.indices.contains(row), candidate.query < queries else {
                throw DeviceError(
                    .failed, "\(workspace.backend.name) has selected rows that there are not")
            }
            return SelectedScore(
                query: Int(candidate.query), row: place.rows[row], score: candidate.score)
        }
    }

    /// All scores, where too many of them were equal to select on the device.
    private func handOverAll(_ shipment: Shipment) throws {
        for place in shipment.places {
            for query in 0..<queries {
                let scores = shipment.output.scores(
                    query, rows: shipment.rows, place.first..<place.first + place.rows.count)
                let counting = place.rows.indices.filter { place.mask?[$0] ?? true }
                try consumer.selected(
                    0,
                    counting.map {
                        SelectedScore(query: query, row: place.rows[$0], score: scores[$0])
                    })
            }
        }
    }

    private func handOverGroups(_ shipment: Shipment) throws {
        let (output, places, queries, consumer) = (
            Unguarded(shipment.output), shipment.places, queries, consumer
        )
        let rows = shipment.rows
        try Parallel.forEach(places.count, threads: threads) { index, worker in
            let place = places[index]
            let range = place.first..<place.first + place.rows.count
            var dots: [Double] = []
            dots.reserveCapacity(queries * range.count)
            for query in 0..<queries {
                dots += output.value.scores(query, rows: rows, range)
            }
            try dots.withUnsafeBufferPointer { dots in
                try consumer.groups(
                    worker,
                    GroupScores(
                        unit: place.unit, rows: place.rows, mask: place.mask, dots: dots,
                        squaredNorms: output.value.scores(queries, rows: rows, range),
                        errors: UnsafeBufferPointer(start: nil, count: 0)))
            }
        }
    }
}

/// Something that several threads read while nobody changes it.
private struct Unguarded<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}

extension StagedScan.Shipment {
    /// The row group that a row of the output belongs to.
    func place(of row: Int) -> Int {
        var low = 0
        var high = places.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if places[middle].first <= row { low = middle } else { high = middle - 1 }
        }
        return low
    }
}

extension StagedScan.Step {
    func concerns(_ shipment: StagedScan.Shipment) -> Bool {
        switch self {
        case .score(_, let other), .complete(let other), .land(_, _, let other):
            other.output === shipment.output
        }
    }
}
