// Which known name an unknown one was meant to be.

import GradDBQuery
import Testing

@Suite struct NearestNameTests {
    private static let known = ["source", "tokens", "loss", "flagged", "id", "row"]

    @Test(arguments: [
        ("sorce", "source"), ("SOURCE", "source"), ("soucre", "source"), ("token", "tokens"),
        ("flaged", "flagged"), ("ids", "id"), ("ID", "id"), ("los", "loss"), ("rwo", "row"),
    ])
    func `a near name is suggested`(wrong: String, right: String) {
        #expect(NearestName.nearest(to: wrong, among: Self.known) == right)
    }

    @Test(arguments: ["", "x", "text", "weight", "sauerkraut", String(repeating: "s", count: 9999)])
    func `a far name is not`(wrong: String) {
        #expect(NearestName.nearest(to: wrong, among: Self.known) == nil)
    }

    @Test func `of two near names the nearer wins, then the first`() {
        let layers = ["layer.22", "layer.2", "layer.3"]
        #expect(NearestName.nearest(to: "layer.1", among: layers) == "layer.2")
        #expect(NearestName.hint(for: "abc", among: ["abd"]) == "did you mean abd?")
        #expect(NearestName.hint(for: "abc", among: []) == nil)
    }
}
