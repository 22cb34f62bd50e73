// NVIDIA's driver, loaded when a GPU is asked for: a library that is installed with it, and that no
// program is linked with.

#if canImport(Glibc)
    import Glibc
#endif

/// The driver, initialised.
package final class CUDALibrary: Sendable {
    /// CUDA versions as the driver numbers them. What GradDB's kernels are written in (their PTX), and
    /// the functions that it calls, need this one.
    static let leastVersion = 12_020
    static let leastVersionText = text(ofVersion: leastVersion)

    let functions: CUDAFunctions
    let process = DeviceProcess()
    /// The newest CUDA that the driver takes: 12,040 for 12.4.
    package let version: Int

    /// The one of this machine, or what GRADDB_CUDA_LIBRARY names.
    ///
    /// - Throws: `.absent` where there is none that can be used.
    package static func standard() throws -> CUDALibrary { try loaded.get() }

    private static let loaded = Result<CUDALibrary, any Error> {
        try CUDALibrary(path: standardPath)
    }

    private static var standardPath: String {
        let named = getenv("GRADDB_CUDA_LIBRARY").map { String(cString: $0) } ?? ""
        return named.isEmpty ? "libcuda.so.1" : named
    }

    /// Whether there is a library of that name. Nothing in it is called: to start a driver takes longer
    /// than most scans.
    package static var mayBeThere: Bool { dlopen(standardPath, RTLD_LAZY | RTLD_LOCAL) != nil }

    /// - Throws: `.absent` where it is not there, is too old, or finds no GPU.
    package init(path: String) throws {
        guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            let reason = dlerror().map { String(cString: $0) } ?? path
            throw DeviceError(.absent, "there is no NVIDIA driver here: \(reason)")
        }
        functions = try CUDAFunctions(handle, path: path)
        var number: Int32 = 0
        let code = functions.driverVersion(&number)
        version = Int(number)
        try check(code, "asking the NVIDIA driver for its version")
        guard version >= Self.leastVersion else {
            throw DeviceError(
                .absent,
                "the NVIDIA driver is too old: it runs CUDA \(Self.text(ofVersion: version)), GradDB's "
                    + "kernels need \(Self.leastVersionText) or later")
        }
        try check(functions.initialize(0), "starting the NVIDIA driver", kind: .absent)
    }

    package static func text(ofVersion version: Int) -> String {
        "\(version / 1000).\(version % 1000 / 10)"
    }

    /// - Parameters:
    ///   - doing: what was called for, and on what: "allocating 12 bytes on NVIDIA H200 (GPU 0)".
    ///   - kind: of an error, where the code does not say.
    func check(
        _ code: CUDAResult, _ doing: @autoclosure () -> String, kind: DeviceError.Kind = .failed
    ) throws {
        guard code != 0 else { return }
        throw error(code, doing(), kind: kind)
    }

    func error(
        _ code: CUDAResult, _ doing: String, kind: DeviceError.Kind = .failed
    ) -> DeviceError {
        var name: UnsafePointer<CChar>?
        var text: UnsafePointer<CChar>?
        _ = functions.errorName(code, &name)
        _ = functions.errorText(code, &text)
        return DeviceError(
            CUDACode.kind(of: code) ?? kind,
            (name.map { String(cString: $0) } ?? "CUDA_ERROR") + " (\(code)): "
                + (text.map { String(cString: $0) } ?? "unknown error") + ", \(doing)")
    }
}

/// What the driver's codes mean for who goes on.
enum CUDACode {
    static let invalidValue: CUDAResult = 1
    static let outOfMemory: CUDAResult = 2

    /// Nil where it depends on what was called.
    static func kind(of code: CUDAResult) -> DeviceError.Kind? {
        switch code {
        case outOfMemory: .outOfMemory
        // No device, or none of that number, or in use by others; a library that is no driver; kernels
        // that the driver does not take; a driver that does not fit its kernel module.
        case 34, 46, 100, 101, 209, 222, 802, 803, 804: .absent
        default: nil
        }
    }

    /// Whether nothing more can be done with the context: an error of a kernel, a memory that has gone
    /// bad, a device that has gone.
    static func losesDevice(_ code: CUDAResult) -> Bool {
        switch code {
        case 4, 46, 201, 214, 220, 226, 700, 702, 709, 710, 714...719, 721, 999: true
        default: false
        }
    }
}
