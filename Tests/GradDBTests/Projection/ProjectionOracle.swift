// Projectors by their definitions, in double precision and element by element; what hashes names is
// the C kernel, which has tests of its own.

import GradDB

enum ProjectionOracle {
    static let gamma: UInt64 = 0x9E37_79B9_7F4A_7C15

    static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z ^= z >> 30
        z = z &* 0xBF58_476D_1CE4_E5B9
        z ^= z >> 27
        z = z &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    static func word(_ key: UInt64, _ j: UInt64) -> UInt64 { mix(key &+ (j &+ 1) &* gamma) }

    static func key(_ seed: UInt64, _ name: String, _ i: UInt64) -> UInt64 {
        let hash = Array(name.utf8).withUnsafeBytes { KernelSet.supported[0].hash($0) }
        return word(mix(seed ^ hash), i)
    }

    static func sketch(_ x: [Float], _ name: String, _ seed: UInt64, _ dims: Int) -> [Double] {
        var result = [Double](repeating: 0, count: dims)
        let units = UInt64(dims / 64)
        for (e, value) in x.enumerated() {
            let (u, i) = (UInt64(e / 64), UInt64(e % 64))
            let w = word(key(seed, name, 0), u)
            if x.count <= 1024 {
                let at = ((word(key(seed, name, 1), UInt64(e)) >> 32) * UInt64(dims)) >> 32
                result[Int(at)] += w >> i & 1 == 1 ? -Double(value) : Double(value)
                continue
            }
            let m = (w &* gamma) >> 58
            let b = ((word(key(seed, name, 1), u / units) >> 32) * units) >> 32
            let at = 64 * ((u % units + b) % units) + (i ^ m)
            result[Int(at)] += w >> i & 1 == 1 ? -Double(value) : Double(value)
        }
        return result
    }

    static func dense(_ x: [Float], _ name: String, _ seed: UInt64, _ dims: Int) -> [Double] {
        let blocks = UInt64((dims + 63) / 64)
        return (0..<dims).map { k in
            var sum = 0.0
            for (i, value) in x.enumerated() {
                let w = word(key(seed, name, 0), UInt64(i) * blocks + UInt64(k / 64))
                sum += w >> UInt64(k % 64) & 1 == 1 ? -Double(value) : Double(value)
            }
            return sum / Double(dims).squareRoot()
        }
    }

    /// A row, tensor by tensor, of the kinds `sketch` and `dense`.
    static func project(_ document: ProjectorDocument, _ row: [String: [Float]]) -> [Double] {
        var result = [Double](repeating: 0, count: document.dims)
        for (name, x) in row.sorted(by: { $0.key < $1.key }) {
            let part =
                document.kind == .sketch
                ? sketch(x, name, document.seed, document.dims)
                : dense(x, name, document.seed, document.dims)
            let square = x.reduce(0) { $0 + Double($1) * Double($1) }
            let scale =
                document.normalise == .none ? 1 : square > 0 ? 1 / square.squareRoot() : 0
            for k in result.indices { result[k] += scale * part[k] }
        }
        return result
    }

    /// The distance from what is expected, as a share of its length.
    static func error(_ vector: [Float], _ expected: [Double]) -> Double {
        let length = expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let distance = zip(vector, expected).reduce(0) {
            $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1)
        }.squareRoot()
        return distance / max(length, 1e-30)
    }
}
