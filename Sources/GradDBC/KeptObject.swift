// What a `graddb_kept` stands for: the vectors of a checkpoint in a device's memory.

import GradDB
import Synchronization

/// What to keep, and where.
struct KeepRequest {
    let view: TableView
    let checkpoint: CheckpointDocument
    let layers: [Layer]
    let threads: Int
    /// Nil where no GPU can be there, and none was named.
    let use: DeviceUse?

    private struct Text: Decodable {
        var device: String
        var deviceMemory: Int?
        var checkpoint: String?
        var layers: [String]?
        var threads: Int?

        enum CodingKeys: String, CodingKey {
            case device, checkpoint, layers, threads
            case deviceMemory = "device_memory"
        }
    }

    /// - Throws: `.usage`; `.failed` where there is no such device.
    init(_ json: String, of table: Table) throws {
        let given = try options(Text.self, json, "options")
        threads = try threadCount(given.threads ?? 0)
        view = try table.newest
        checkpoint = try view.checkpoint(orNewest: given.checkpoint)
        layers =
            try given.layers.map { names in
                try names.map { name in
                    guard let layer = table.layers.first(where: { $0.name == name }) else {
                        throw GradDBError(
                            .usage,
                            "table '\(table.name)' has no layer '\(name)'; it has "
                                + table.layers.map(\.name).joined(separator: ", "))
                    }
                    return layer
                }
            } ?? table.layers
        guard !layers.isEmpty else { throw GradDBError(.usage, "there are no layers to keep") }
        use = try DeviceText.use(given.device, memory: given.deviceMemory)
        guard try use != nil || DeviceChoice(named: given.device) == .auto else {
            throw GradDBError(
                .usage,
                "the processor reads tables where they lie; what can keep them is a GPU: gpu, "
                    + "gpu:N, gpu:N,M, or staged")
        }
    }
}

final class KeptObject: Sendable {
    /// Nil where there is no device, and that is no error.
    private let items: KeptItems?
    let json: JSONObject

    /// - Throws: `.failed` where they do not fit; `.corrupt`.
    init(_ request: KeepRequest, _ cancellation: Cancellation) throws {
        func nothing(_ why: String) {
            Notes.add("warning", "graddb.device", "\(why); nothing is kept")
        }
        var items: KeptItems?
        do {
            if let device = request.use?.device {
                items = try request.view.keep(
                    request.checkpoint, layers: request.layers, on: device,
                    threads: request.threads, cancellation)
            } else {
                nothing("there is no NVIDIA driver here")
            }
        } catch let error as DeviceError {
            guard request.use?.isRequired == false else {
                throw GradDBError(.failed, error.message)
            }
            nothing(error.message)
        }
        self.items = items
        json = JSONObject([
            ("table", .string(request.view.table.name)),
            ("checkpoint", .string(request.checkpoint.name)),
            ("layers", .array(request.layers.map { .string($0.name) })),
            ("device", items.map { .string($0.device) } ?? .null),
            ("bytes", .int(Int64(items?.bytes ?? 0))),
            ("row_groups", .int(Int64(items?.rowGroups ?? 0))),
        ])
    }

    func release() { items?.release() }
}

/// What was kept through a handle of a database, which ends with it.
final class KeptObjects: Sendable {
    private struct State {
        var objects: [ObjectIdentifier: Weak] = [:]
        var isClosed = false
    }

    private struct Weak {
        weak var object: KeptObject?
    }

    private let state = Mutex(State())

    /// - Throws: `.usage` where the database has been closed meanwhile.
    func add(_ object: KeptObject) throws {
        let isClosed = state.withLock { state in
            state.objects = state.objects.filter { $0.value.object != nil }
            state.objects[ObjectIdentifier(object)] = Weak(object: object)
            return state.isClosed
        }
        guard isClosed else { return }
        object.release()
        throw GradDBError(.usage, "the database has been closed")
    }

    func close() {
        let objects = state.withLock { state in
            state.isClosed = true
            return state.objects.values.compactMap(\.object)
        }
        for object in objects { object.release() }
    }
}
