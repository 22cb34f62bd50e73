// Pieces of JSON text through JSONDecoder.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Decodes pieces of one document; keeps the decoder, whose making costs more than a small decode.
struct JSONText {
    private let decoder = JSONDecoder()

    /// The value of `text`, which may be any JSON value; nil where it is not JSON or no `Value`.
    func decode<Value: Decodable>(_: Value.Type, _ text: Span<UInt8>) -> Value? {
        try? decoder.decode(Value.self, from: JSONText.data(text))
    }

    func decode<Value: DecodableWithConfiguration>(
        _: Value.Type, _ text: Span<UInt8>, configuration: Value.DecodingConfiguration
    ) -> Value? {
        try? decoder.decode(
            Value.self, from: JSONText.data(text), configuration: configuration)
    }

    private static func data(_ text: Span<UInt8>) -> Data {
        text.withUnsafeBufferPointer { Data(buffer: $0) }
    }

    /// Whether bytes are UTF-8 without NUL. JSONDecoder would take text with NULs for UTF-16, and
    /// then see another document than we do.
    static func isPlainUTF8(_ text: Span<UInt8>) -> Bool {
        guard (try? UTF8Span(validating: text)) != nil else { return false }
        return text.withUnsafeBufferPointer { !$0.contains(0) }
    }
}

/// A key that is whatever the document says.
struct JSONKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
