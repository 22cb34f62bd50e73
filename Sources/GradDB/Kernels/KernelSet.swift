// The C kernels behind a Swift face. Chosen once per process: the fastest that this processor and
// operating system run, or what GRADDB_FORCE_KERNEL names.

import CGradKernels

#if canImport(Glibc)
    import Glibc
#endif

/// One variant of the kernels (they all give the same bits).
package struct KernelSet: @unchecked Sendable {  // points to a constant table
    package let table: gk_kernels
    package let name: String

    private init(_ table: gk_kernels) {
        self.table = table
        name = String(cString: table.name)
    }

    /// Every variant that runs here.
    package static let supported: [KernelSet] = (0..<UInt32(GK_VARIANT_COUNT)).compactMap {
        gk_kernels_for(gk_variant($0)).map { KernelSet($0.pointee) }
    }

    /// The variant that this process uses.
    ///
    /// - Throws: `.usage` when GRADDB_FORCE_KERNEL names one that does not exist or run here.
    package static func chosen() throws -> KernelSet { try choice.get() }

    private static let choice: Result<KernelSet, GradDBError> = {
        guard let forced = getenv("GRADDB_FORCE_KERNEL").map({ String(cString: $0) }),
            !forced.isEmpty
        else {
            guard let best = supported.last else {
                return .failure(GradDBError(.failed, "no kernels run on this machine"))
            }
            return .success(best)
        }
        guard let match = supported.first(where: { $0.name == forced }) else {
            let names = supported.map(\.name).joined(separator: ", ")
            return .failure(
                .usage(
                    "GRADDB_FORCE_KERNEL is '\(forced)', but this machine runs only: \(names)"))
        }
        return .success(match)
    }()

    package func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        table.hash(bytes.baseAddress, bytes.count)
    }
}
