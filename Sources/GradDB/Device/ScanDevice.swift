// Where a scan runs. Operators and the planner know devices by this protocol only.

/// Selects rows while they are scored: what a consumer that keeps only the best rows says, so that a
/// device need not hand over the scores of all.
package struct ScanSelection: Sendable {
    /// Rows wanted of each query.
    package var top: Int
    package var bottom: Int
    /// Norms of the queries where rows are ranked by cosine; nil where by dot product.
    package var cosineNorms: [Double]?

    package init(top: Int, bottom: Int, cosineNorms: [Double]?) {
        self.top = top
        self.bottom = bottom
        self.cosineNorms = cosineNorms
    }
}

/// A row that may be among the best of a query.
package struct SelectedScore: Sendable {
    package var query: Int
    package var row: UInt64
    package var score: Double
}

/// Who takes the scores of a scan. Calls come on any of the scan's threads, each with its own worker
/// number, below `Scan.workerCount`.
package struct ScanConsumer: Sendable {
    /// All scores of a row group.
    package var groups: @Sendable (_ worker: Int, _ scores: GroupScores) throws -> Void
    /// What is wanted where that is enough; nil: all scores.
    package var selection: ScanSelection?
    /// Rows among which the wanted ones are, as far as `groups` has not had them.
    package var selected: @Sendable (_ worker: Int, _ scores: [SelectedScore]) throws -> Void

    package init(
        groups: @escaping @Sendable (_ worker: Int, _ scores: GroupScores) throws -> Void,
        selection: ScanSelection? = nil,
        selected: @escaping @Sendable (_ worker: Int, _ scores: [SelectedScore]) throws -> Void = {
            _, _ in
        }
    ) {
        self.groups = groups
        self.selection = selection
        self.selected = selected
    }
}

/// What the planner knows of a device. Rates are per second.
package struct DeviceLimits: Sendable, Equatable {
    /// Bytes that are brought to it.
    package var bus: Double
    /// Bytes of its own memory that it scores.
    package var memory: Double
    /// Products of a batch.
    package var products: Double
    /// Seconds until it can begin.
    package var start: Double
    /// Bytes of tables that it has.
    package var residentBytes = 0
    /// What a pass takes beside reading and scoring.
    package var passSeconds = 0.0
    /// What its kernels do, where `gradctl bench` has measured it.
    package var kernels: DeviceKernelRates?

    package var isMeasured: Bool { kernels != nil }

    package init(bus: Double, memory: Double, products: Double, start: Double) {
        self.bus = bus
        self.memory = memory
        self.products = products
        self.start = start
    }
}

/// Something that scans row groups.
package protocol ScanDevice: AnyObject, Sendable {
    /// As people know it.
    var name: String { get }
    var limits: DeviceLimits { get }
    /// Whether it can run a scan; another device has to, otherwise.
    func canRun(_ scan: Scan) -> Bool
    /// Scores row groups of a scan.
    ///
    /// - Parameters:
    ///   - units: which of `scan.units`.
    ///   - done: called with units once `consumer` has had all that comes of them.
    /// - Throws: `DeviceError` where the device failed: the units that are not done may be run by
    ///   another one. What reading blocks and `consumer` throw.
    func run(
        _ scan: Scan, units: [Int], _ consumer: ScanConsumer,
        done: (ArraySlice<Int>) -> Void
    ) throws -> ScanCounters
    /// Brings all blocks of some units of a scan here, and keeps them until they are released.
    ///
    /// - Throws: `.failed` where they do not fit beside what is kept already; as `run`.
    func keep(_ scan: Scan, units: [Int]) throws -> KeptItems
}
