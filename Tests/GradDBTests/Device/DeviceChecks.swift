// What every device must do, whatever it is: the tests of each call these.

import CGradKernels
import Foundation
import GradDB
import Testing

enum DeviceChecks {
    /// Memory is given in aligned pieces, counted, and given back.
    static func memoryIsCounted(_ device: any DeviceBackend) throws {
        let before = try device.memory()
        #expect(before.free <= before.total)
        let addresses = try [1, 255, 256, 257, 100_000].map { try device.allocate($0) }
        #expect(Set(addresses).count == addresses.count)
        for address in addresses { #expect(address.value % 256 == 0) }
        #expect(try device.memory().free <= before.free - 100_000)
        for address in addresses { device.free(address) }
        #expect(try device.memory().free == before.free)
    }

    /// More than there is is refused, and nothing else suffers from it.
    static func tooMuchIsRefused(_ device: any DeviceBackend) throws {
        let free = try device.memory().free
        let error = #expect(throws: DeviceError.self) { try device.allocate(free + 1) }
        #expect(error?.kind == .outOfMemory)
        #expect(error?.message.contains((free + 1).grouped) == true, "\(error?.message ?? "")")
        let half = try device.allocate(free / 2)
        device.free(half)
        try bytesComeBack(device)
    }

    /// What is copied to the device and filled there is what is copied back.
    static func bytesComeBack(_ device: any DeviceBackend) throws {
        let pinned = try device.allocatePinned(5000)
        defer { device.freePinned(pinned) }
        let queue = try device.makeQueue()
        let memory = try device.allocate(5000)
        defer { device.free(memory) }
        for i in pinned.indices { pinned[i] = UInt8(truncatingIfNeeded: i * 7) }
        try queue.copy(UnsafeRawBufferPointer(pinned), to: memory)
        try queue.fill(memory + 256, bytes: 100, with: 0xAB)
        try queue.finish()
        for i in pinned.indices { pinned[i] = 0 }
        let part = UnsafeMutableRawBufferPointer(rebasing: pinned[100..<4100])
        try queue.copy(memory + 100, to: part)
        try queue.finish()
        for i in 0..<4000 {
            let isFilled = (256..<356).contains(i + 100)
            #expect(part[i] == (isFilled ? 0xAB : UInt8(truncatingIfNeeded: (i + 100) * 7)))
        }
        #expect(pinned[99] == 0 && pinned[4100] == 0)
    }

    /// A value goes round between two queues, many times: events alone keep them in order.
    static func eventsKeepQueuesInOrder(_ device: any DeviceBackend) throws {
        let rounds = 200
        let bytes = 4 * rounds
        let pinned = try device.allocatePinned(2 * bytes)
        defer { device.freePinned(pinned) }
        let there = try device.allocate(4)
        let back = try device.allocate(bytes)
        defer {
            device.free(there)
            device.free(back)
        }
        let (first, second) = (try device.makeQueue(), try device.makeQueue())
        for round in 0..<rounds {
            pinned.storeBytes(of: UInt32(round), toByteOffset: 4 * round, as: UInt32.self)
        }
        for round in 0..<rounds {
            let number = UnsafeRawBufferPointer(rebasing: pinned[4 * round..<4 * round + 4])
            try first.copy(number, to: there)
            try second.wait(for: first.record())
            var args = gd_stream_args(
                source: there.value, target: (back + 4 * round).value, bytes: 4)
            try second.launch(DeviceLaunch("gd_copy", x: 1, &args))
            args.bytes = 0  // the launch has its own
            try first.wait(for: second.record())
        }
        let target = UnsafeMutableRawBufferPointer(rebasing: pinned[bytes...])
        try second.copy(back, to: target)
        try second.finish()
        for round in 0..<rounds {
            #expect(target.load(fromByteOffset: 4 * round, as: UInt32.self) == UInt32(round))
        }
    }

    /// Events of one queue come in order, and time does not run backwards.
    static func eventsTellTime(_ device: any DeviceBackend) throws {
        let pinned = try device.allocatePinned(1 << 20)
        defer { device.freePinned(pinned) }
        let memory = try device.allocate(1 << 20)
        defer { device.free(memory) }
        let queue = try device.makeQueue()
        let begin = try queue.record()
        for _ in 0..<16 { try queue.copy(UnsafeRawBufferPointer(pinned), to: memory) }
        let end = try queue.record()
        let seconds = try end.seconds(since: begin)
        #expect(seconds >= 0 && seconds < 60)
        try begin.wait()
        try end.wait()
    }

    /// A layer's scores on the device, with many rows, against plain arithmetic.
    static func scoresAreThoseOfTheDefinition(_ device: any DeviceBackend) throws {
        let (rows, dims, queries) = (1000, 64, 3)
        var random = SeededRandom(seed: 5)
        let pinned = try device.allocatePinned(1 << 20)
        defer { device.freePinned(pinned) }
        let queue = try device.makeQueue()
        var used = 0
        var addresses: [DeviceAddress] = []
        func put<Value>(_ values: [Value]) throws -> DeviceAddress {
            let bytes = values.count * MemoryLayout<Value>.stride
            let place = UnsafeMutableRawBufferPointer(rebasing: pinned[used..<used + bytes])
            values.withUnsafeBytes { place.copyMemory(from: $0) }
            used += (bytes + 255) / 256 * 256
            addresses.append(try device.allocate(bytes))
            try queue.copy(UnsafeRawBufferPointer(place), to: addresses[addresses.count - 1])
            return addresses[addresses.count - 1]
        }
        defer { for address in addresses { device.free(address) } }

        let stored = (0..<rows * dims).map { _ in Int8.random(in: -127...127, using: &random) }
        let asked = (0..<queries * dims).map { _ in Int8.random(in: -127...127, using: &random) }
        let statistics = (0..<rows).map { _ in
            gd_statistics(scale: random.gaussian(), residual_norm: 0, squared_norm: 1)
        }
        let terms = (0..<queries).map { _ in gd_term(addend: 7, scale: Double(random.gaussian())) }
        let item = gd_item(
            slabs: try put(stored).value, statistics: try put(statistics).value,
            rows: UInt32(rows), first: 32)
        let tiles = stride(from: 0, to: rows, by: Int(GD_ROWS_FEW)).map {
            gd_tile(item: 0, row: UInt32($0))
        }
        let stride = rows + 32
        let dots = try device.allocate(8 * stride * queries)
        addresses.append(dots)
        var args = gd_score_args(
            layer: gd_layer(
                codec: GD_INT8.rawValue, slabs: 1, pitch: UInt32(dims), last_pitch: UInt32(dims),
                factor: 1, queries: try put(asked).value, query_stride: UInt64(dims),
                terms: try put(terms).value, query_count: UInt32(queries), zero: 0),
            packed: 0, items: try put([item]).value, tiles: try put(tiles).value, counting: 0,
            dots: dots.value, stride: UInt64(stride), is_first: 1, tile_count: UInt32(tiles.count))
        try queue.launch(DeviceLaunch("gd_score_int8_few", x: tiles.count, &args))
        let target = UnsafeMutableRawBufferPointer(
            rebasing: pinned[used..<used + 8 * stride * queries])
        try queue.copy(dots, to: target)
        try queue.finish()
        for query in 0..<queries {
            for row in 0..<rows {
                let sum = (0..<dims).reduce(7) {
                    $0 + Int(stored[row * dims + $1]) * Int(asked[query * dims + $1])
                }
                let scale = Double(statistics[row].scale) * terms[query].scale
                let dot = target.load(
                    fromByteOffset: 8 * (query * stride + 32 + row), as: Double.self)
                #expect(dot == Double(sum) * scale)
            }
        }
    }

    /// Mistakes of ours are found where they are made, and the device goes on.
    static func mistakesAreRefused(_ device: any DeviceBackend) throws {
        let queue = try device.makeQueue()
        let memory = try device.allocate(1000)
        defer { device.free(memory) }
        let pinned = try device.allocatePinned(2000)
        defer { device.freePinned(pinned) }
        var args = gd_stream_args(source: memory.value, target: memory.value, bytes: 0)
        #expect(throws: DeviceError.self) {
            try queue.launch(DeviceLaunch("gd_nothing", x: 1, &args))
        }
        #expect(throws: DeviceError.self) {
            try queue.launch(DeviceLaunch("gd_copy", x: 0, &args))
        }
        #expect(throws: DeviceError.self) {
            try queue.launch(DeviceLaunch("gd_copy", x: 1, y: 65_536, &args))
        }
        try queue.finish()
        try bytesComeBack(device)
    }

    /// Copies that leave the device's memory, and from memory that is not pinned.
    static func copiesAstrayAreRefused(_ device: any DeviceBackend) throws {
        let queue = try device.makeQueue()
        let memory = try device.allocate(1024)
        defer { device.free(memory) }
        let pinned = try device.allocatePinned(2048)
        defer { device.freePinned(pinned) }
        #expect(throws: DeviceError.self) {
            try queue.copy(UnsafeRawBufferPointer(pinned), to: memory)
        }
        #expect(throws: DeviceError.self) { try queue.copy(memory, to: pinned) }
        #expect(throws: DeviceError.self) { try queue.fill(memory, bytes: 1025, with: 0) }
        let ordinary = [UInt8](repeating: 1, count: 64)
        ordinary.withUnsafeBytes { bytes in
            _ = #expect(throws: DeviceError.self) { try queue.copy(bytes, to: memory) }
        }
        try bytesComeBack(device)
    }

    /// After a fork the parent's threads and contexts are not the child's: every call fails at once, and
    /// lets go of things without waiting.
    static func childrenAreRefused(_ device: any DeviceBackend) throws {
        let memory = try device.allocate(256)
        defer { device.free(memory) }
        var queue: (any DeviceQueue)? = try device.makeQueue()
        try queue?.fill(memory, bytes: 256, with: 1)
        let event = try queue?.record()
        try queue?.finish()
        // Swift does not offer fork: the child may meet locks that other threads held. It tries again
        // where it was stopped for that.
        typealias Fork = @convention(c) () -> pid_t
        let fork = unsafeBitCast(try #require(dlsym(nil, "fork")), to: Fork.self)
        for _ in 0..<20 {
            let child = fork()
            if child == 0 {
                alarm(2)
                var refused: Int32 = 0
                do { try queue?.finish() } catch is DeviceError { refused += 1 } catch {}
                do { _ = try device.allocate(1) } catch is DeviceError { refused += 1 } catch {}
                do { try event?.wait() } catch is DeviceError { refused += 1 } catch {}
                queue = nil
                _exit(refused)
            }
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0 && errno == EINTR {}
            if status & 0x7F == SIGALRM { continue }
            #expect(status >> 8 == 3 && status & 0x7F == 0, "the child's status is \(status)")
            try queue?.finish()
            return
        }
        Issue.record("the child never ended")
    }
}
