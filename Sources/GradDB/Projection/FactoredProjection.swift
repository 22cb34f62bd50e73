// The gradient of a linear layer's weight, projected from both sides without being formed (LoGra;
// Choe et al. 2024, arXiv 2405.13954).

struct FactoredProjection: Sendable {
    let modules: [FactoredModule]
    private let outputRank: Int
    private let inputRank: Int
    private let normalises: Bool
    /// Of each module: the streams of its grad_output and of its input.
    private let keys: [(output: UInt64, input: UInt64)]
    private let kernels: KernelSet

    init(_ document: ProjectorDocument, _ tensors: [ProjectorDocument.Tensor], _ kernels: KernelSet)
        throws
    {
        let modules = try FactoredModule.modules(of: tensors)
        self.modules = modules
        let rank = document.rank ?? [1, document.dims]
        outputRank = rank[0]
        inputRank = rank[1]
        normalises = document.normalise == .tensor
        self.kernels = kernels
        keys = modules.map { module in
            func key(_ tensor: String) -> UInt64 {
                RandomWords.key(seed: document.seed, tensor: tensor, 0, kernels)
            }
            return (key(module.gradientName), key(module.inputName))
        }
    }

    /// Adds a module's result to `sums`, which begin with 0, and returns what it is to be
    /// multiplied by.
    ///
    /// - Parameters:
    ///   - output: `positions` x the module's output dims, finite.
    ///   - input: as many positions of its input dims.
    func add(
        module index: Int, positions: Int, output: UnsafePointer<Float>,
        input: UnsafePointer<Float>, to sums: UnsafeMutablePointer<Float>
    ) -> Float {
        let module = modules[index]
        var left = [Float](repeating: 0, count: outputRank)
        var right = [Float](repeating: 0, count: inputRank)
        for position in 0..<positions {
            let gradient = output + position * module.outputDims
            let activation = input + position * module.inputDims
            project(gradient, module.outputDims, keys[index].output, &left)
            // What is padded is zero on both sides, and one zero is enough.
            guard left.contains(where: { $0 != 0 }) else { continue }
            project(activation, module.inputDims, keys[index].input, &right)
            for row in 0..<outputRank {
                kernels.table.add_scaled(right, inputRank, left[row], sums + row * inputRank)
            }
        }
        guard normalises else { return 1 }
        let square = squaredLength(module, positions, output, input)
        return square > 0 ? Float(1 / square.squareRoot()) : 0
    }

    private func project(
        _ x: UnsafePointer<Float>, _ count: Int, _ key: UInt64, _ result: inout [Float]
    ) {
        let rank = result.count
        result.withUnsafeMutableBufferPointer { sums in
            sums.update(repeating: 0)
            kernels.table.add_signed(x, count, 0, key, rank, sums.baseAddress)
            let factor = Float(1 / Double(rank).squareRoot())
            for k in sums.indices { sums[k] *= factor }
        }
    }

    /// Of the gradient: the sum over pairs of positions of both dot products, multiplied.
    private func squaredLength(
        _ module: FactoredModule, _ positions: Int, _ output: UnsafePointer<Float>,
        _ input: UnsafePointer<Float>
    ) -> Double {
        var sum = 0.0
        for position in 0..<positions {
            func products(_ x: UnsafePointer<Float>, _ dims: Int) -> [Double] {
                var products = [Double](repeating: 0, count: position + 1)
                kernels.table.dot_f32(
                    x, position + 1, dims * 4, dims, x + position * dims, &products)
                return products
            }
            let outputs = products(output, module.outputDims)
            guard outputs.contains(where: { $0 != 0 }) else { continue }
            let inputs = products(input, module.inputDims)
            for other in 0..<position { sum += 2 * outputs[other] * inputs[other] }
            sum += outputs[position] * inputs[position]
        }
        return sum
    }
}

extension FactoredModule {
    var inputName: String { name + Self.inputSuffix }
    var gradientName: String { name + Self.gradientSuffix }
}
