import Dialects
import ImageGeneration
import NIOCore
import Storage
import StreamCodecs

/// Brings back from the image store what the logs of finished jobs no longer hold.
package struct KeptPayloads: Sendable {
    /// A stored picture's bytes; nil when there are none.
    let imageBytes: @Sendable (ImageID) async -> ByteBuffer?
    /// A fresh URL of a stored picture; nil without an image store.
    let imageURL: @Sendable (ImageID) -> SignedURL?
    let budget: PayloadBudget

    /// The job with all that `delivery` promises, as far as it is still to be had. One that runs is left as it is.
    /// - Throws: `overloaded` when there is no room for the pictures.
    func complete(_ view: JobView, delivery: Delivery, in directory: JobDirectory) async throws(GatewayError) -> JobView
    {
        guard view.running == nil, var record = directory.record(view.id) else { return view }
        var payloads: [Int: ImagePayload] = [:]
        var isChanged = false
        for entry in record.events {
            guard case .image(let image) = entry.event, image.payload == nil, delivery.carriesPayload else { continue }
            guard let payload = try await self.payload(of: image.imageID) else { continue }
            payloads[image.imageIndex] = payload
            isChanged = true
        }
        if isChanged { record.replaceImages { $0.payload ?? payloads[$0.imageIndex] } }
        if delivery.carriesURL { isChanged = record.addURLs(self.imageURL) || isChanged }
        return isChanged ? JobView(record) : view
    }

    /// Where the job stands. Pictures that an earlier process finished have lost their URLs: they get new ones.
    func snapshot(of view: JobView) -> JobSnapshot {
        var snapshot = view.snapshot
        guard view.delivery.carriesURL, snapshot.terminal != nil else { return snapshot }
        for index in snapshot.images.indices where snapshot.images[index].url == nil {
            snapshot.images[index].url = self.imageURL(snapshot.images[index].imageID)
        }
        return snapshot
    }

    private func payload(of id: ImageID) async throws(GatewayError) -> ImagePayload? {
        guard let bytes = await self.imageBytes(id) else { return nil }
        let count = (bytes.readableBytes + 2) / 3 * 4
        guard let lease = self.budget.lease(count) else {
            throw GatewayError(.overloaded, "The gateway holds as much as it may.", retryAfterMilliseconds: 2000)
        }
        return ImagePayload(canonical: Base64.encode(bytes), lease: lease)
    }
}

extension JobRecord {
    /// Gives URLs to the finished pictures that were told without.
    /// - Returns: whether there were any.
    fileprivate mutating func addURLs(_ url: (ImageID) -> SignedURL?) -> Bool {
        var added = false
        self.replaceDescriptions { image in
            guard image.url == nil, let fresh = url(image.imageID) else { return }
            image.url = fresh
            added = true
        }
        return added
    }
}
