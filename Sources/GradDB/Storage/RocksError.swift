// RocksDB's C interface reports errors as text. This file alone knows what the texts mean.

extension GradDBError {
    /// The error for a message of RocksDB's, with what was being done and to which database.
    package static func rocks(_ message: String, doing action: String, path: String) -> GradDBError
    {
        let kind: Kind
        var remedy = ""
        if message.contains("While lock file") || message.contains("lock hold by current process") {
            kind = .locked
            remedy = "; another process is writing to it: wait until it has finished"
        } else if message.contains("error_if_exists") {
            return GradDBError(.failed, "there is a database at \(path) already")
        } else if message.hasPrefix("Corruption") || message.contains("checksum mismatch")
            || message.contains("truncated record") || message.contains("larger than file length")
            || message.contains("while mmap file") && message.contains("Invalid argument")
            || message.hasPrefix("Invalid argument")
            || message.hasPrefix("Not implemented")
        {
            // What RocksDB calls an invalid argument here comes from damaged metadata files: all
            // arguments that GradDB itself passes are fixed.
            kind = .corrupt
            remedy = "; restore it from a backup, or run `gradctl check` to see what is affected"
        } else if message.contains("No such file") {
            kind = .corrupt
            remedy = "; a file of the database is missing: restore it from a backup"
        } else if message.contains("No space left") || message.contains("Disk quota") {
            kind = .io
            remedy = "; free some space and run the command again"
        } else {
            kind = .io
        }
        // What else is corrupt may be a file that a writer has just replaced.
        if message.contains("checksum mismatch") { EngineMetrics.add(1, to: .checksumFailures) }
        let text = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        return GradDBError(kind, "cannot \(action) \(path): \(text)\(remedy)")
    }
}
