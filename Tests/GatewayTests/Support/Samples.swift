import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import Providers
import Storage
import Synchronization

@testable import Gateway

/// A picture every reader takes: one transparent pixel.
enum SamplePicture {
    static let png =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    static var buffer: ByteBuffer { ByteBuffer(string: self.png) }

    /// One of OpenAI's event frames.
    static func event(_ type: String, _ members: String = "") -> String {
        """
        event: image_generation.\(type)
        data: {"type":"image_generation.\(type)","b64_json":"\(self.png)","size":"1024x1024","quality":"high",\
        "background":"auto","output_format":"png","created_at":1700000000\(members)}


        """
    }

    static let usage =
        #","usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12,"input_tokens_details":{"text_tokens":5,"image_tokens":0}}"#

    static var partial: String { self.event("partial_image", #","partial_image_index":0"#) }
    static var completed: String { self.event("completed", self.usage) }
}

/// What a job is planned with where a test does not care.
enum SamplePlan {
    static let timeouts = RouteTable.Timeouts(
        connect: .seconds(5), firstByte: .seconds(120), idle: .seconds(90), total: .seconds(600), queue: .seconds(1800))

    static func plan(
        count: Int = 1, partialImages: Int? = nil, delivery: Delivery = .inline, dropped: [String] = [],
        model: String? = nil, upstream: UpstreamTarget? = nil, disconnect: DisconnectPolicy = .continue,
        timeouts: RouteTable.Timeouts = timeouts, _ change: (inout ImageRequest) -> Void = { _ in }
    ) -> JobPlan {
        var request = ImageRequest(operation: .generate, prompt: "a lake")
        request.count = count
        request.partialImages = partialImages
        request.model = model
        change(&request)
        return JobPlan(
            route: "generate", request: request, upstream: upstream ?? self.target(PuppetAdapter()), dropped: dropped,
            delivery: delivery, disconnect: disconnect, timeouts: timeouts)
    }

    static func target(
        _ adapter: any ProviderAdapter, resultHosts: [HostPattern] = [], allowsPrivateNetwork: Bool = false
    ) -> UpstreamTarget {
        UpstreamTarget(
            name: "lab", adapter: adapter, resultHosts: resultHosts, baseURL: "https://lab.example/v1",
            allowsPrivateNetwork: allowsPrivateNetwork)
    }
}

/// A provider whose exchanges do what the test says at each input.
struct PuppetAdapter: ProviderAdapter {
    enum Input: Equatable {
        case start
        case head(Int)
        case bytes(String)
        case ended
        case failed(GatewayError.Code, GatewayError.Billed)
        case timer(Int)
        case cancel
    }

    var capabilities = ProviderCapabilities(
        operations: [.generate], previews: true, maximumCount: 10, parameters: ["size", "n"])
    var react: @Sendable (Input) -> ExchangeActions = { _ in [] }

    func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        PuppetExchange(react: self.react)
    }

    static let submit = ExchangeCall(
        method: .post, url: "https://lab.example/v1/images/generations", body: [ByteBuffer(string: "{}")],
        purpose: .submit)
}

private struct PuppetExchange: ProviderExchange {
    let react: @Sendable (PuppetAdapter.Input) -> ExchangeActions

    mutating func start(into actions: inout ExchangeActions) { actions += self.react(.start) }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        actions += self.react(.head(head.status))
    }

    mutating func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions) {
        actions += self.react(.bytes(String(decoding: bytes, as: UTF8.self)))
    }

    mutating func ended(call: Int, into actions: inout ExchangeActions) { actions += self.react(.ended) }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        actions += self.react(.failed(error.code, error.billed))
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) { actions += self.react(.timer(timer)) }

    mutating func cancel(into actions: inout ExchangeActions) { actions += self.react(.cancel) }
}

extension UpstreamEvent {
    static func sampleImage(_ index: Int = 0, usage: Usage? = nil, payload: ByteBuffer = SamplePicture.buffer) -> Self {
        .image(UpstreamImage(imageIndex: index, attributes: .init(), payload: payload, usage: usage))
    }

    static func samplePreview(_ index: Int = 0, number: Int = 0) -> Self {
        .partialImage(
            imageIndex: index, partialImageIndex: number, attributes: .init(), payload: SamplePicture.buffer)
    }
}

/// A provider that cannot write any request.
struct RefusingAdapter: ProviderAdapter {
    let capabilities = ProviderCapabilities(operations: [.generate], previews: false, maximumCount: 1, parameters: [])

    func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        throw GatewayError(.unsupportedParameter, "not this one")
    }
}
