// GNU Readline, loaded when a shell wants it and the machine has it: line editing, history and
// completion as people know them from other shells. Nothing is linked, and without it lines are
// read plainly.
//
// Readline is driven from outside, by its callback interface: the shell waits for input itself, so
// that a signal interrupts the wait and not Readline. Its variables and functions are global, and so
// is the little that it calls back to; all of it is used on the main thread only.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Line editing of standard input.
final class ReadlineLines: LineSource {
    private typealias Install = @convention(c) (UnsafePointer<CChar>?, Handler?) -> Void
    private typealias Action = @convention(c) () -> Void
    private typealias TextAction = @convention(c) (UnsafePointer<CChar>?) -> Void
    private typealias Handler = @convention(c) (UnsafeMutablePointer<CChar>?) -> Void
    private typealias GetByte = @convention(c) (OpaquePointer?) -> Int32
    private typealias Matches =
        @convention(c) (UnsafePointer<CChar>?, Generator) ->
        UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    private typealias Generator =
        @convention(c) (UnsafePointer<CChar>?, Int32) -> UnsafeMutablePointer<CChar>?
    private typealias Completer =
        @convention(c) (UnsafePointer<CChar>?, Int32, Int32) ->
        UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?

    /// What Readline's callbacks and the shell tell each other.
    private struct Exchange {
        var line: InputLine?
        var complete: (_ before: String, _ word: String) -> Completion = { _, _ in Completion() }
        var candidates: [String] = []
        /// Filled in when the library is loaded.
        var removeHandler: Action?
        var matches: Matches?
        var lineBuffer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        var isOver: UnsafeMutablePointer<Int32>?
        var appended: UnsafeMutablePointer<Int32>?
    }

    // Only the main thread is ever here; a lock would have to be held across Readline's calls back.
    nonisolated(unsafe) private static var exchange = Exchange()

    private let install: Install
    private let readCharacter: Action
    private let freeLineState: Action
    private let cleanUp: Action
    private let addHistory: TextAction

    /// Nil where the library is not there, or is not as expected.
    init?(complete: @escaping (_ before: String, _ word: String) -> Completion) {
        let names = ["libreadline.so.8", "libreadline.so.7", "libreadline.so"]
        guard let library = names.lazy.compactMap({ name in dlopen(name, RTLD_NOW) }).first else {
            return nil
        }
        func symbol<Kind>(_ name: String, _ kind: Kind.Type) -> Kind? {
            dlsym(library, name).map { unsafeBitCast($0, to: kind) }
        }
        func variable<Kind>(_ name: String, _ kind: Kind.Type) -> UnsafeMutablePointer<Kind>? {
            dlsym(library, name)?.assumingMemoryBound(to: kind)
        }
        guard let install = symbol("rl_callback_handler_install", Install.self),
            let remove = symbol("rl_callback_handler_remove", Action.self),
            let readCharacter = symbol("rl_callback_read_char", Action.self),
            let freeLineState = symbol("rl_free_line_state", Action.self),
            let cleanUp = symbol("rl_callback_sigcleanup", Action.self),
            let addHistory = symbol("add_history", TextAction.self),
            let matches = symbol("rl_completion_matches", Matches.self),
            let completer = variable("rl_attempted_completion_function", Completer?.self),
            let breaks = variable(
                "rl_completer_word_break_characters", UnsafePointer<CChar>?.self),
            let lineBuffer = variable("rl_line_buffer", UnsafeMutablePointer<CChar>?.self),
            let isOver = variable("rl_attempted_completion_over", Int32.self),
            let appended = variable("rl_completion_append_character", Int32.self),
            let catchesSignals = variable("rl_catch_signals", Int32.self),
            let getByte = variable("rl_getc_function", GetByte?.self)
        else { return nil }
        (self.install, self.readCharacter, self.freeLineState) =
            (install, readCharacter, freeLineState)
        (self.cleanUp, self.addHistory) = (cleanUp, addHistory)
        Self.exchange.complete = complete
        Self.exchange.removeHandler = remove
        (Self.exchange.matches, Self.exchange.lineBuffer) = (matches, lineBuffer)
        (Self.exchange.isOver, Self.exchange.appended) = (isOver, appended)
        // Text is UTF-8, whatever the environment says of languages.
        if setlocale(LC_CTYPE, "") == nil
            || String(cString: nl_langinfo(nl_item(CODESET))) != "UTF-8"
        {
            setlocale(LC_CTYPE, "C.UTF-8")
        }
        catchesSignals.pointee = 0  // they are the shell's
        getByte.pointee = { _ in ReadlineLines.byte() }
        // What may be part of a name is no break: layers are called `model.layers-0`.
        breaks.pointee = UnsafePointer(strdup(" \t\n,;()=<>!+*%'\""))
        completer.pointee = { _, start, end in ReadlineLines.completions(start, end) }
    }

    func remember(_ line: String) { line.withCString { addHistory($0) } }

    func next(prompt: String) throws -> InputLine {
        Self.exchange.line = nil
        prompt.withCString { prompt in
            install(prompt) { line in
                // Called within `readCharacter`: the line is Readline's to give and ours to free.
                ReadlineLines.exchange.line = line.map { .text(String(cString: $0)) } ?? .end
                ReadlineLines.exchange.removeHandler?()
                free(line)
            }
        }
        while Self.exchange.line == nil, Input.isReady(STDIN_FILENO) { readCharacter() }
        guard Interruption.cancellation.isCancelled else { return Self.exchange.line ?? .end }
        if Self.exchange.line == nil {
            freeLineState()
            cleanUp()
            Self.exchange.removeHandler?()
        }
        return .interrupted
    }

    /// The next byte. The terminal forgets what was typed when Ctrl-C comes, so that there may be
    /// nothing where something was: that ends the line.
    private static func byte() -> Int32 {
        var byte: UInt8 = 0
        guard Input.isReady(STDIN_FILENO), read(STDIN_FILENO, &byte, 1) == 1 else { return EOF }
        return Int32(byte)
    }

    // MARK: Completion

    private static func completions(
        _ start: Int32, _ end: Int32
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
        guard let line = exchange.lineBuffer?.pointee, let matches = exchange.matches else {
            return nil
        }
        let bytes = UnsafeRawBufferPointer(start: line, count: Int(end))
        let before = String(decoding: bytes[..<Int(start)], as: UTF8.self)
        let word = String(decoding: bytes[Int(start)..<Int(end)], as: UTF8.self)
        let completion = exchange.complete(before, word)
        // Nil and not over means the names of files.
        exchange.isOver?.pointee = completion.isFile ? 0 : 1
        exchange.appended?.pointee = Int32(completion.closing.value)
        exchange.candidates = completion.candidates.reversed()
        guard !completion.candidates.isEmpty else { return nil }
        return word.withCString { word in
            matches(word) { _, _ in
                ReadlineLines.exchange.candidates.popLast().map { strdup($0) } ?? nil
            }
        }
    }
}
