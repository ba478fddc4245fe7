import ImageGeneration
import StreamCodecs

/// In which points a service that speaks the Images API differs from OpenAI.
struct OpenAIImagesPreset: Sendable {
    /// `azure`: the key goes into `api-key`; below `/deployments/` the path names the model. `ark`: Volcengine's Seedream, which
    /// edits by `generations`, draws several as a sequence and shows no previews. `compatible`: answers with links unless
    /// asked for base64.
    static let names = ["azure", "ark", "compatible"]

    var key = KeyHeader.bearer
    /// The URL names the model already.
    var omitsModel = false
    /// Asked for in so many words; else the service's own.
    var responseFormat: String?
    /// Several pictures are a sequence that is always streamed.
    var countsBySequence = false
    /// Edits are generations with pictures.
    var editsByGenerating = false
    /// Sizes for a request that only names a ratio.
    private(set) var sizes = Self.usualSizes

    /// Sizes that every model of OpenAI draws.
    private static let usualSizes = [(1024, 1024), (1536, 1024), (1024, 1536)].map(AspectRatio.init)
    private static let arkSizes = [
        (2048, 2048), (2304, 1728), (1728, 2304), (2560, 1440), (1440, 2560), (2496, 1664), (1664, 2496), (3024, 1296),
    ].map(AspectRatio.init)

    init(_ configuration: ProviderConfiguration) {
        switch configuration.preset {
        case "azure":
            self.key = .apiKey
            self.omitsModel = configuration.baseURL.contains("/deployments/")
        case "ark":
            self.responseFormat = "b64_json"
            self.countsBySequence = true
            self.editsByGenerating = true
            self.sizes = Self.arkSizes
        case "compatible": self.responseFormat = "b64_json"
        default: break
        }
    }

    /// Unified fields that the service understands.
    var parameters: Set<String> {
        self.countsBySequence
            ? ["n", "size", "seed", "images"]
            : [
                "n", "size", "quality", "output_format", "output_compression", "background", "images", "mask", "user",
                "moderation", "input_fidelity",
            ]
    }

    /// `WxH` as given; a ratio becomes the nearest of the sizes the service draws.
    func size(_ size: ImageRequest.Size) -> String {
        switch size {
        case .named(let name): return name
        case .pixels(let width, let height): return "\(width)x\(height)"
        case .aspectRatio(let width, let height):
            guard width > 0, height > 0 else { return "auto" }
            let wanted = AspectRatio(width: width, height: height)
            return wanted.nearest(of: self.sizes).map { "\($0.width)x\($0.height)" } ?? "auto"
        }
    }
}
