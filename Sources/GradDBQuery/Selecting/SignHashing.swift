// Signatures of rows: on which sides of random hyperplanes they lie (Charikar, Similarity estimation
// techniques from rounding algorithms, STOC 2002). A random hyperplane separates two vectors with
// probability angle / π.
//
// A hyperplane's normal is a row of a random rotation: signs, then a Walsh–Hadamard transform, three
// times (Ailon and Chazelle, STOC 2006; Andoni and others, NeurIPS 2015). Long rows are first summed
// into 4,096 buckets with random signs, in a basis in which no few elements outweigh the others; that
// changes the cosine c of two rows by about (1 − c²)/64. What a hyperplane says of a row is a
// Gaussian number whose variance is the row's squared norm; over several layers such numbers add up,
// so that the sum is that of one hyperplane over all layers together.

import GradDB

struct SignHashing: Sendable {
    let bits: Int
    private let layers: [LayerHashing]
    private let kernels: KernelSet
    private let longest: Int

    /// Words of a signature.
    var words: Int { (bits + 63) / 64 }

    /// - Parameter seed: other seeds give independent hyperplanes.
    init(bits: Int, columns: [ScanColumn], seed: UInt64) throws {
        self.bits = bits
        kernels = try KernelSet.chosen()
        layers = try columns.map { column in
            let kind = column.encoding.codec
            return LayerHashing(
                dims: column.layer.dims, isRotated: kind >= .int8, bits: bits,
                seed: SplitMix64.mix(
                    SplitMix64.mix(seed &+ UInt64(column.layer.number))
                        ^ (try column.layer.seedValue)))
        }
        longest = columns.map(\.layer.dims).max() ?? 1
    }

    /// Space for one thread.
    final class Scratch {
        fileprivate var row: [Float]
        fileprivate var folded = [Float](repeating: 0, count: LayerHashing.mostBuckets)
        fileprivate var sums: [Float]

        init(_ hashing: SignHashing) {
            row = [Float](repeating: 0, count: hashing.longest)
            sums = [Float](repeating: 0, count: hashing.bits)
        }
    }

    /// Writes the signature of one of some copied rows.
    ///
    /// - Parameter norm: over all columns, above 0.
    func write(
        _ index: Int, of columns: [EncodedRows], norm: Double, _ scratch: Scratch,
        into signature: UnsafeMutableBufferPointer<UInt64>
    ) {
        scratch.sums.withUnsafeMutableBufferPointer { sums in
            sums.update(repeating: 0)
            for (layer, rows) in zip(layers, columns) {
                scratch.row.withUnsafeMutableBufferPointer { row in
                    let row = UnsafeMutableBufferPointer(rebasing: row[..<layer.dims])
                    rows.decode(index, into: row)
                    // So that no number is too large, or too small, for single precision.
                    let factor = 1 / norm
                    for i in row.indices { row[i] = Float(Double(row[i]) * factor) }
                    scratch.folded.withUnsafeMutableBufferPointer { folded in
                        layer.add(row, folded: folded, to: sums, kernels)
                    }
                }
            }
            signature.update(repeating: 0)
            for bit in 0..<bits where sums[bit] < 0 {
                signature[bit / 64] |= 1 << UInt64(bit % 64)
            }
        }
    }
}

/// The hyperplanes of one layer.
private struct LayerHashing: Sendable {
    static let mostBuckets = 4096
    /// Fewer would not make a Gaussian number.
    private static let fewestBuckets = 256

    let dims: Int
    private let buckets: Int
    private let parts: [Part]
    /// Applied before the sums: for rows that are not rotated as they are stored.
    private let spread: Rotation?

    /// As many hyperplanes as there are buckets.
    private struct Part: Sendable {
        /// By element, 1 or -1; empty where every element has a bucket of its own.
        let signs: [Float]
        let rotations: [Rotation]
    }

    init(dims: Int, isRotated: Bool, bits: Int, seed: UInt64) {
        self.dims = dims
        var buckets = Self.fewestBuckets
        while buckets < min(dims, Self.mostBuckets) { buckets *= 2 }
        self.buckets = buckets
        let isFolded = dims > buckets
        var random = SplitMix64(state: seed)
        spread = isFolded && !isRotated ? Rotation(dims: dims, seed: random.next()) : nil
        parts = (0..<max(1, (bits + buckets - 1) / buckets)).map { _ in
            Part(
                signs: isFolded
                    ? (0..<dims).map { _ in random.next() >> 63 == 0 ? 1 : -1 } : [],
                rotations: (0..<3).map { _ in Rotation(dims: buckets, seed: random.next()) })
        }
    }

    /// Adds what each hyperplane says of the row to `sums`. `row` and `folded` are scratch space.
    func add(
        _ row: UnsafeMutableBufferPointer<Float>, folded: UnsafeMutableBufferPointer<Float>,
        to sums: UnsafeMutableBufferPointer<Float>, _ kernels: KernelSet
    ) {
        guard let z = folded.baseAddress, let y = row.baseAddress else { return }
        spread?.apply(y, kernels: kernels)
        let scale = Float(buckets).squareRoot()
        for (number, part) in parts.enumerated() {
            for j in 0..<buckets { z[j] = 0 }
            if part.signs.isEmpty {
                for i in 0..<dims { z[i] = y[i] }
            } else {
                part.signs.withUnsafeBufferPointer { signs in
                    var first = 0
                    while first < dims {
                        for j in 0..<min(buckets, dims - first) {
                            z[j] += signs[first + j] * y[first + j]
                        }
                        first += buckets
                    }
                }
            }
            for rotation in part.rotations { rotation.apply(z, kernels: kernels) }
            let first = number * buckets
            for j in 0..<min(buckets, sums.count - first) { sums[first + j] += scale * z[j] }
        }
    }
}
