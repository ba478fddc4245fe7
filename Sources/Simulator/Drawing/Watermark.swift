/// The word that tells a simulated picture from a real one, in a 5 × 7 bitmap face of our own.
enum Watermark {
    static let text = "SIMULATED"

    /// Where the word goes, in pixels.
    struct Place: Equatable {
        let x: Int
        let y: Int
        /// Pixels per dot.
        let scale: Int
    }

    static func place(width: Int, height: Int, centred: Bool) -> Place {
        let scale = max(1, min(width, height) / 190)
        let extent = (self.text.count * 6 - 1) * scale
        let margin = max(2, min(width, height) / 32)
        let x = centred ? (width - extent) / 2 : width - extent - margin
        let y = centred ? height * 84 / 100 : height - 7 * scale - margin
        return Place(x: max(0, x), y: max(0, y), scale: scale)
    }

    static func draw(on canvas: inout Canvas, centred: Bool) {
        let place = self.place(width: canvas.width, height: canvas.height, centred: centred)
        let shadow = max(1, place.scale / 3)
        self.stamp(place, offset: shadow, colour: 0x000000, strength: 130, on: &canvas)
        self.stamp(place, offset: 0, colour: 0xFFFFFF, strength: 215, on: &canvas)
    }

    private static func stamp(_ place: Place, offset: Int, colour: UInt32, strength: UInt32, on canvas: inout Canvas) {
        for (index, letter) in self.text.enumerated() {
            guard let rows = self.face[letter] else { continue }
            for (row, dots) in rows.enumerated() {
                for column in 0..<5 where dots >> (4 - column) & 1 == 1 {
                    let left = place.x + (index * 6 + column) * place.scale + offset
                    let top = place.y + row * place.scale + offset
                    for y in top..<max(top, min(top + place.scale, canvas.height)) {
                        for x in left..<max(left, min(left + place.scale, canvas.width)) {
                            let at = y * canvas.width + x
                            canvas.pixels[at] = Colour.blend(canvas.pixels[at], colour, strength)
                        }
                    }
                }
            }
        }
    }

    static let face: [Character: [UInt8]] = [
        "A": [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        "D": [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110],
        "E": [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        "I": [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        "L": [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        "M": [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        "S": [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
        "T": [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
        "U": [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
    ]
}
