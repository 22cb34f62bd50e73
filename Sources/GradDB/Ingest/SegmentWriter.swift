// Writes the blocks of segments into table files in the staging directory, on a thread of its own,
// so that the next row group is encoded while this one goes to the disk. A file holds blocks of one
// segment: where a segment is removed, whole files go.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

package final class SegmentWriter {
    /// A file is finished when it has grown beyond this.
    private static let fileBytes = 1 << 30

    private let directory: String
    private var files: [String] = []
    /// Whose blocks the file being written holds.
    private var segment: UInt64?
    private var writing: BackgroundTask?
    private let output = Output()

    /// The file being written; touched by the background task only while one runs.
    private final class Output: @unchecked Sendable {
        var sst: SSTWriter?
    }

    /// - Parameter directory: made here.
    package init(directory: String) throws {
        self.directory = directory
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
        } catch {
            throw GradDBError(
                .io, "cannot make \(directory): \(Database.systemReason(error))")
        }
    }

    /// Hands a group over to be written. Waits for the one before it, so that at most one is under
    /// way; `group` must stay untouched until the next call.
    package func append(_ group: EncodedRowGroup) throws {
        try wait()
        let segment = group.slots.first?.key.segment
        if segment != self.segment {
            try output.sst?.finish()
            output.sst = nil
            self.segment = segment
        }
        if output.sst == nil {
            let path = "\(directory)/\(files.count).sst"
            output.sst = try SSTWriter(path: path)
            files.append(path)
        }
        writing = BackgroundTask { [output] in
            guard let sst = output.sst else { return }
            for slot in group.slots {
                try sst.put(slot.key.bytes, UnsafeRawBufferPointer(group.block(slot)))
            }
            if sst.fileBytes > Self.fileBytes {
                try sst.finish()
                output.sst = nil
            }
        }
    }

    /// Completes all files and returns their paths, in key order.
    package func finish() throws -> [String] {
        try wait()
        try output.sst?.finish()
        output.sst = nil
        return files
    }

    /// Stops writing; the files are of no use any more.
    package func discard() {
        try? wait()
        output.sst = nil
    }

    /// Waits until the group that was handed over last has been written.
    package func wait() throws {
        guard let task = writing else { return }
        writing = nil
        try task.wait()
    }
}
