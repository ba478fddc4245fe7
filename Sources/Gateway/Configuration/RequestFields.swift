package import ImageGeneration

/// `defaults` or `force` of a route: fields of the unified request, typed. A field that is absent is nil.
package struct RequestFields: Sendable {
    package let model: Located<String>?
    /// `"1024x1024"`, `"auto"`, or by `aspect_ratio` `"16:9"`; not both.
    package let size: Located<ImageRequest.Size>?
    /// The upstream's word: `low`, `medium`, `high`, `auto`, `standard`, `hd`, ….
    package let quality: Located<String>?
    package let outputFormat: Located<ImageFormat>?
    /// 0…100.
    package let outputCompression: Located<Int>?
    package let background: Located<Background>?
    package let style: Located<String>?
    package let seed: Located<Int64>?
    /// Previews, 0…3.
    package let partialImages: Located<Int>?
    /// Pictures, 1…100.
    package let n: Located<Int>?
    package let negativePrompt: Located<String>?

    package enum Background: String, Sendable, CaseIterable { case auto, transparent, opaque }

    package enum Key: String, ConfigurationKey {
        case model, size
        case aspectRatio = "aspect_ratio"
        case quality
        case outputFormat = "output_format"
        case outputCompression = "output_compression"
        case background, style, seed
        case partialImages = "partial_images"
        case n
        case negativePrompt = "negative_prompt"
    }
}

extension RequestFields: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        let size = reader.read(.size, .imageSize)
        let ratio = reader.read(.aspectRatio, .aspectRatio)
        if let ratio, size != nil {
            reader.value.source.report(
                ConfigurationProblem(.error, at: ratio.place, "expected \"size\" or \"aspect_ratio\", found both"))
        }
        self.size = size ?? ratio
        self.model = reader.read(.model, .text(limit: 256))
        self.quality = reader.read(.quality, .word)
        self.outputFormat = reader.read(.outputFormat, .choice(ImageFormat.self))
        self.outputCompression = reader.read(.outputCompression, .integer(in: 0...100))
        self.background = reader.read(.background, .choice(Background.self))
        self.style = reader.read(.style, .text(limit: 64))
        self.seed = reader.read(.seed, .int64)
        self.partialImages = reader.read(.partialImages, .integer(in: 0...3))
        self.n = reader.read(.n, .integer(in: 1...100))
        self.negativePrompt = reader.read(.negativePrompt, .text(limit: 32_000))
    }
}
