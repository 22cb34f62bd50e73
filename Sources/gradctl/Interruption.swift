// Ctrl-C and SIGTERM end a command cleanly: the work under way is told to stop, takes back what it
// has done, and the process exits with 130. A second one ends it at once.

import GradDB

#if canImport(Glibc)
    import Glibc
#endif

enum Interruption {
    /// What the handler cancels.
    static let cancellation = Cancellation()
    private static let nullDevice = open("/dev/null", O_RDONLY | O_CLOEXEC)

    /// Installs the handlers and returns what long work must watch.
    static func watch() -> Cancellation {
        _ = nullDevice  // opened now, since a handler may not
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in
            Interruption.cancellation.cancel()
            // Whoever waits for standard input gets its end, and then sees the cancellation.
            if Interruption.nullDevice >= 0 { dup2(Interruption.nullDevice, STDIN_FILENO) }
        }
        action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
        sigaction(SIGINT, &action, nil)
        sigaction(SIGTERM, &action, nil)
        return cancellation
    }

    // MARK: at a prompt

    /// What SIGTERM and SIGHUP cancel, when Ctrl-C ends one statement and not the process.
    static let termination = Cancellation()

    /// Installs handlers with which Ctrl-C stops the statement under way, again and again. Whoever
    /// waits for input sees the wait interrupted.
    static func watchAtPrompt() {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { signal in
            Interruption.cancellation.cancel()
            if signal != SIGINT { Interruption.termination.cancel() }
        }
        for signal in [SIGINT, SIGTERM, SIGHUP] { sigaction(signal, &action, nil) }
        _ = termination.isCancelled  // made now, since a handler may not
    }

    /// The next statement has not been interrupted yet.
    static func reset() {
        if !termination.isCancelled { cancellation.reset() }
    }
}
