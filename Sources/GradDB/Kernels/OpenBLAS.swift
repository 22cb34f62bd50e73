// OpenBLAS, with one thread per call: who calls it has threads of its own. It is loaded when it is
// needed: linked, it would start a thread per core, and a Fortran run-time, in every process that
// opens a database.

#if canImport(Glibc)
    import Glibc
#endif

enum OpenBLAS {
    private struct Library: @unchecked Sendable {  // a handle that is never closed
        let handle: UnsafeMutableRawPointer
    }

    /// Nil where it is not installed.
    private static let library: Library? = {
        // OpenBLAS reads this when it is loaded. Programs that load this library, and those that
        // they start, keep their own setting.
        let name = "OPENBLAS_NUM_THREADS"
        let before = getenv(name).map { String(cString: $0) }
        setenv(name, "1", 1)
        defer { if let before { setenv(name, before, 1) } else { unsetenv(name) } }
        return dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL).map(Library.init)
    }()

    /// A function of the library; nil where there is none of that name.
    static func function<F>(_ name: String, as type: F.Type = F.self) -> F? {
        guard let library, let symbol = dlsym(library.handle, name) else { return nil }
        return unsafeBitCast(symbol, to: type)
    }
}
