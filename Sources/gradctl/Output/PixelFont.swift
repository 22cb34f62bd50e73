// Letters of 5 × 7 pixels: Latin without accents, and what shortened labels need. A glyph is seven
// lines from the top, each a digit of base 32 whose highest bit is the leftmost pixel.

enum PixelFont {
    static let width = 5
    static let height = 7

    /// The lines of a character, from the top. Latin letters lose their accents; what the font lacks
    /// is a box.
    static func rows(of character: Character) -> [UInt8] {
        glyphs[character] ?? plain(character).flatMap { glyphs[$0] } ?? box
    }

    /// The letter that an accented one is called after in Unicode.
    private static func plain(_ character: Character) -> Character? {
        let words = character.unicodeScalars.first?.properties.name?.split(separator: " ") ?? []
        guard words.count > 3, words[0] == "LATIN", words[2] == "LETTER", words[3].count == 1
        else { return nil }
        return (words[1] == "SMALL" ? words[3].lowercased() : String(words[3])).first
    }

    private static let box: [UInt8] = [31, 17, 17, 17, 17, 17, 31]

    private static let glyphs: [Character: [UInt8]] = {
        var glyphs: [Character: [UInt8]] = [
            "…": [0, 0, 0, 0, 0, 0, 21], "·": [0, 0, 0, 4, 0, 0, 0],
        ]
        let lines = digits.split(separator: " ")
        for (offset, line) in lines.enumerated() {
            let scalar = Unicode.Scalar(UInt8(0x20 + offset))
            glyphs[Character(scalar)] = line.map { UInt8(String($0), radix: 32) ?? 0 }
        }
        return glyphs
    }()

    /// From the space to the tilde.
    private static let digits = """
        0000000 4444404 AAA0000 AAVAVAA 4FKE5U4 OP248J3 CIK8LID 4480000 2488842 8422248 04LEL40 \
        044V440 0000448 000V000 00000CC 01248G0 EHJLPHE 4C4444E EH1248V V2421HE 26AIV22 VGU11HE \
        68GUHHE V124888 EHHEHHE EHHF12C 0CC0CC0 0CC0C48 248G842 00V0V00 8421248 EH12404 EH1DLLE \
        EHHVHHH UHHUHHU EHGGGHE SIHHHIS VGGUGGV VGGUGGG EHGNHHF HHHVHHH E44444E 72222IC HIKOKIH \
        GGGGGGV HRLLHHH HHPLJHH EHHHHHE UHHUGGG EHHHLID UHHUKIH FGGE11U V444444 HHHHHHE HHHHHA4 \
        HHHLLLA HHA4AHH HHHA444 V1248GV E88888E 0G84210 E22222E 4AH0000 000000V 8420000 00E1FHF \
        GGMPHHU 00EGGHE 11DJHHF 00EHVGE 698S888 0FHHF1E GGMPHHH 40C444E 20622IC GGIKOKI C44444E \
        00QLLHH 00MPHHH 00EHHHE 00UHUGG 00DJF11 00MPGGG 00EGE1U 88S8896 00HHHJD 00HHHA4 00HHLLA \
        00HA4AH 00HHF1E 00V248V 2448442 4444444 8442448 08L2000
        """
}
