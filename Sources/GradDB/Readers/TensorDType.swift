// The element types that a tensor file may declare, under their safetensors names, and the three
// of them that the engine takes as gradients.

/// The declared element type of a stored tensor. Other layers of one file may hold any of these;
/// only those with a `vectorElement` can be read as vectors.
package enum TensorDType: String, Sendable, CaseIterable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"

    case bool = "BOOL"
    case f4 = "F4"
    case f6e2m3 = "F6_E2M3"
    case f6e3m2 = "F6_E3M2"
    case u8 = "U8"
    case i8 = "I8"
    case f8e5m2 = "F8_E5M2"
    case f8e4m3 = "F8_E4M3"
    case f8e8m0 = "F8_E8M0"
    case f8e4m3fnuz = "F8_E4M3FNUZ"
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    case i16 = "I16"
    case u16 = "U16"
    case i32 = "I32"
    case u32 = "U32"
    case c64 = "C64"
    case f64 = "F64"
    case i64 = "I64"
    case u64 = "U64"

    /// Bits of one element; a tensor's bits are always whole bytes, its elements need not be.
    package var bitsPerElement: Int {
        switch self {
        case .f4: 4
        case .f6e2m3, .f6e3m2: 6
        case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .c64, .f64, .i64, .u64: 64
        }
    }

    /// What the engine reads this type as; nil where it does not.
    package var vectorElement: VectorElement? {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        default: nil
        }
    }

    /// Bytes of a tensor of this type and shape; nil where that overflows or is not whole bytes.
    func byteCount(shape: [Int]) -> Int? {
        var elements = 1
        for extent in shape {
            let (product, overflow) = elements.multipliedReportingOverflow(by: extent)
            if overflow { return nil }
            elements = product
        }
        // Whole bytes first, so that a large tensor does not overflow merely by being counted in
        // bits.
        if bitsPerElement.isMultiple(of: 8) {
            let (bytes, overflow) = elements.multipliedReportingOverflow(by: bitsPerElement / 8)
            return overflow ? nil : bytes
        }
        let (bits, overflow) = elements.multipliedReportingOverflow(by: bitsPerElement)
        return overflow || !bits.isMultiple(of: 8) ? nil : bits / 8
    }
}

/// The element types in which gradients arrive. All little-endian.
package enum VectorElement: Sendable, CaseIterable {
    case f32, f16, bf16

    package var byteCount: Int {
        switch self {
        case .f32: 4
        case .f16, .bf16: 2
        }
    }
}
