// Reading a pipe, a terminal or a file from front to back.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension FileDescriptor {
    /// Reads what is there, at least one byte; 0 at the end. Waits where the descriptor was left
    /// non-blocking by whoever shares it with us.
    func readSome(into buffer: UnsafeMutableRawBufferPointer) throws(SystemFailure) -> Int {
        while true {
            do {
                return try read(into: buffer, retryOnInterrupt: true)
            } catch {
                let failure = SystemFailure(error)
                guard failure.code == .wouldBlock || failure.code == .resourceTemporarilyUnavailable
                else { throw failure }
                var waiting = pollfd(fd: rawValue, events: Int16(POLLIN), revents: 0)
                _ = poll(&waiting, 1, -1)
            }
        }
    }

    /// Reads until `buffer` is full or the stream ends; returns how much was read.
    func readFully(into buffer: UnsafeMutableRawBufferPointer) throws(SystemFailure) -> Int {
        var done = 0
        while done < buffer.count {
            let count = try readSome(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// The next `count` bytes; fewer only where the stream ends.
    func readFully(_ count: Int) throws(SystemFailure) -> [UInt8] {
        var failure: SystemFailure?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(SystemFailure) {
                let raw = UnsafeMutableRawBufferPointer(buffer)
                filled = try readFully(into: .init(rebasing: raw[..<count]))
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
