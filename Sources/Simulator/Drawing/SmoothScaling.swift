/// Coarse drawings made large without visible squares.
enum SmoothScaling {
    /// Averages the canvas down to the given size.
    static func reduce(_ source: Canvas, width: Int, height: Int) -> Canvas {
        var result = Canvas(width: width, height: height)
        for y in 0..<height {
            let rows =
                y * source.height / height..<max(y * source.height / height + 1, (y + 1) * source.height / height)
            for x in 0..<width {
                let left = x * source.width / width
                let right = max(left + 1, (x + 1) * source.width / width)
                var (red, green, blue) = (0, 0, 0)
                for row in rows {
                    for column in left..<right {
                        let pixel = Int(source.pixels[row * source.width + column])
                        red += pixel >> 16
                        green += pixel >> 8 & 0xFF
                        blue += pixel & 0xFF
                    }
                }
                let count = rows.count * (right - left)
                result.pixels[y * width + x] = UInt32((red / count) << 16 | (green / count) << 8 | (blue / count))
            }
        }
        return result
    }

    /// Quadratic B-spline interpolation, columns first, then rows: smooth in value and slope.
    static func enlarge(_ source: Canvas, width: Int, height: Int) -> Canvas {
        var wide = Canvas(width: width, height: source.height)
        for x in 0..<width {
            let tap = Tap(x, of: width, over: source.width)
            for y in 0..<source.height {
                let row = y * source.width
                wide.pixels[y * width + x] = tap.mix(
                    source.pixels[row + tap.before], source.pixels[row + tap.middle], source.pixels[row + tap.after])
            }
        }
        var result = Canvas(width: width, height: height)
        result.pixels.withUnsafeMutableBufferPointer { target in
            wide.pixels.withUnsafeBufferPointer { wide in
                guard let target = target.baseAddress, let wide = wide.baseAddress else { return }
                for y in 0..<height {
                    let tap = Tap(y, of: height, over: source.height)
                    let before = wide + tap.before &* width
                    let middle = wide + tap.middle &* width
                    let after = wide + tap.after &* width
                    let row = target + y &* width
                    for x in 0..<width { row[x] = tap.mix(before[x], middle[x], after[x]) }
                }
            }
        }
        return result
    }

    /// Where an output pixel lies among the input cells, and the weights of the three nearest; they add up to 256.
    private struct Tap {
        let before: Int
        let middle: Int
        let after: Int
        let weights: (UInt32, UInt32, UInt32)

        init(_ index: Int, of count: Int, over cells: Int) {
            let position = (2 * index + 1) * cells * 128 / count
            let cell = min(position >> 8, cells - 1)
            let fraction = position - (cell << 8)
            self.middle = cell
            self.before = max(cell - 1, 0)
            self.after = min(cell + 1, cells - 1)
            let low = ((256 - fraction) * (256 - fraction)) >> 9
            let high = (fraction * fraction) >> 9
            self.weights = (UInt32(low), UInt32(256 - low - high), UInt32(high))
        }

        @inline(__always)
        func mix(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
            let redBlue =
                ((a & 0xFF00FF) &* self.weights.0 &+ (b & 0xFF00FF) &* self.weights.1 &+ (c & 0xFF00FF)
                    &* self.weights.2)
                >> 8 & 0xFF00FF
            let green =
                ((a & 0xFF00) &* self.weights.0 &+ (b & 0xFF00) &* self.weights.1 &+ (c & 0xFF00) &* self.weights.2)
                >> 8 & 0xFF00
            return redBlue | green
        }
    }
}
