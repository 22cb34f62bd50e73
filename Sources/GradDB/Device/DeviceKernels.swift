// The kernels that there are, and the bytes of their arguments: graddb_device.h.

import CGradKernels

package enum DeviceKernels {
    /// The driver's limits of a grid.
    package static let mostX = Int(Int32.max)
    package static let mostY = 65_535

    private static let codecs = ["f32", "f16", "bf16", "int8", "int4", "bit"]

    /// By name.
    package static let argumentBytes: [String: Int] = {
        var bytes = [
            "gd_pack": MemoryLayout<gd_pack_args>.size,
            "gd_halves": MemoryLayout<gd_halves_args>.size,
            "gd_norms": MemoryLayout<gd_norms_args>.size,
            "gd_cosines": MemoryLayout<gd_cosines_args>.size,
            "gd_read": MemoryLayout<gd_stream_args>.size,
            "gd_copy": MemoryLayout<gd_stream_args>.size,
            "gd_multiply_int8": MemoryLayout<gd_multiply_args>.size,
        ]
        for codec in codecs {
            for variant in ["1", "few", "many"] {
                bytes["gd_score_\(codec)_\(variant)"] = MemoryLayout<gd_score_args>.size
            }
        }
        for codec in ["f16", "bf16"] {
            bytes["gd_estimate_\(codec)"] = MemoryLayout<gd_estimate_args>.size
            bytes["gd_rescore_\(codec)"] = MemoryLayout<gd_rescore_args>.size
        }
        for step in ["begin", "count", "narrow", "take"] {
            bytes["gd_select_\(step)"] = MemoryLayout<gd_select_args>.size
        }
        return bytes
    }()

    /// The bytes of a launch's arguments.
    ///
    /// - Throws: `.failed` where there is no such kernel, or its grid is none.
    static func check(_ launch: DeviceLaunch) throws -> Int {
        guard let bytes = argumentBytes[launch.kernel] else {
            throw DeviceError(.failed, "there is no kernel '\(launch.kernel)'")
        }
        guard (1...mostX).contains(launch.gridX), (1...mostY).contains(launch.gridY) else {
            throw DeviceError(
                .failed,
                "the kernel '\(launch.kernel)' cannot have a grid of \(launch.gridX) x \(launch.gridY)"
            )
        }
        return bytes
    }
}
