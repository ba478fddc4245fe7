package import NIOCore

/// Draws a picture at a stage of its development.
package enum PictureRenderer {
    /// The PNG file, padded to `paddedTo` bytes if given.
    package static func png(_ picture: Picture, _ development: Development, paddedTo: Int? = nil) -> ByteBuffer {
        var canvas = self.canvas(picture, development)
        Watermark.draw(on: &canvas, centred: picture.transparent)
        return PNGWriter.encode(canvas, oval: picture.transparent, paddedTo: paddedTo) ?? ByteBuffer()
    }

    private static func canvas(_ picture: Picture, _ development: Development) -> Canvas {
        let longer = max(picture.width, picture.height)
        guard let cells = development.cells, cells * 4 < longer else {
            return Landscape(key: picture.key, width: picture.width, height: picture.height).draw()
        }
        // Drawn a few times finer than shown and averaged: thin things leave their share of colour.
        let fine = cells * 4
        func scaled(_ side: Int, to cells: Int) -> Int { max(2, side * cells / longer) }
        let drawn = Landscape(
            key: picture.key, width: scaled(picture.width, to: fine), height: scaled(picture.height, to: fine)
        ).draw()
        let coarse = SmoothScaling.reduce(
            drawn, width: scaled(picture.width, to: cells), height: scaled(picture.height, to: cells))
        return SmoothScaling.enlarge(coarse, width: picture.width, height: picture.height)
    }
}
