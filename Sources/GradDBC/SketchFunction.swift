// graddb.h, "projectors": adding to sketches.

// swift-format-ignore-file: AlwaysUseLowerCamelCase
// (the names are those of graddb.h)

import CGradDB
import GradDB

@c @implementation
public func graddb_sketch_add(
    _ seed: UInt64, _ tensor: UnsafePointer<CChar>!, _ dims: Int64,
    _ elements: UnsafePointer<Float>!, _ rows: Int64, _ count: Int64, _ stride: Int64,
    _ sums: UnsafeMutablePointer<Float>!, _ sumsStride: Int64, _ error: ErrorTarget
) -> Int32 {
    status(error) {
        let tensor = try text(tensor, "tensor's name")
        guard rows <= 0 || (elements != nil && sums != nil) else {
            throw GradDBError(.badInput, "there are no elements, or no sums")
        }
        guard rows > 0 else { return }
        try SketchSums.add(
            seed: seed, tensor: tensor, dims: Int(dims), elements: elements, rows: Int(rows),
            count: Int(count), stride: Int(stride), to: sums, sumsStride: Int(sumsStride))
    }
}
