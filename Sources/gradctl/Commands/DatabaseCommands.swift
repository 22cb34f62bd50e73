// Making a database and its tables.

import ArgumentParser
import GradDB

struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make an empty database.",
        discussion: """
            Example:
              gradctl init --db runs/db
            """)

    @OptionGroup var globals: GlobalOptions

    func run() throws {
        let path = try globals.databasePath()
        try Database.create(at: path)
        if globals.json {
            try Console.print(
                JSONObject([
                    ("database", .string(path)),
                    ("format_version", .int(Int64(try Database(path: path).formatVersion))),
                ]).text)
        } else if !globals.quiet {
            try Console.print("made the database \(path)")
        }
    }
}

struct CreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a table.",
        discussion: """
            A layer is a vector column: its name, its dimensions, and how it is stored (f32, f16, \
            bf16, int8, int4 or bit, or several of them; int8 by default). A field is a metadata \
            column: string, int, float or bool.

            Examples:
              gradctl create alpaca --layer grad:65536:int8 --field source:string \\
                --field tokens:int
              gradctl create tokens --unit token --layer attn:4096:f16 \\
                --layer mlp:8192:int8+bit
              gradctl create alpaca --layer grad:65536 \\
                --projector sketch,seed=7,normalise=tensor
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(
        name: .customLong("layer"),
        help: ArgumentHelp("A vector column.", valueName: "name:dims[:codec[+codec]]"))
    var layers: [String] = []

    @Option(
        name: .customLong("projector"),
        help: ArgumentHelp(
            "What makes a layer's vectors of raw gradients; dims are the layer's.",
            valueName: "[layer=]spec"))
    var projectors: [String] = []

    @Option(
        name: .customLong("field"), help: ArgumentHelp("A metadata column.", valueName: "name:type")
    )
    var fields: [String] = []

    @Option(help: "What a row is: example or token.") var unit = "example"

    @Option(name: .customLong("row-group"), help: "Most rows in a row group.")
    var rowGroup = 1024

    func run() throws {
        var schema = TableSchema(
            name: table, layers: try layers.map(Self.layer), fields: try fields.map(Self.field))
        try addProjectors(to: &schema)
        guard let unit = RowUnit(rawValue: unit) else {
            throw GradDBError(.usage, "--unit is example or token, not '\(self.unit)'")
        }
        schema.unit = unit
        schema.rowsPerGroup = rowGroup
        let path = try globals.databasePath()
        let made = try DatabaseWriter(path: path).createTable(schema)
        if globals.json {
            try Console.print(made.schemaJSON.text)
        } else if !globals.quiet {
            try Console.print("made the table \(made.name)")
        }
    }

    private static func layer(_ text: String) throws -> TableSchema.LayerSchema {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 || parts.count == 3, let dims = Int(parts[1]) else {
            throw GradDBError(
                .usage, "--layer takes NAME:DIMS[:CODEC], such as grad:65536:int8, not '\(text)'")
        }
        let codecs = try (parts.count == 3 ? parts[2] : "int8")
            .split(separator: "+", omittingEmptySubsequences: false)
            .map { try CodecKind(named: String($0)) }
        return TableSchema.LayerSchema(name: parts[0], dims: dims, codecs: codecs)
    }

    private func addProjectors(to schema: inout TableSchema) throws {
        for text in projectors {
            // The kind comes first in a specification, and has no "=".
            let head = text.prefix { $0 != "," }
            let name = head.lastIndex(of: "=").map { String(head[..<$0]) }
            let specification = name.map { String(text.dropFirst($0.count + 1)) } ?? text
            guard name != nil || schema.layers.count == 1 else {
                throw GradDBError(
                    .usage,
                    "the table has several layers; say whose projector it is: "
                        + "--projector \(schema.layers[0].name)=\(text)")
            }
            guard let index = schema.layers.firstIndex(where: { $0.name == name ?? $0.name }) else {
                throw GradDBError(.usage, "--projector \(text): there is no layer '\(name ?? "")'")
            }
            guard schema.layers[index].projector == nil else {
                throw GradDBError(
                    .usage, "layer '\(schema.layers[index].name)' has two projectors; name one")
            }
            schema.layers[index].projector = try ProjectorDocument(
                specification: specification, dims: schema.layers[index].dims)
        }
    }

    private static func field(_ text: String) throws -> Field {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let known = FieldType.allCases.map(\.rawValue).joined(separator: ", ")
        guard parts.count == 2 else {
            throw GradDBError(
                .usage, "--field takes NAME:TYPE, such as source:string, not '\(text)'")
        }
        guard let type = FieldType(rawValue: parts[1]) else {
            throw GradDBError(.usage, "there is no field type '\(parts[1])'; there are \(known)")
        }
        return Field(name: parts[0], type: type)
    }
}

extension Table {
    /// A layer as `create` takes it.
    func summary(of layer: Layer) -> String {
        let codecs = self.codecs(of: layer).map(\.rawValue).joined(separator: "+")
        return "\(layer.name):\(layer.dims):\(codecs)"
    }
}
