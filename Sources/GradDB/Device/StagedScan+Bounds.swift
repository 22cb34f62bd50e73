// Scans that bound scores first: what is on the device already is given bounds by its matrix units, and only
// rows that may be among the best are scored, where they lie. What comes by the bus is scored exactly at once:
// it is gone again when the bounds are known, and takes longer to come than to be scored.

import CGradKernels

extension StagedScan {
    /// Brings what bounds need to the device, where they may pay and there is room for it.
    func prepareHalves(rows: Int) throws -> Bool {
        guard
            DeviceHalves.mayPay(
                columns, consumer.selection, queries: queries, rows: rows, on: workspace.backend)
        else { return false }
        for index in columns.indices {
            let codec = columns[index].scorer.column.encoding.codec
            guard try HalfTrial.passes(codec, workspace),
                try columns[index].uploadHalves(workspace)
            else { return false }
        }
        return true
    }

    /// Units whose items are all on the device, how many they are, and then the others.
    func residentFirst(_ units: [Int]) -> (units: [Int], resident: Int) {
        let isResident = units.map { unit in
            columns.indices.allSatisfy { workspace.resident.contains(key($0, unit: unit)) }
        }
        let resident = zip(units, isResident).filter(\.1).map(\.0)
        let others = zip(units, isResident).filter { !$0.1 }.map(\.0)
        return (resident + others, resident.count)
    }

    /// By layer the items of a shipment; empty where one of them is not on the device.
    func itemsToBound(_ places: [Place]) -> [[gd_item]] {
        guard !places.isEmpty, places.count <= Self.mostBoundedItems else { return [] }
        var items: [[gd_item]] = []
        for column in columns.indices {
            var own: [gd_item] = []
            for place in places {
                guard let address = workspace.resident.use(key(column, place)) else { return [] }
                own.append(item(at: address, place, columns[column].layout))
            }
            items.append(own)
        }
        return items
    }

    /// Items that fit into one upload.
    private static var mostBoundedItems: Int {
        DeviceWorkspace.mostUploaded / MemoryLayout<gd_item>.stride
    }

    func countRescored(_ scores: Int, _ shipment: Shipment) {
        let rows = shipment.places.reduce(0) { sum, place in
            sum + (place.mask.map { $0.count { $0 } } ?? place.rows.count)
        }
        counters.device?.boundedRows += rows
        counters.device?.rescored += scores
    }

    /// Scores a shipment whose bounds have left too many rows; the ones after it are scored exactly, too.
    ///
    /// - Returns: what `DeviceOutput.selected` does.
    func scoreExactly(_ shipment: inout Shipment) throws -> UnsafeBufferPointer<gd_candidate>? {
        hasBounds = false
        let items = shipment.bounded
        shipment.bounded = []
        try score(items.enumerated().map { Run(column: $0.offset, items: $0.element) }, shipment)
        let began = try workspace.compute.record()
        try shipment.output.complete(rows: shipment.rows, selector, bounded: [])
        timed.launches.append((began, try workspace.compute.record()))
        try shipment.output.wait()
        return try shipment.output.selected()
    }
}
