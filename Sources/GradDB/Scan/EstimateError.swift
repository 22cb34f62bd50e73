// How far an estimate of a layer's dot product may be from its score (format-spec/codecs.md,
// Estimates).
//
// Single precision has a bound that always holds. A prefix of slabs, or a coarser codec, has a
// standard deviation: the rotation makes coordinates exchangeable, so that a prefix is a sample of
// them, and a coarser codec's quantisation error is unbiased with a norm that is stored.

/// The error of one column against one query.
package enum EstimateError: Sendable {
    case none
    /// At most `factor` · ‖x‖ + `least`.
    case bounded(factor: Double, least: Double)
    /// Variance: `norm` · ‖x‖² + `residual` · (r² + `scale` · s²) + `dot` · d², where r is the
    /// row's residual norm, s its scale and d the estimate.
    /// Where r²/‖x‖² is outside `usual`, the error need not be random: then its variance is taken to
    /// be what bounds its square, `most` · r².
    case random(
        norm: Double, residual: Double, scale: Double, dot: Double,
        usual: ClosedRange<Double> = 0...(.infinity), most: Double = 0)

    var isRandom: Bool {
        if case .random = self { return true }
        return false
    }

    init(_ column: ScanColumn, codec: any Codec, query: EncodedQuery) {
        let dims = Double(codec.dims)
        let all = codec.geometry.slabCount
        if column.slabs == all, column.encoding.codec == column.target {
            guard column.isSinglePrecision else {
                self = .none
                return
            }
            // Rounding grows with the longest sum, which is a slab's.
            let longest = Double(codec.dims(ofSlab: 0)) + 2
            self = .bounded(
                factor: longest * 0x1p-24 * query.squaredNorm.squareRoot(), least: dims * 0x1p-149)
            return
        }
        let fraction = codec.share(ofSlabs: column.slabs)
        // Coordinates that are alike: of dims that are no power of two, a row's power may lie in
        // the span of one of the two transforms.
        let alike = Double(Rotation.span(codec.dims))
        let sampling = (1 / fraction - 1) / alike
        let isLevels = codec is any LevelCodec
        // int8 stores no residual norm: a coordinate's error is uniform over one step.
        let scale = column.encoding.codec == .int8 ? dims / 12 : 0
        let power = query.squaredNorm
        if column.encoding.codec == column.target {
            // A sample of the very sum that defines the score.
            self = .random(
                norm: sampling * power, residual: isLevels ? sampling * power : 0, scale: 0,
                dot: sampling)
            return
        }
        let queryNoise = Double(query.scale) * Double(query.scale) / (12 * fraction)
        let targetNoise = column.target.relativeResidual * column.target.relativeResidual / alike
        self = .random(
            norm: power * (sampling + targetNoise) + queryNoise,
            residual: power / (fraction * alike) + queryNoise, scale: scale, dot: sampling,
            usual: column.encoding.codec == .bit ? Self.residualOfBits(dims) : 0...(.infinity),
            most: power)
    }

    /// Where r²/‖x‖² of signs lies for Gaussian coordinates. The rotation spreads a row's one large
    /// element over all coordinates at one magnitude: their signs then say nothing of the others.
    private static func residualOfBits(_ dims: Double) -> ClosedRange<Double> {
        // Eight standard deviations of (n / d)² · Σ v² - 1, where d is the sum of magnitudes.
        let spread = 8 * 2.37 / dims.squareRoot()
        return Double.pi / 2 - 1 - spread...Double.pi / 2 - 1 + spread
    }

    /// Adds to `errors[r]` the bound, or, if `asVariance`, the variance of row r's estimate.
    func add(
        rows: [RowStatistics], dots: UnsafePointer<Double>, asVariance: Bool,
        to errors: UnsafeMutablePointer<Double>
    ) {
        switch self {
        case .none: break
        case .bounded(let factor, let least):
            for row in rows.indices {
                let bound = factor * rows[row].squaredNorm.squareRoot() + least
                errors[row] += asVariance ? bound * bound : bound
            }
        case .random(let norm, let residual, let scale, let dot, let usual, let most):
            for row in rows.indices {
                let statistics = rows[row]
                let ofScale = Double(statistics.scale) * Double(statistics.scale) * scale
                let ofResidual = Double(statistics.residualNorm) * Double(statistics.residualNorm)
                errors[row] +=
                    norm * statistics.squaredNorm + residual * (ofResidual + ofScale)
                    + dot * dots[row] * dots[row]
                if !usual.contains(ofResidual / statistics.squaredNorm) {
                    errors[row] += most * ofResidual
                }
            }
        }
    }
}

extension CodecKind {
    /// The norm of what quantisation changes, relative to a row's, of Gaussian coordinates.
    package var relativeResidual: Double {
        switch self {
        case .f32, .f16, .bf16: 0
        case .int8: 0.016
        case .int4: 0.108
        case .bit: 0.756
        }
    }
}
