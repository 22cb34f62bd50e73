// What bench prints of devices: tables for people, an object for programs (format-spec/cli-json.md).

import GradDB

struct DeviceBenchReport {
    let processor: String
    let threads: Int
    /// Where the rates are kept.
    let stored: String?
    let devices: [DeviceMeasurement]

    // MARK: people

    var lines: [String] {
        devices.enumerated().flatMap { number, device in
            (number > 0 ? [""] : []) + Self.lines(device)
        }
    }

    private static func lines(_ measurement: DeviceMeasurement) -> [String] {
        let device = measurement.device
        let driver = device.key.driver.map { " (GPU \(device.backend.ordinal)), CUDA \($0)" } ?? ""
        let title =
            "\(device.key.name)\(driver), "
            + "\(Units.bytes(UInt64(device.memory))) to use, \(measurement.measured)"
        return [title, ""] + limits(measurement) + [""] + kernels(measurement) + [""]
            + scans(measurement)
    }

    private static func limits(_ measurement: DeviceMeasurement) -> [String] {
        let limits = measurement.limits
        var text = TextTable([
            .init(title: "limit"), .init(title: "", alignment: .right), .init(title: "unit"),
        ])
        func add(_ name: String, _ value: Double, _ unit: String) {
            text.append([name, BenchReport.number(value), unit])
        }
        func buffers(_ bytes: Int) -> String { "buffers of \(Units.bytes(UInt64(bytes)))" }
        add("start", measurement.device.startSeconds * 1e3, "ms")
        add("launch and wait", limits.launchSeconds * 1e6, "us")
        add("pinned to device, \(buffers(limits.ringBytes))", limits.ring, "GB/s")
        add("pinned to device, \(buffers(limits.pinnedBytes))", limits.pinned, "GB/s")
        add("device to pinned", limits.back, "GB/s")
        add("device read", limits.read, "GB/s")
        add("device copy, read side", limits.copy, "GB/s")
        add("device copy, both sides", limits.copy * 2, "GB/s")
        add("int8 peak", limits.int8Peak, "GMAC/s")
        return text.lines(width: nil, bold: false)
    }

    private static func kernels(_ measurement: DeviceMeasurement) -> [String] {
        var text = TextTable([
            .init(title: "codec"), .init(title: "queries", alignment: .right),
            .init(title: "ms", alignment: .right), .init(title: "GB/s", alignment: .right),
            .init(title: "of read", alignment: .right), .init(title: "of copy", alignment: .right),
            .init(title: "GMAC/s", alignment: .right), .init(title: "of peak", alignment: .right),
        ])
        for kernel in measurement.kernels {
            let ratios = ratios(kernel, measurement.limits)
            text.append([
                kernel.codec.rawValue, "\(kernel.queries)",
                BenchReport.number(kernel.seconds * 1e3),
                BenchReport.number(kernel.gigabytesPerSecond), BenchReport.number(ratios.read),
                BenchReport.number(ratios.copy), BenchReport.number(kernel.gmacPerSecond),
                BenchReport.number(ratios.peak),
            ])
        }
        return ["score kernels, of rows that lie on the device"]
            + text.lines(width: nil, bold: false)
    }

    private static func scans(_ measurement: DeviceMeasurement) -> [String] {
        let (staged, resident) = (measurement.staged, measurement.resident)
        func number(_ value: Double) -> String { BenchReport.number(value) }
        func time(_ time: ResidentMeasurement.Time) -> String {
            "\(number(time.median * 1e3)) ms (best \(number(time.best * 1e3)))"
        }
        let parts: [(String, Double)] = [
            ("prepare", resident.prepare), ("copies", resident.copies),
            ("kernels", resident.kernels), ("selection", resident.selection),
            ("read back", resident.readBack), ("host", resident.host),
        ]
        return [
            "one query, \(resident.rows.grouped) rows x \(resident.dims.grouped) int8, "
                + Units.bytes(UInt64(resident.bytes)),
            "  staged: \(number(staged.gigabytesPerSecond)) GB/s, "
                + "\(number(pinnedRatio(measurement))) of the pinned copy; "
                + "\(number(staged.verifyingGigabytesPerSecond)) while verifying",
            "  resident, top \(resident.top): statement \(time(resident.statement))",
            "    scan \(time(resident.scan))",
        ] + parts.map { "      \($0.0) \(number($0.1 * 1e3)) ms" }
    }

    // MARK: ratios

    private static func ratios(
        _ kernel: KernelMeasurement, _ limits: DeviceLimitRates
    ) -> (read: Double, copy: Double, peak: Double?) {
        (
            kernel.gigabytesPerSecond / limits.read, kernel.gigabytesPerSecond / limits.copy,
            kernel.codec.isFloat ? nil : kernel.gmacPerSecond / limits.int8Peak
        )
    }

    private static func pinnedRatio(_ measurement: DeviceMeasurement) -> Double {
        measurement.staged.gigabytesPerSecond / measurement.limits.pinned
    }

    // MARK: programs

    var json: JSONObject {
        JSONObject([
            ("measured", .string(devices.first?.measured ?? "")),
            ("processor", .string(processor)), ("threads", .int(Int64(threads))),
            ("stored", stored.map { .string($0) } ?? .null),
            ("devices", .array(devices.map { .object(Self.json($0)) })),
        ])
    }

    private static func json(_ measurement: DeviceMeasurement) -> JSONObject {
        let (device, limits) = (measurement.device, measurement.limits)
        func buffers(_ bytes: Int, _ rate: Double) -> JSONValue {
            .object(JSONObject([("bytes", .int(Int64(bytes))), ("gb_per_s", .float(rate))]))
        }
        return JSONObject([
            ("name", .string(device.key.name)), ("ordinal", .int(Int64(device.backend.ordinal))),
            ("driver", device.key.driver.map { .string($0) } ?? .null),
            ("usable_bytes", .int(Int64(device.memory))),
            ("start_seconds", .float(device.startSeconds)),
            ("launch_us", .float(limits.launchSeconds * 1e6)),
            ("ring", buffers(limits.ringBytes, limits.ring)),
            ("pinned", buffers(limits.pinnedBytes, limits.pinned)),
            ("back_gb_per_s", .float(limits.back)), ("read_gb_per_s", .float(limits.read)),
            (
                "copy_gb_per_s",
                .object(
                    JSONObject([
                        ("read", .float(limits.copy)), ("total", .float(limits.copy * 2)),
                    ]))
            ),
            ("int8_gmac_per_s", .float(limits.int8Peak)),
            ("kernels", .array(measurement.kernels.map { .object(json($0, limits)) })),
            ("staged", .object(stagedJSON(measurement))),
            ("resident", .object(json(measurement.resident))),
        ])
    }

    private static func json(_ kernel: KernelMeasurement, _ limits: DeviceLimitRates) -> JSONObject
    {
        let ratios = ratios(kernel, limits)
        var object = JSONObject([
            ("codec", .string(kernel.codec.rawValue)), ("queries", .int(Int64(kernel.queries))),
        ])
        object.append(contentsOf: shape(kernel.rows, kernel.dims, kernel.bytes))
        object.append(
            contentsOf: JSONObject([
                ("seconds", .float(kernel.seconds)), ("scan_seconds", .float(kernel.scanSeconds)),
                ("gb_per_s", .float(kernel.gigabytesPerSecond)),
                ("gmac_per_s", .float(kernel.gmacPerSecond)), ("read_ratio", .float(ratios.read)),
                ("copy_ratio", .float(ratios.copy)),
                ("peak_ratio", ratios.peak.map { .float($0) } ?? .null),
            ]))
        return object
    }

    private static func shape(_ rows: Int, _ dims: Int, _ bytes: Int) -> JSONObject {
        JSONObject([
            ("rows", .int(Int64(rows))), ("dims", .int(Int64(dims))), ("bytes", .int(Int64(bytes))),
        ])
    }

    private static func stagedJSON(_ measurement: DeviceMeasurement) -> JSONObject {
        let staged = measurement.staged
        var object = shape(staged.rows, staged.dims, staged.bytes)
        object.append(
            contentsOf: JSONObject([
                ("seconds", .float(staged.seconds)),
                ("gb_per_s", .float(staged.gigabytesPerSecond)),
                ("verifying_gb_per_s", .float(staged.verifyingGigabytesPerSecond)),
                ("pinned_ratio", .float(pinnedRatio(measurement))),
                ("copy_seconds", .float(staged.copySeconds)),
                ("kernel_seconds", .float(staged.kernelSeconds)),
            ]))
        return object
    }

    private static func json(_ resident: ResidentMeasurement) -> JSONObject {
        func milliseconds(_ parts: [(String, Double)]) -> JSONValue {
            .object(JSONObject(parts.map { ($0.0, .float($0.1 * 1e3)) }))
        }
        func time(_ time: ResidentMeasurement.Time) -> JSONValue {
            milliseconds([("median", time.median), ("best", time.best)])
        }
        var object = shape(resident.rows, resident.dims, resident.bytes)
        object.append(
            contentsOf: JSONObject([
                ("top", .int(Int64(resident.top))), ("statement_ms", time(resident.statement)),
                ("scan_ms", time(resident.scan)),
                (
                    "split_ms",
                    milliseconds([
                        ("prepare", resident.prepare), ("copies", resident.copies),
                        ("kernels", resident.kernels), ("selection", resident.selection),
                        ("read_back", resident.readBack), ("host", resident.host),
                    ])
                ),
            ]))
        return object
    }
}
