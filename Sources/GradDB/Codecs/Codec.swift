// What a codec is. One file per codec implements this; `CodecKind` is the list of them.
//
// A codec turns a row of floats into `rowBytes` bytes plus its statistics, and scores encoded rows
// against encoded queries slab by slab. What a score *is* for a codec, is normative:
// format-spec/codecs.md.

/// The codecs by name (in schemas) and number (in block headers).
/// In the order of `allCases`, the finest first, a smaller one is a finer one.
public enum CodecKind: String, Codable, Sendable, CaseIterable, Comparable {
    case f32, f16, bf16, int8, int4, bit

    public static func < (left: CodecKind, right: CodecKind) -> Bool { left.number < right.number }

    package var number: UInt16 {
        switch self {
        case .f32: 1
        case .f16: 2
        case .bf16: 3
        case .int8: 4
        case .int4: 5
        case .bit: 6
        }
    }

    /// The codec of that name.
    ///
    /// - Throws: `.usage`, with the names that there are.
    package init(named name: String) throws {
        guard let codec = CodecKind(rawValue: name) else {
            let known = CodecKind.allCases.map(\.rawValue).joined(separator: ", ")
            throw GradDBError.usage("there is no codec '\(name)'; there are \(known)")
        }
        self = codec
    }

    /// The fewest dims of a layer with this codec: below them it says nothing useful.
    package var minDims: Int {
        switch self {
        case .f32, .f16, .bf16, .int8: 1
        case .int4: 2
        case .bit: 8
        }
    }

    /// The codec for a layer. `seed` matters only to codecs that rotate.
    package func codec(dims: Int, seed: UInt64, kernels: KernelSet) -> any Codec {
        switch self {
        case .f32: FloatCodec(dims: dims, kernels: kernels)
        case .f16: HalfCodec(.f16, dims: dims, kernels: kernels)
        case .bf16: HalfCodec(.bf16, dims: dims, kernels: kernels)
        case .int8: Int8Codec(dims: dims, seed: seed, kernels: kernels)
        case .int4: Int4Codec(dims: dims, seed: seed, kernels: kernels)
        case .bit: BitCodec(dims: dims, seed: seed, kernels: kernels)
        }
    }
}

/// What is kept of a row in a layer beside its bytes.
package struct RowStatistics: Equatable, Sendable {
    /// What a stored integer is multiplied with; 1 for float codecs.
    package var scale: Float
    /// Norm of what quantisation changed, for int4 and bit; else 0.
    package var residualNorm: Float
    /// Sum of squares in double: of the decoded row, for int4 and bit of the row before.
    package var squaredNorm: Double

    package init(scale: Float, residualNorm: Float = 0, squaredNorm: Double) {
        self.scale = scale
        self.residualNorm = residualNorm
        self.squaredNorm = squaredNorm
    }

    static let zero = RowStatistics(scale: 0, squaredNorm: 0)
}

/// Why a row cannot be encoded; the ingest adds file, layer and row id.
package struct EncodingFailure: Error {
    package var reason: String
}

/// A query vector in the form that a codec's kernels take.
package struct EncodedQuery: Sendable {
    /// Elements as the codec's kernels want them.
    package var elements: AlignedBytes
    /// The elements of an integer query in natural order, one byte each.
    package var integers: AlignedBytes?
    /// Sums of the elements of an integer query, by slab.
    package let slabSums: [Int32]

    /// The norm of what is scored. That of a stored row of few levels exceeds the row's own.
    var decodedNorm: Double {
        guard let integers else { return squaredNorm.squareRoot() }
        let squares = integers.contents.reduce(Int64(0)) {
            $0 + Int64(Int8(bitPattern: $1)) * Int64(Int8(bitPattern: $1))
        }
        return Double(scale) * Double(squares).squareRoot()
    }

    /// The sum of the elements in the first `slabs` slabs.
    func elementSum(slabs: Int) -> Int64 { slabSums.prefix(slabs).reduce(0) { $0 + Int64($1) } }
    package var scale: Float
    package var squaredNorm: Double
    /// qᵀH⁻¹q, where this is the H⁻¹q of a preconditioner: cosine divides by it.
    package var preconditionedSquaredNorm: Double?

    init(
        elements: AlignedBytes, integers: AlignedBytes?, slabSums: [Int32], scale: Float,
        squaredNorm: Double
    ) {
        self.elements = elements
        self.integers = integers
        self.slabSums = slabSums
        self.scale = scale
        self.squaredNorm = squaredNorm
    }
}

/// How one layer's rows are encoded in one codec. Thread-safe: all state is constant.
package protocol Codec: Sendable {
    var dims: Int { get }
    var bitsPerElement: Int { get }

    /// Encodes a row. `row` holds finite floats and may be overwritten as scratch space;
    /// `target` takes `rowBytes` bytes.
    func encode(
        _ row: UnsafeMutableBufferPointer<Float>, into target: UnsafeMutableRawBufferPointer
    ) throws(EncodingFailure) -> RowStatistics

    /// The inverse as far as there is one, in the basis of the original vector.
    func decode(
        _ bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>)

    /// Encodes a query given as `dims` finite floats.
    func encodeQuery(_ query: [Float]) throws(EncodingFailure) -> EncodedQuery

    /// Makes a query of a stored row, without re-encoding where that is exact.
    func query(fromRow bytes: [UInt8], _ statistics: RowStatistics) -> EncodedQuery

    /// Adds to `sums[r]` what row r's slab and the query's same slab contribute. The rows of
    /// `chunk` follow each other without gaps.
    func accumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>)

    /// The same, and the chunk's checksum, in one pass over memory. Where the checksum is not the
    /// stored one, what was added means nothing.
    func hashAndAccumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64

    /// The kernels that score several queries at once; nil where one after the other is as well.
    var batchKernels: BatchKernels? { get }

    /// As `accumulate`, in single precision. Only for codecs that `canEstimate`.
    func estimate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>)

    /// As `hashAndAccumulate`, in single precision: faster, with a bound on the error. Only for
    /// codecs that `canEstimate`.
    func hashAndEstimate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64

    /// Writes the elements of slab `slab` of so many rows as floats: for products of matrices in
    /// single precision. Only where `isFloat`.
    func widen(
        _ chunk: UnsafeRawBufferPointer, count: Int, into target: UnsafeMutablePointer<Float>)

    /// Whether one query is scored faster in single precision.
    var canEstimate: Bool { get }
    /// Whether stored elements are floats, so that several queries are a product of matrices.
    var isFloat: Bool { get }

    /// How what the first `slabs` slabs added up becomes the dot product; of fewer slabs than there
    /// are, an estimate of it.
    func term(of query: EncodedQuery, slabs: Int) -> ScoreTerm
}

/// Eight bytes that hold the running sum of a row and query: an exact integer or a double.
package struct Accumulator: Sendable {
    package var bits: UInt64 = 0

    package init() {}
    package var integer: Int64 { Int64(bitPattern: bits) }
    package var double: Double { Double(bitPattern: bits) }
}

extension UnsafeMutablePointer<Accumulator> {
    var integers: UnsafeMutablePointer<Int64> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: Int64.self)
    }
    var doubles: UnsafeMutablePointer<Double> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: Double.self)
    }
}

extension Codec {
    package var batchKernels: BatchKernels? { nil }
    package var canEstimate: Bool { false }
    package var isFloat: Bool { false }

    package func estimate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        accumulate(chunk, rowCount: rowCount, slab: slab, query: query, into: sums)
    }

    package func hashAndEstimate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        hashAndAccumulate(chunk, rowCount: rowCount, slab: slab, query: query, into: sums)
    }

    package func widen(
        _ chunk: UnsafeRawBufferPointer, count: Int, into target: UnsafeMutablePointer<Float>
    ) {}

    package var rowBytes: Int { (dims * bitsPerElement + 7) / 8 }
    package var geometry: SlabGeometry { SlabGeometry(rowBytes: rowBytes) }
    private var dimsPerSlab: Int { SlabGeometry.slabBytes * 8 / bitsPerElement }
    /// Dims of one row in slab `slab`.
    package func dims(ofSlab slab: Int) -> Int { min(dimsPerSlab, dims - firstDim(ofSlab: slab)) }
    package func firstDim(ofSlab slab: Int) -> Int { slab * dimsPerSlab }
    /// The share of the dims that lie in the first `slabs` slabs.
    package func share(ofSlabs slabs: Int) -> Double {
        Double(firstDim(ofSlab: slabs - 1) + dims(ofSlab: slabs - 1)) / Double(dims)
    }
}
