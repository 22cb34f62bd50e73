// Opening a file of either format, told apart by its first bytes and not by its name.

import SystemPackage

extension TensorFile {
    /// Opens a safetensors or .npy file. `npyTensor` is what to call the one tensor of the latter;
    /// where it is nil, .npy files are refused. Throws `badInput` where the file is missing,
    /// unreadable, malformed, or neither.
    package init(_ path: String, npyTensor: String?) throws(GradDBError) {
        try self.init(FilePath(path), npyTensor: npyTensor)
    }

    init(_ path: FilePath, npyTensor: String?) throws(GradDBError) {
        let name = path.string
        let bytes = try FileBytes.open(path)
        // Enough for the magic of one and the length and first byte of the header of the other.
        let start = try bytes.header(0..<min(9, bytes.byteCount), of: name)
        if start.starts(with: Self.npyMagic) {
            guard let npyTensor else {
                throw .badInput(
                    "\(name): an .npy file holds one array without a name, and the table has "
                        + "several layers; use safetensors with one tensor for each layer")
            }
            try self.init(npy: bytes, name: name, tensor: npyTensor)
        } else if path.extension == "npy" {
            try self.init(npy: bytes, name: name, tensor: npyTensor ?? "array")
        } else if path.extension == "safetensors" || start.last == UInt8(ascii: "{") {
            try self.init(safetensors: bytes, name: name)
        } else {
            throw .badInput(
                "\(name): neither safetensors nor .npy by its first bytes; convert it to one of "
                    + "them, in PyTorch with safetensors.torch.save_file")
        }
    }
}
