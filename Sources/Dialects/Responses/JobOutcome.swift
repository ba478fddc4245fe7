import ImageGeneration

/// What a job came to, folded from its events, for answers that are written once it is over.
struct JobOutcome {
    /// In the order they were finished.
    private(set) var images: [FinishedImage] = []
    private(set) var text = ""
    private var terminal: JobEvent?

    /// Bytes of text beside pictures; what comes beyond is not kept.
    private static let maximumTextBytes = 1 << 20

    mutating func add(_ event: SequencedEvent) {
        guard self.terminal == nil else { return }
        switch event.event {
        case .image(let image): self.images.append(image)
        case .textDelta(let delta):
            if self.text.utf8.count + delta.utf8.count <= Self.maximumTextBytes { self.text += delta }
        case .completed, .error, .cancelled: self.terminal = event.event
        case .stage, .partialImage: break
        }
    }

    var result: Result<Completion, GatewayError> {
        switch self.terminal {
        case .completed(let completion): .success(completion)
        case .error(let error): .failure(error)
        case .cancelled(let cancellation): .failure(cancellation.asError)
        case .stage, .partialImage, .textDelta, .image, nil:
            .failure(GatewayError(.interrupted, "The job has not ended.", billed: .maybe))
        }
    }

    /// The pictures by their index.
    var ordered: [FinishedImage] { self.images.sorted { $0.imageIndex < $1.imageIndex } }
}

extension FinishedImage {
    /// The signed URL; without an image store the plain one, which its owner can use.
    func link(publicURL: String) -> String { self.url?.text ?? "\(publicURL)/v1/images/\(self.imageID.text)" }

    /// Real pixels where they could be read from the bytes, else the upstream's word.
    var sizeText: String {
        self.width > 0 && self.height > 0 ? "\(self.width)x\(self.height)" : self.attributes.size
    }

    /// The bytes that this delivery sends. Where only the other form is at hand, that one is used: a finished picture is
    /// never told without a way to it.
    func payload(for delivery: Delivery) -> ImagePayload? {
        delivery.carriesPayload || self.url == nil ? self.payload : nil
    }

    /// `image/png` and so on.
    var mediaType: String { self.attributes.mediaType }
}

extension ImageAttributes {
    /// An upstream's own word for a format we do not know must not end up in a media type.
    var mediaType: String { (ImageFormat(rawValue: self.outputFormat) ?? .png).mediaType }
}
