/// The colours of a scene.
struct Palette {
    /// From the zenith to the horizon.
    var sky: [UInt32]
    /// Sun or moon.
    var light: UInt32
    /// Ridges from the farthest to the nearest.
    var far: UInt32
    var near: UInt32
    /// 0: day; 256: stars at full strength.
    var stars: UInt32

    /// Two neighbouring palettes mixed, so that few scenes look alike.
    static func pick(_ random: inout SplitMix64) -> Palette {
        let first = self.all[random.pick(0...self.all.count - 1)]
        let second = self.all[random.pick(0...self.all.count - 1)]
        let amount = UInt32(random.pick(0...80))
        return Palette(
            sky: zip(first.sky, second.sky).map { Colour.blend($0, $1, amount) },
            light: Colour.blend(first.light, second.light, amount),
            far: Colour.blend(first.far, second.far, amount), near: Colour.blend(first.near, second.near, amount),
            stars: first.stars)
    }

    private static let all: [Palette] = [
        // dusk
        Palette(
            sky: [0x1B1B4B, 0x6A3577, 0xC95C72, 0xF6A66B], light: 0xFFDFA8, far: 0xB5638A, near: 0x150F2B, stars: 120),
        // dawn
        Palette(
            sky: [0x5B86B8, 0xA7B3D9, 0xE7C6D3, 0xFFE3C8], light: 0xFFF4D8, far: 0xB4A9CB, near: 0x26304F, stars: 0),
        // noon
        Palette(
            sky: [0x1F6FC4, 0x5AA3E0, 0xA3D0F2, 0xE3F3FC], light: 0xFFFBE6, far: 0x95BDD8, near: 0x163F2F, stars: 0),
        // night
        Palette(
            sky: [0x040817, 0x0B1838, 0x1A3560, 0x3A6090], light: 0xE9F0FF, far: 0x2C4A76, near: 0x03060F, stars: 256),
        // desert
        Palette(
            sky: [0x2F6AA8, 0x8FB0BE, 0xEAC891, 0xFFE0A8], light: 0xFFF3CF, far: 0xDDA066, near: 0x5A2616, stars: 0),
        // jade
        Palette(
            sky: [0x0A3A3A, 0x1F7A70, 0x76BFA0, 0xD6F3CF], light: 0xF8FFE2, far: 0x78BFA2, near: 0x051E1C, stars: 40),
        // rose
        Palette(
            sky: [0x3A1C40, 0x8E3C6C, 0xDC7B86, 0xFFCDB2], light: 0xFFF0DC, far: 0xC47A92, near: 0x230B22, stars: 60),
        // northern night
        Palette(
            sky: [0x020B16, 0x07262F, 0x0F5352, 0x3FA47E], light: 0xE4FFF2, far: 0x1E6A62, near: 0x020A0D, stars: 230),
        // ember
        Palette(
            sky: [0x1A0A12, 0x5A1620, 0xB23A22, 0xF39A3D], light: 0xFFE7A6, far: 0xA2452F, near: 0x120609, stars: 80),
    ]
}
