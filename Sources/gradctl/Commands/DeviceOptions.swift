// --device and --gpu-memory, of commands that score.

import ArgumentParser
import GradDB

struct DeviceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where to score: auto, cpu, gpu, gpu:N, gpu:N,M or staged (default: auto).",
            valueName: "device"))
    var device: String?

    @Option(
        name: .customLong("gpu-memory"),
        help: ArgumentHelp(
            "Bytes of each GPU to use, such as 4G (default: most of what is free).",
            valueName: "bytes"))
    var memory: String?

    /// The device that is meant; nil: the processor.
    func use() throws -> DeviceUse? {
        let bytes = try memory.map { try Units.byteCount($0, of: "--gpu-memory") }
        return try Devices.use(try DeviceChoice(named: device ?? "auto"), memory: bytes)
    }
}
