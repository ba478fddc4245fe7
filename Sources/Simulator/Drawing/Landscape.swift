/// A scene of sky, light, mountain ridges and perhaps a lake. Everything is derived from the key, in parts of the picture's
/// size, so a small drawing and a large one show the same place.
struct Landscape {
    private let width: Int
    private let height: Int
    /// The shorter side: what round and rugged things are measured by.
    private let unit: Int
    private let palette: Palette
    private let ridges: [Ridge]
    private let light: (x: Int, y: Int, radius: Int)
    private let starSeed: UInt64
    /// Row of the shore; nil: no lake.
    private let shore: Int?

    init(key: UInt64, width: Int, height: Int) {
        var random = SplitMix64(seed: key)
        self.width = width
        self.height = height
        self.unit = min(width, height)
        self.palette = Palette.pick(&random)
        self.light = (
            x: width * random.pick(18...82) / 100, y: height * random.pick(20...46) / 100,
            radius: min(width, height) * random.pick(50...105) / 1000
        )
        self.starSeed = random.next()
        let lake = random.pick(0...9) < 6
        self.shore = lake ? height * random.pick(66...71) / 100 : nil
        let horizon = random.pick(48...58)
        let count = random.pick(3...5)
        let shoreline = lake ? 68 : 84
        self.ridges = (0...count).map { layer in
            let nearest = layer == count
            return Ridge(
                line: nearest ? random.pick(88...93) + (lake ? 5 : 0) : horizon + (shoreline - horizon) * layer / count,
                relief: nearest ? random.pick(8...14) : random.pick(14...26) * (count + 2 - layer) / (count + 2),
                frequency: random.pick(110...190) + 40 * layer, sharp: layer < count - 1 && random.pick(0...3) > 0,
                trees: nearest ? random.pick(40...60) : layer == count - 1 ? random.pick(14...22) : 0,
                seed: random.next())
        }
    }

    func draw() -> Canvas {
        var canvas = Canvas(width: self.width, height: self.height)
        canvas.pixels.withUnsafeMutableBufferPointer { buffer in
            guard let pixels = buffer.baseAddress else { return }
            self.drawSky(pixels)
            self.drawStars(pixels)
            for layer in self.ridges.dropLast().indices { self.drawRidge(layer, pixels) }
            self.drawLake(pixels)
            self.drawRidge(self.ridges.count - 1, pixels)
        }
        return canvas
    }

    private func drawSky(_ pixels: UnsafeMutablePointer<UInt32>) {
        let horizon = self.height * 74 / 100
        let rows = Colour.ramp(self.palette.sky, count: max(2, horizon))
        // Brightness by squared distance from the light: table index = d² · 1024 / reach².
        let radius = self.light.radius
        let reach = max(1, self.unit * 62 / 100)
        let scale = (1024 << 20) / (reach * reach)
        let glow = (0..<1024).map { (index: Int) -> UInt32 in
            let rest: Int = 1024 - index
            return UInt32((rest * rest * rest * 150) >> 30)
        }
        glow.withUnsafeBufferPointer { glow in
            guard let glow = glow.baseAddress else { return }
            for y in 0..<self.height {
                let base = rows[min(y, rows.count - 1)]
                let row = pixels + y &* self.width
                let dy = y &- self.light.y
                for x in 0..<self.width {
                    let dx = x &- self.light.x
                    let square = dx &* dx &+ dy &* dy
                    let index = (square &* scale) >> 20
                    row[x] = index < 1024 ? Colour.blend(base, self.palette.light, glow[index]) : base
                }
            }
        }
        self.drawDisc(pixels, radius: radius)
    }

    private func drawDisc(_ pixels: UnsafeMutablePointer<UInt32>, radius: Int) {
        for y in max(0, self.light.y - radius - 1)...min(self.height - 1, self.light.y + radius + 1) {
            for x in max(0, self.light.x - radius - 1)...min(self.width - 1, self.light.x + radius + 1) {
                let dx = x - self.light.x
                let dy = y - self.light.y
                // (r² − d²) / 2r is the distance from the rim; one pixel of it is the soft edge.
                let rim = ((radius * radius - dx * dx - dy * dy) * 128 / max(1, radius)) + 128
                let cover = UInt32(min(max(rim, 0), 256))
                let at = y * self.width + x
                pixels[at] = Colour.blend(pixels[at], self.palette.light, cover)
            }
        }
    }

    private func drawStars(_ pixels: UnsafeMutablePointer<UInt32>) {
        guard self.palette.stars > 0 else { return }
        var random = SplitMix64(seed: self.starSeed)
        let size = max(1, self.unit / 700)
        // In a small drawing a star covers less than the pixel it is given.
        let share = UInt32(min(256, self.unit * self.unit * 256 / (700 * 700)))
        for _ in 0..<260 {
            let x = self.width * random.pick(0...9999) / 10000
            let depth = random.pick(0...9999)
            let y = self.height * depth / 10000 * 60 / 100
            let strength = (UInt32((10000 - depth) * random.pick(40...256) / 10000) * self.palette.stars) >> 8
            let fade = (strength * share) >> 8
            let extent = random.pick(0...9) == 0 ? size + 1 : size
            for row in y..<min(y + extent, self.height) {
                for column in x..<min(x + extent, self.width) {
                    let at = row * self.width + column
                    pixels[at] = Colour.blend(pixels[at], 0xFFFFFF, fade)
                }
            }
        }
    }

    private func drawRidge(_ layer: Int, _ pixels: UnsafeMutablePointer<UInt32>) {
        let ridge = self.ridges[layer]
        let tops = ridge.tops(width: self.width, height: self.height, unit: self.unit)
        let share = UInt32(layer * 256 / max(1, self.ridges.count - 1))
        let crest = Colour.blend(self.palette.far, self.palette.near, share)
        let haze = self.palette.sky[self.palette.sky.count - 1]
        let foot = Colour.blend(crest, haze, ((256 - share) * 110) >> 8)
        let depth = max(2, self.height * 30 / 100)
        let ramp = Colour.ramp([crest, foot], count: depth)
        let first = max(0, (tops.min() ?? 0) >> 8)
        tops.withUnsafeBufferPointer { tops in
            ramp.withUnsafeBufferPointer { ramp in
                guard let tops = tops.baseAddress, let ramp = ramp.baseAddress, first < self.height else { return }
                for y in first..<self.height {
                    let row = pixels + y &* self.width
                    let bottom = (y &+ 1) << 8
                    for x in 0..<self.width {
                        let cover = bottom &- tops[x]
                        guard cover > 0 else { continue }
                        let colour = ramp[min(cover >> 8, depth &- 1)]
                        row[x] = cover >= 256 ? colour : Colour.blend(row[x], colour, UInt32(truncatingIfNeeded: cover))
                    }
                }
            }
        }
    }

    /// The far shore upside down, darker and broken by ripples that widen towards the viewer.
    private func drawLake(_ pixels: UnsafeMutablePointer<UInt32>) {
        guard let shore = self.shore else { return }
        let tint = Colour.blend(self.palette.sky[0], self.palette.near, 90)
        for y in shore..<self.height {
            let distance = y - shore
            let source = max(0, shore - 1 - distance * 5 / 4)
            let wave = Noise.value((distance << 16) * 150 / max(1, self.unit), seed: self.starSeed) - 32768
            let sway = wave * (distance + self.unit / 100) / (32768 * 9)
            let glint = UInt32(max(0, wave - 14000) / 480)
            let depth = UInt32(min(150, 50 + distance * 260 / max(1, self.height)))
            let from = pixels + source &* self.width
            let row = pixels + y &* self.width
            for x in 0..<self.width {
                let column = min(max(x &+ sway, 0), self.width &- 1)
                row[x] = Colour.blend(Colour.blend(from[column], tint, depth), self.palette.light, glint)
            }
        }
    }
}

/// One line of hills.
private struct Ridge {
    /// Height of the foot of the relief and its extent, in hundredths of the picture's height.
    let line: Int
    let relief: Int
    /// Hills across the shorter side, in hundredths.
    let frequency: Int
    let sharp: Bool
    /// Height of the trees in thousandths of the shorter side; 0: bare.
    let trees: Int
    let seed: UInt64

    /// The row of the crest for every column, in 1/256 pixel.
    func tops(width: Int, height: Int, unit: Int) -> [Int] {
        (0..<width).map { x in
            let position = (x << 16) / max(1, unit) * self.frequency / 100
            let relief = Noise.octaves(7, at: position, seed: self.seed, sharp: self.sharp)
            let crest = (height << 8) * self.line / 100 - ((height * self.relief * relief / 100) >> 8)
            return self.trees > 0 ? crest - self.treeHeight(x: x, unit: unit) : crest
        }
    }

    /// Two rows of conifers of differing height, the taller one wins.
    private func treeHeight(x: Int, unit: Int) -> Int {
        let spacing = 2200 / max(1, self.trees)
        var tallest = 0
        for row in 0..<2 {
            let position = (x << 16) / max(1, unit) * spacing + row * 30000
            let seed = self.seed ^ UInt64(row + 77)
            let cell = position >> 16
            let slope = 65536 - abs(2 * (position & 0xFFFF) - 65536)
            let size = Noise.lattice(cell, seed: seed)
            // Sparse: a third of the places stay bare.
            let grown = size < 22000 ? size / 5 : size
            tallest = max(tallest, (slope * grown) >> 16)
        }
        return ((unit << 8) * self.trees / 1000 * tallest) >> 16
    }
}
