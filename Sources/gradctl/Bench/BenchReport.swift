// What bench prints: a table for people, an object for programs (format-spec/cli-json.md).

import GradDB

struct BenchReport {
    let profile: MachineProfile
    /// Where the profile is kept.
    let stored: String?
    let table: TableBench?
    let scans: [ScanResult]

    /// The measured codecs with their rates.
    private var codecs: [(kind: CodecKind, rates: CodecRates)] {
        CodecKind.allCases.map { ($0, profile[$0]) }
    }

    /// GB/s that this scan could read at most.
    private func readLimit(_ scan: ScanResult) -> Double? {
        scan.isCold ? profile.diskRead : profile.memoryRead.all
    }

    /// GMAC/s that this scan could do at most.
    private var peak: Double? {
        table?.isInteger == false ? profile.f32Peak?.all : profile.int8Peak.all
    }

    private static func ratio(_ value: Double, _ limit: Double?) -> Double? {
        limit.flatMap { $0 > 0 ? value / $0 : nil }
    }

    // MARK: people

    var lines: [String] {
        var lines = [
            "\(profile.key.processor), kernel \(profile.key.kernel), "
                + "\(profile.key.threads) threads, \(profile.measured)", "",
        ]
        var limits = TextTable([
            .init(title: "limit"), .init(title: "1 thread", alignment: .right),
            .init(title: "\(profile.key.threads) threads", alignment: .right), .init(title: "unit"),
        ])
        limits.append(row("memory read", profile.memoryRead, "GB/s"))
        limits.append([
            "disk read, queue of 16", "", Self.number(profile.diskRead), "GB/s",
        ])
        limits.append(row("int8 peak", profile.int8Peak, "GMAC/s"))
        limits.append(row("f32 peak (OpenBLAS)", profile.f32Peak, "GMAC/s"))
        lines += limits.lines(width: nil, bold: false) + [""]
        lines += codecLines
        if let table { lines += [""] + scanLines(table) }
        return lines
    }

    private func row(_ name: String, _ rate: Rate?, _ unit: String) -> [String] {
        [name, Self.number(rate?.one), Self.number(rate?.all), unit]
    }

    private var codecLines: [String] {
        var text = TextTable([
            .init(title: "codec"), .init(title: "cache", alignment: .right),
            .init(title: "1 thr", alignment: .right), .init(title: "memory", alignment: .right),
            .init(title: "1 thr", alignment: .right), .init(title: "Q=1", alignment: .right),
            .init(title: "Q=16", alignment: .right), .init(title: "Q=128", alignment: .right),
        ])
        for (kind, rates) in codecs {
            text.append([
                kind.rawValue, Self.number(rates.cache.all), Self.number(rates.cache.one),
                Self.number(rates.memory.all), Self.number(rates.memory.one),
                Self.number(rates.memory.all * kind.multiplicationsPerByte),
                Self.number(rates.batch16?.all), Self.number(rates.batch128?.all),
            ])
        }
        return ["verify and score one query: GB/s from the L2 cache and from memory; then GMAC/s"]
            + text.lines(width: nil, bold: false)
    }

    private func scanLines(_ table: TableBench) -> [String] {
        var text = TextTable([
            .init(title: "queries", alignment: .right), .init(title: "from"),
            .init(title: "seconds", alignment: .right), .init(title: "rows/s", alignment: .right),
            .init(title: "GB/s", alignment: .right), .init(title: "GMAC/s", alignment: .right),
            .init(title: "of read", alignment: .right), .init(title: "of peak", alignment: .right),
        ])
        for scan in scans {
            text.append([
                "\(scan.queries)", scan.isCold ? "disk" : "memory", Self.number(scan.seconds),
                Int(scan.rowsPerSecond).grouped, Self.number(scan.gigabytesPerSecond),
                Self.number(scan.gmacPerSecond),
                Self.number(Self.ratio(scan.gigabytesPerSecond, readLimit(scan))),
                Self.number(Self.ratio(scan.gmacPerSecond, peak)),
            ])
        }
        let bytes = UInt64(scans.first?.bytes ?? 0)
        return [
            "\(table.name) at \(table.checkpoint.name): \(table.checkpoint.rows.grouped) rows, "
                + "\(Units.bytes(bytes)), against "
                + (table.isInteger ? "the int8 peak" : "the f32 peak")
        ] + text.lines(width: nil, bold: false)
    }

    /// Three significant digits.
    static func number(_ value: Double?) -> String {
        guard let value else { return "–" }
        let scale = value < 0.1 ? 1e4 : value < 1 ? 1e3 : value < 10 ? 100 : value < 100 ? 10 : 1
        let rounded = (value * scale).rounded() / scale
        return scale == 1 ? "\(Int(rounded))" : "\(rounded)"
    }

    // MARK: programs

    var json: JSONObject {
        var object = JSONObject([
            ("measured", .string(profile.measured)), ("processor", .string(profile.key.processor)),
            ("kernel", .string(profile.key.kernel)), ("threads", .int(Int64(profile.key.threads))),
            ("stored", stored.map { .string($0) } ?? .null),
            ("memory_gb_per_s", Self.json(profile.memoryRead)),
            ("disk_gb_per_s", profile.diskRead.map { .float($0) } ?? .null),
            ("int8_gmac_per_s", Self.json(profile.int8Peak)),
            ("f32_gmac_per_s", Self.json(profile.f32Peak)),
            ("codecs", .array(codecs.map { .object(Self.json($0.kind, $0.rates)) })),
        ])
        guard let table else { return object }
        object.append("table", .string(table.name))
        object.append("checkpoint", .string(table.checkpoint.name))
        object.append("peak", .string(table.isInteger ? "int8" : "f32"))
        object.append("scans", .array(scans.map { .object(json($0)) }))
        return object
    }

    private static func json(_ rate: Rate?) -> JSONValue {
        guard let rate else { return .null }
        return .object(JSONObject([("one", .float(rate.one)), ("all", .float(rate.all))]))
    }

    private static func json(_ kind: CodecKind, _ rates: CodecRates) -> JSONObject {
        func products(_ rate: Rate) -> JSONValue {
            let perByte = kind.multiplicationsPerByte
            return json(Rate(one: rate.one * perByte, all: rate.all * perByte))
        }
        return JSONObject([
            ("codec", .string(kind.rawValue)), ("cache_gb_per_s", json(rates.cache)),
            ("cache_gmac_per_s", products(rates.cache)), ("memory_gb_per_s", json(rates.memory)),
            ("memory_gmac_per_s", products(rates.memory)),
            ("batch_16_gmac_per_s", json(rates.batch16)),
            ("batch_128_gmac_per_s", json(rates.batch128)),
        ])
    }

    private func json(_ scan: ScanResult) -> JSONObject {
        func ratio(_ value: Double, _ limit: Double?) -> JSONValue {
            Self.ratio(value, limit).map { .float($0) } ?? .null
        }
        return JSONObject([
            ("queries", .int(Int64(scan.queries))), ("cold", .bool(scan.isCold)),
            ("rows", .int(Int64(scan.rows))), ("bytes", .int(Int64(scan.bytes))),
            ("seconds", .float(scan.seconds)), ("rows_per_s", .float(scan.rowsPerSecond)),
            ("gb_per_s", .float(scan.gigabytesPerSecond)),
            ("gmac_per_s", .float(scan.gmacPerSecond)),
            ("read_ratio", ratio(scan.gigabytesPerSecond, readLimit(scan))),
            ("peak_ratio", ratio(scan.gmacPerSecond, peak)),
        ])
    }
}
