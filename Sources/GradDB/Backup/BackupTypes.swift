// What is asked of backups, and what they answer.

/// How a backup directory is read or written.
package struct BackupOptions: Sendable {
    /// Most bytes a second; nil for no limit.
    package var bytesPerSecond: UInt64?
    /// Whether what earlier backups have is read, and not only looked for.
    package var isFull = false
    package var threads = 1

    package init() {}
}

/// What `create` made.
package struct BackupResult: Sendable {
    package var manifest: BackupManifest.Head
    package var summary: BackupManifest.Summary
}

/// What `list` knows of a backup: its manifest, or why that cannot be read.
package struct BackupListing: Sendable {
    package var backup: UInt64
    package var manifest: Result<BackupManifest, GradDBError>
}

/// What `verify` found.
package struct BackupReport: Sendable {
    package struct Problem: Sendable {
        package var message: String
        /// The object's name; nil for a manifest.
        package var object: String?
        /// Backups that depend on it.
        package var backups: [UInt64]
    }

    package var backups = 0
    package var objects = 0
    package var bytes: UInt64 = 0
    package var problems: [Problem] = []

    package var isOK: Bool { problems.isEmpty }
}

/// What `restore` made.
package struct BackupRestoreResult: Sendable {
    package var manifest: BackupManifest
    package var rows: UInt64 { manifest.head.tables.reduce(0) { $0 &+ $1.rows } }
    package var seconds: Double
}

/// What `prune` removed, or would.
package struct BackupPruneResult: Sendable {
    package var removed: [UInt64]
    package var left: Int
    package var objects: Int
    package var bytes: UInt64
    package var seconds: Double
}
