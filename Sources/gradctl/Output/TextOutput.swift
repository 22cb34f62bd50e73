// Where answers go.

/// Takes text, piece by piece.
protocol TextOutput: AnyObject {
    func write(_ text: String) throws
    /// Called after the last piece.
    func finish() throws
}

/// Standard output.
final class ConsoleOutput: TextOutput {
    func write(_ text: String) throws { try Console.write(text) }

    func finish() throws { try Console.flush() }
}
