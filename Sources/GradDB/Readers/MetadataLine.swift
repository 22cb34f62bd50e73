// One line of metadata through JSONDecoder: only the declared columns are decoded.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The columns to decode, and which of them the line at hand has; known before it is decoded.
struct MetadataLinePlan {
    var keys: [JSONKey]
    var types: [FieldType]
    var isPresent: [Bool]
}

/// The values of the columns of one line, or the first column whose value was refused.
struct MetadataLine: DecodableWithConfiguration {
    /// One for each column of the plan; nil where the plan says absent.
    var values: [FieldValue?] = []
    var refusedColumn: Int?

    init(from decoder: any Decoder, configuration plan: MetadataLinePlan) throws {
        let container = try decoder.container(keyedBy: JSONKey.self)
        values.reserveCapacity(plan.keys.count)
        for column in plan.keys.indices {
            guard plan.isPresent[column] else {
                values.append(nil)
                continue
            }
            let key = plan.keys[column]
            do {
                let value: FieldValue =
                    switch plan.types[column] {
                    case .string: .string(try container.decode(String.self, forKey: key))
                    case .int: .int(try container.decode(Int64.self, forKey: key))
                    case .float: .float(try container.decode(Double.self, forKey: key))
                    case .bool: .bool(try container.decode(Bool.self, forKey: key))
                    }
                values.append(value)
            } catch {
                refusedColumn = column
                return
            }
        }
    }
}
