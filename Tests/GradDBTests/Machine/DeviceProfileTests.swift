// What was measured of devices: how it is kept, and what the planner makes of it.

import Foundation
import GradDB
import Testing

@Suite struct DeviceProfileTests {
    private let directory = TemporaryDirectory()
    private static let key = DeviceKey(name: "a GPU", driver: "12.4", processor: "a processor")

    private static func profile(_ key: DeviceKey = key, staged: Double = 20) -> DeviceProfile {
        var profile = DeviceProfile(key: key, measured: "2026-01-31T12:00:00.000Z")
        profile.start = 0.25
        profile.memoryRead = 4000
        profile.int8Peak = 900_000
        profile.staged = staged
        profile.passSeconds = 0.001
        profile.kernels[.int8, queries: 1] = 2000
        profile.kernels[.int8, queries: 64] = 1000
        profile.kernels[.int8, queries: 128] = 250
        profile.kernels[.bit, queries: 1] = 500
        return profile
    }

    @Test func profilesOfDevicesAndMachinesAreKeptBesideEachOther() throws {
        let path = directory.file("cache/machine.json")
        #expect(DeviceProfile.load(from: path) == [])
        var machine = MachineProfile(key: try MachineKey.current(threads: 3), measured: "now")
        machine.memoryRead = Rate(one: 1, all: 2)
        try machine.store(at: path)
        let other = DeviceKey(name: "a GPU", driver: "12.5", processor: "a processor")
        #expect(try DeviceProfile.store([Self.profile(), Self.profile(other)], at: path) == path)
        // In place of the earlier one of the same device.
        let newer = Self.profile(staged: 30)
        _ = try DeviceProfile.store([newer], at: path)
        try machine.store(at: path)
        #expect(MachineProfile.load(threads: 3, from: path) == machine)
        #expect(DeviceProfile.load(from: path) == [Self.profile(other), newer])
    }

    @Test func oneThatLacksSomethingHarmsNoOther() throws {
        let path = directory.file("machine.json")
        let machine = MachineProfile(key: try MachineKey.current(threads: 3), measured: "now")
        try machine.store(at: path)
        let other = DeviceKey(name: "another", driver: nil, processor: "a processor")
        _ = try DeviceProfile.store([Self.profile(), Self.profile(other)], at: path)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let place = try #require(text.range(of: "\"passSeconds\""))
        try text.replacingCharacters(in: place, with: "\"x\"")
            .write(toFile: path, atomically: true, encoding: .utf8)
        #expect(DeviceProfile.load(from: path) == [Self.profile(other)])
        #expect(MachineProfile.load(threads: 3, from: path) == machine)
    }

    @Test func ratesBetweenMeasuredNumbersOfQueriesAreOnALine() throws {
        let kernels = Self.profile().kernels
        func nanoseconds(_ queries: Int) -> Double? {
            kernels.secondsPerByte(.int8, queries: queries).map { $0 * 1e12 }
        }
        #expect(nanoseconds(1) == 0.5)
        #expect(nanoseconds(64) == 1)
        #expect(abs(try #require(nanoseconds(96)) - 2.5) < 1e-12)
        #expect(nanoseconds(128) == 4)
        // Beyond the most, in proportion.
        #expect(nanoseconds(256) == 8)
        for queries in 2..<300 {
            let (less, more) = (
                try #require(nanoseconds(queries - 1)), try #require(nanoseconds(queries))
            )
            #expect(less < more, "\(queries)")
        }
        #expect(kernels.secondsPerByte(.f16, queries: 1) == nil)
    }

    @Test func limitsAreWhatWasMeasured() throws {
        let limits = try #require(Self.profile().limits)
        #expect(limits.isMeasured)
        #expect((limits.bus, limits.start, limits.passSeconds) == (20e9, 0.25, 0.001))
        let parts = [(codec: CodecKind.int8, bytes: 2e12), (codec: CodecKind.bit, bytes: 1e12)]
        #expect(limits.scoring(parts, queries: 1, products: 0) == 3)
        // A codec that was not measured: memory, or the peak.
        let unknown = [(codec: CodecKind.f16, bytes: 4e12)]
        #expect(limits.scoring(unknown, queries: 1, products: 0) == 1)
        #expect(limits.scoring(unknown, queries: 1, products: 1.8e15) == 2)
    }

    @Test func assumedLimitsAreMemoryOrProducts() {
        let limits = DeviceLimits(bus: 1e9, memory: 2e9, products: 1e12, start: 0)
        #expect(!limits.isMeasured)
        let parts = [(codec: CodecKind.int8, bytes: 4e9)]
        #expect(limits.scoring(parts, queries: 9, products: 1e12) == 2)
        #expect(limits.scoring(parts, queries: 9, products: 5e12) == 5)
    }

    @Test(arguments: ["staged", "memoryRead", "int8Peak"])
    func aProfileThatMakesNoSenseIsNone(_ field: String) throws {
        let data = try JSONEncoder().encode(Self.profile())
        var object = try #require(
            JSONSerialization.jsonObject(with: data) as? [String: Any])
        object[field] = 0
        let broken = try JSONDecoder().decode(
            DeviceProfile.self, from: JSONSerialization.data(withJSONObject: object))
        #expect(broken.limits == nil)
        #expect(Self.profile().limits != nil)
    }

    @Test func devicesBesideEachOtherAddUp() throws {
        let measured = try #require(Self.profile().limits)
        var slower = Self.profile()
        slower.kernels[.int8, queries: 64] = nil
        slower.start = 1
        let other = try #require(slower.limits)
        let assumed = DeviceLimits(bus: 1e9, memory: 1e9, products: 1e9, start: 0)
        func group(_ rates: [DeviceLimits]) -> DeviceLimits {
            DeviceGroup(
                rates.map {
                    StagedDevice(HostBackend(memoryBytes: 1 << 20), memory: 1 << 20, rates: $0)
                }
            ).limits
        }
        let sum = group([measured, other])
        #expect(sum.bus == 40e9 && sum.start == 1 && sum.passSeconds == 0.001)
        #expect(sum.kernels?[.int8, queries: 1] == 4000)
        // What only one of them was measured at says nothing of both.
        #expect(sum.kernels?[.int8, queries: 64] == nil)
        #expect(!group([measured, assumed]).isMeasured)
        #expect(!group([assumed, measured]).isMeasured)
    }
}
