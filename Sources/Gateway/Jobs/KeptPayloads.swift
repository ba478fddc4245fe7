import Dialects
import ImageGeneration
import Storage

/// Finds in the image store what the logs of finished jobs no longer hold. Nothing of it is read into memory.
package struct KeptPayloads: Sendable {
    /// A stored picture; nil when there is none.
    let open: @Sendable (ImageID) async -> (any StoredImageReader)?
    /// A fresh URL of a stored picture; nil without an image store.
    let imageURL: @Sendable (ImageID) -> SignedURL?

    /// The job with all that `delivery` promises, as far as it is still to be had. One that runs is left as it is.
    func complete(_ view: JobView, delivery: Delivery, in directory: JobDirectory) async -> JobView {
        guard view.running == nil, var record = directory.record(view.id) else { return view }
        var payloads: [Int: ImagePayload?] = [:]
        for entry in record.events {
            guard case .image(let image) = entry.event, delivery.carriesPayload else { continue }
            // What was moved into the store may have been deleted there since.
            let isStored = image.payload?.displaced is StoredPayload
            guard image.payload == nil || isStored else { continue }
            let reader = await self.open(image.imageID)
            guard reader != nil || isStored else { continue }
            payloads[image.imageIndex] = .some(reader.map { ImagePayload(displaced: StoredPayload($0)) })
        }
        var isChanged = !payloads.isEmpty
        if isChanged { record.replaceImages { payloads[$0.imageIndex] ?? $0.payload } }
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
