// Where a repair builds, and how what it built takes the place of the damaged database:
//
//   PATH.repairing-PID, with a mark in it, and what is staged under second names -> exchange with PATH
//     -> PATH.repairing-PID is the damaged one now: it becomes PATH.damaged-TIME -> the mark goes
//
// A repair that dies leaves the old database at PATH, or the new one. What else it leaves the next one
// tells apart by the mark: what has it was being built and is removed, what has none is a damaged
// database that lacks its name.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

struct RepairPlace {
    /// Of the damaged database, whose writer's lock whoever has this holds.
    let path: String
    /// Of the new one, as long as it is being built.
    let aside: String

    private static let mark = "/repairing"

    init(_ path: String) {
        self.path = path
        aside = "\(path).repairing-\(ProcessInfo.processInfo.processIdentifier)"
    }

    /// Makes the directory of the new database, with what is staged: it is no part of the damage, and
    /// whoever opens the new one would take it for given up if it were not there.
    ///
    /// - Throws: `.io`.
    func begin() throws {
        discard()
        try DurableFiles.makeDirectory(aside)
        try DurableFiles.write([], to: aside + Self.mark)
        try DurableFiles.syncDirectory(aside)
        try linkStaged(from: path, to: aside)
    }

    /// Removes what was built.
    func discard() { Self.remove(aside) }

    /// First what makes it a database: what is left of it should the process die must not be taken for
    /// a damaged one.
    private static func remove(_ aside: String) {
        guard access(aside, F_OK) == 0 else { return }
        if unlink(aside + "/CURRENT") == 0 { try? DurableFiles.syncDirectory(aside) }
        try? FileManager.default.removeItem(atPath: aside)
    }

    // MARK: in place of the damaged one

    /// Puts the new database in the place of the damaged one, durably.
    ///
    /// - Returns: where the damaged one is now.
    /// - Throws: `.io`; the message says so if the new one is in its place already.
    func exchange() throws -> String {
        let name = Self.damagedName(path)
        do {
            // Ranks may be at work.
            try linkStaged(from: path, to: aside)
            try DurableFiles.syncTree(aside)
            guard try DurableFiles.exchange(aside, path) else {
                guard rename(path, name) == 0 else { throw DurableFiles.failure("rename", path) }
                guard rename(aside, path) == 0 else {
                    let failure = DurableFiles.failure("rename", aside)
                    rename(name, path)
                    throw failure
                }
                return try finish(name, as: name)
            }
        } catch  where access(aside + Self.mark, F_OK) == 0 {
            // It is still the new one.
            discard()
            throw error
        }
        return try finish(aside, as: name)
    }

    private func finish(_ damaged: String, as name: String) throws -> String {
        do {
            try DurableFiles.syncName(of: path)
            return try setAside(damaged, as: name)
        } catch let error as GradDBError {
            throw GradDBError(
                error.kind,
                "\(error.message); the new database is in its place, run the command again to finish"
            )
        }
    }

    private static func damagedName(_ path: String) -> String {
        let name = "\(path).damaged-\(Timestamp.now().filter { $0.isNumber }.prefix(14))"
        guard access(name, F_OK) == 0 else { return name }
        return (2...).lazy.map { "\(name)-\($0)" }.first { access($0, F_OK) != 0 } ?? name
    }

    /// Brings over what ranks have staged until the exchange, and gives a damaged database its name, as far
    /// as that succeeds: nothing depends on it.
    ///
    /// - Returns: where it is.
    /// - Throws: `.io`.
    private func setAside(_ database: String, as name: String) throws -> String {
        try linkStaged(from: database, to: path)
        try? FileManager.default.removeItem(atPath: database + "/staged")
        let isNamed = database == name || rename(database, name) == 0
        try? DurableFiles.syncName(of: path)
        unlink(path + Self.mark)
        return isNamed ? name : database
    }

    /// Gives what is staged in one database names in another, which is on the same file system, durably:
    /// also those that it has already, as whoever gave them may have died before they were.
    private func linkStaged(from database: String, to other: String) throws {
        func link(_ path: String, _ other: String) throws {
            var status = stat()
            guard lstat(path, &status) == 0 else {
                // Ranks are at work, and rename.
                if errno == ENOENT { return }
                throw DurableFiles.failure("look at", path)
            }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                guard access(other, F_OK) != 0 else { return }
                return try DurableFiles.link(path, to: other)
            }
            if access(other, F_OK) != 0 { try DurableFiles.makeDirectory(other) }
            for name in try FileManager.default.contentsOfDirectory(atPath: path) {
                try link("\(path)/\(name)", "\(other)/\(name)")
            }
            try DurableFiles.syncDirectory(other)
        }
        let root = StagedDirectory.root(database)
        guard access(root, F_OK) == 0 else { return }
        try link(root, StagedDirectory.root(other))
        try DurableFiles.syncDirectory(other)
    }

    // MARK: what others have left

    /// Removes what repairs have left that died while they built, and finishes those that died, or could
    /// not go on, after the exchange.
    ///
    /// - Returns: where a damaged database is that has got its name now.
    /// - Throws: `.io`.
    func tidy() throws -> String? {
        let parent = DurableFiles.parent(of: path)
        let start = (path.split(separator: "/").last ?? "") + ".repairing-"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        var named: String?
        for name in names where name.utf8.starts(with: start.utf8) {
            let left = parent + "/" + name
            let isDatabase = Database.exists(at: left)
            if access(left + Self.mark, F_OK) == 0 || !isDatabase {
                Self.remove(left)
            } else if let lock = try? WriterLock(database: left) {
                // Nobody is about to do so.
                try withExtendedLifetime(lock) {
                    named = try setAside(left, as: Self.damagedName(path))
                }
            }
        }
        unlink(path + Self.mark)
        return named
    }
}
