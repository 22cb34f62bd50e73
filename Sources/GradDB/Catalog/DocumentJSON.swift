// How documents are written as JSON: snake_case keys in ascending order, no white space.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

package enum DocumentJSON {
    package static func encode(_ document: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(document))
    }

    /// - Parameter what: what errors call it.
    /// - Throws: `.corrupt`.
    package static func decode<D: Decodable>(
        _ bytes: UnsafeRawBufferPointer, as type: D.Type = D.self, what: @autoclosure () -> String
    ) throws -> D {
        if let type = type as? any ScannedDocument.Type {
            var scanner = DocumentScanner(bytes)
            if let document = type.init(scanning: &scanner) as? D, scanner.isAtEnd {
                return document
            }
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(D.self, from: Data(bytes))
        } catch {
            throw GradDBError.corrupt("\(what()) is malformed: \(error)")
        }
    }
}
