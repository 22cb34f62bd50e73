// graddb_parameter: what the names of a statement stand for.

import CGradDB
import GradDB
import GradDBQuery

extension QueryOptions {
    /// Binds names to vectors in memory, or to files.
    mutating func bind(_ parameters: UnsafeBufferPointer<graddb_parameter>) throws {
        for parameter in parameters {
            let name = try text(parameter.name, "name of a parameter")
            guard self.parameters[name] == nil, vectors[name] == nil else {
                throw GradDBError(.usage, "$\(name) is bound twice")
            }
            if let file = try optionalText(parameter.file, "file of $\(name)") {
                self.parameters[name] = file
                continue
            }
            let tensors = try elements(
                parameter.tensors, parameter.tensor_count, "tensors of $\(name)")
            guard !tensors.isEmpty else {
                throw GradDBError(
                    .badInput, "$\(name) has neither a file nor tensors; give one for each layer")
            }
            let projectors = try optionalText(parameter.projectors, "projectors of $\(name)").map {
                try options([String: ProjectorDocument].self, $0, "projectors object")
            }
            vectors[name] = try batch(tensors, "$\(name)", projectors: projectors ?? [:])
        }
    }
}
