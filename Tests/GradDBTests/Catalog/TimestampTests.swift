import Foundation
import GradDB
import Testing

@Suite struct TimestampTests {
    @Test func whatIsWrittenReadsBack() throws {
        // Binary fractions of a second come out at most a millisecond lower.
        let now = Date()
        let read = try #require(Timestamp.parse(Timestamp.text(now)))
        #expect(abs(read.timeIntervalSince(now)) < 0.002)
    }

    @Test(arguments: [
        ("2026-11-21", 1_795_219_200.0), ("2026-11-21T00:00:01Z", 1_795_219_201),
        ("2026-11-21T01:00:00+01:00", 1_795_219_200), ("2026-11-21T00:00:00.500Z", 1_795_219_200.5),
    ])
    func theseAreTimes(text: String, seconds: Double) {
        #expect(Timestamp.parse(text)?.timeIntervalSince1970 == seconds)
    }

    // A parser that takes a prefix for the whole would answer from another snapshot.
    @Test(arguments: [
        "", "2026", "2026-11", "2026-13-01", "2026-02-30", "2026-11-21 junk", "2026-11-21-final",
        "2026-11-21T23:59:59", "2026-11-21 23:59:59", "2026-11-21T02:38Z", "2026-11-21t02:38:00z",
        "2026-11-21T02:38:60Z", "2026-11-21T24:00:00Z", "2026-11-21T02:38:00Zgarbage",
        "2026-02-30T00:00:00Z",
    ])
    func theseAreNot(text: String) {
        #expect(Timestamp.parse(text) == nil)
    }
}
