// swift-tools-version: 6.0
import PackageDescription

// Set by tools/fuzz.sh: builds the fuzz targets too, and the engine with what they watch it by.
let isFuzzing = Context.environment["GRADDB_FUZZ"] != nil
let fuzzed: [SwiftSetting] =
    isFuzzing ? [.unsafeFlags(["-sanitize=fuzzer,address", "-parse-as-library"])] : []

let package = Package(
    name: "GradDB",
    products: [
        .library(name: "GradDB", targets: ["GradDB"]),
        .library(name: "GradDBQuery", targets: ["GradDBQuery"]),
        .library(name: "graddb", type: .dynamic, targets: ["GradDBC"]),
        .executable(name: "gradctl", targets: ["gradctl"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.4.0"),
    ],
    targets: [
        .systemLibrary(
            name: "CRocksDB", pkgConfig: "rocksdb", providers: [.apt(["librocksdb-dev"])]),
        // Loaded when matrices are multiplied, not linked: see Kernels/OpenBLAS.swift.
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        // What RocksDB's C interface leaves out.
        .target(name: "CRocksFiles", linkerSettings: [.linkedLibrary("rocksdb")]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),

        // The inner loops are optimised in every configuration: a debug build of them is
        // fifty times slower and tells a debugger nothing that the scalar twin does not.
        .target(
            name: "CGradKernels", exclude: ["cuda"],
            cSettings: [.unsafeFlags(["-O3", "-Wall", "-Wextra"])]),

        .target(
            name: "GradDB",
            dependencies: [
                "CGradKernels", "CRocksDB", "CRocksFiles", "CZstd",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: fuzzed),
        .target(
            name: "GradDBQuery",
            dependencies: ["GradDB", .product(name: "Logging", package: "swift-log")],
            swiftSettings: fuzzed),
        // The C interface: graddb.h says it, GradDBC does it.
        .systemLibrary(name: "CGradDB"),
        .target(
            name: "GradDBC",
            dependencies: [
                "CGradDB", "GradDB", "GradDBQuery",
                .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["exports.map"],
            linkerSettings: [
                .unsafeFlags([
                    "-Xlinker",
                    "--version-script=\(Context.packageDirectory)/Sources/GradDBC/exports.map",
                ])
            ]),
        .executableTarget(
            name: "gradctl",
            dependencies: [
                "GradDB", "GradDBQuery",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ]),

        .testTarget(
            name: "GradDBTests",
            dependencies: [
                "GradDB", "CGradKernels", .product(name: "CoreMetrics", package: "swift-metrics"),
            ]),
        .testTarget(name: "GradDBQueryTests", dependencies: ["GradDBQuery", "GradDB"]),
    ],
    swiftLanguageModes: [.v6]
)

if isFuzzing {
    package.targets.append(
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "GradDB", "GradDBQuery", .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/fuzz", exclude: ["README.md", "dictionaries"],
            swiftSettings: fuzzed,
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]))
}
