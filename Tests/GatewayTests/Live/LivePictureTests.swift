import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import Testing

@testable import Gateway

extension LiveTests {
    /// Pictures that develop without a script: `live` and `previews`.
    @Suite struct DevelopingPictures {
        private static let head = ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n"

        /// A PNG's beginning and many bytes, told apart by the last of them.
        private static func picture(_ number: UInt8, size: Int = 300_000) -> Data {
            var bytes = Data(base64Encoded: SamplePicture.png)!
            bytes.append(Data((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ Int(number)) }))
            bytes.append(number)
            return bytes
        }

        private static func frame(_ type: String, _ picture: Data, _ members: String) -> String {
            SamplePicture.event(type, members)
                .replacingOccurrences(of: SamplePicture.png, with: picture.base64EncodedString())
        }

        private static func job(_ gateway: LiveGateway, count: Int = 1) async throws -> (StreamingClient, String) {
            let client = try await gateway.connect()
            try await client.post(
                "/v1/generate", json: #"{"prompt": "a lake", "stream": true, "partial_images": 3, "n": \#(count)}"#)
            return (client, try #require(try await client.readHead()["x-safelight-job-id"]))
        }

        /// Reads parts as a browser does: one is shown once the boundary behind it is there.
        private struct PartReader {
            let client: StreamingClient
            let boundary: String
            var text = ByteBuffer()
            private var type: String?
            private var shown: Data?

            init(_ client: StreamingClient) async throws {
                let head = try await client.readHead()
                #expect(head.status == 200)
                #expect(head["cache-control"] == "no-store")
                let type = try #require(head["content-type"])
                try #require(type.hasPrefix("multipart/x-mixed-replace; boundary="))
                self.client = client
                self.boundary = String(type.split(separator: "=")[1])
                try await self.skip(through: "--\(self.boundary)\r\n")
            }

            mutating func take(through mark: String) async throws -> ByteBuffer {
                while true {
                    if let range = Data(self.text.readableBytesView).range(of: Data(mark.utf8)) {
                        let found = self.text.readSlice(length: range.lowerBound) ?? ByteBuffer()
                        self.text.moveReaderIndex(forwardBy: mark.utf8.count)
                        return found
                    }
                    guard var piece = try await self.client.readPiece() else {
                        throw StreamingClient.Violation(description: "the body ends before \(mark)")
                    }
                    self.text.writeBuffer(&piece)
                }
            }

            mutating func skip(through mark: String) async throws { _ = try await self.take(through: mark) }

            /// The next part that differs from the one before: a picture that stands for long is sent again.
            mutating func part() async throws -> (type: String?, bytes: Data, isLast: Bool) {
                while true {
                    let part = try await self.anyPart()
                    if part.bytes != self.shown || part.isLast {
                        self.shown = part.bytes
                        return part
                    }
                }
            }

            private mutating func anyPart() async throws -> (type: String?, bytes: Data, isLast: Bool) {
                if self.type == nil { try await self.readHead() }
                let type = self.type
                let body = try await self.take(through: "\r\n--\(self.boundary)")
                while self.text.readableBytes < 2 {
                    guard var piece = try await self.client.readPiece() else { break }
                    self.text.writeBuffer(&piece)
                }
                let isLast = self.text.readString(length: 2) == "--"
                // As Chromium does: a part is shown once the next one's head is there.
                if isLast { try await self.skip(through: "\r\n") } else { try await self.readHead() }
                return (type, Data(body.readableBytesView), isLast)
            }

            private mutating func readHead() async throws {
                let head = String(buffer: try await self.take(through: "\r\n\r\n")).components(separatedBy: "\r\n")
                let name = "Content-Type: "
                self.type = head.first { $0.hasPrefix(name) }.map { String($0.dropFirst(name.count)) }
            }
        }

        @Test func everyPreviewIsAPartAndThePictureTheLast() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))) {
                gateway in
                let (_, job) = try await Self.job(gateway)
                let visit = try await upstream.next()
                let client = try await gateway.connect()
                try await client.write("GET /v1/jobs/\(job)/live HTTP/1.1\r\nHost: x\r\n\r\n")
                var reader = try await PartReader(client)
                try await visit.write(Self.head)
                // The next preview is made only when the one before is shown.
                for number in 0..<3 as Range<UInt8> {
                    let picture = Self.picture(number)
                    try await visit.write(
                        Self.frame("partial_image", picture, #","partial_image_index":\#(number)"#))
                    let part = try await reader.part()
                    #expect(part.bytes == picture && part.type == "image/png" && !part.isLast)
                }
                let picture = Self.picture(9)
                try await visit.finish(Self.frame("completed", picture, SamplePicture.usage))
                let part = try await reader.part()
                #expect(part.bytes == picture && part.isLast)
                #expect(try await client.readPiece() == nil)
                // Later it is there at once.
                let late = try await gateway.connect()
                try await late.write("GET /v1/jobs/\(job)/live HTTP/1.1\r\nHost: x\r\n\r\n")
                var second = try await PartReader(late)
                let whole = try await second.part()
                #expect(whole.bytes == picture && whole.isLast)
                #expect(try await late.readPiece() == nil)
                try await gateway.wait { $0.streams == 0 && $0.holdsOnlyFinishedJobs }
            }
        }

        @Test func aJobWithoutAPictureEndsIt() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))) {
                gateway in
                let (_, job) = try await Self.job(gateway)
                let visit = try await upstream.next()
                let client = try await gateway.connect()
                try await client.write("GET /v1/jobs/\(job)/live HTTP/1.1\r\nHost: x\r\n\r\n")
                var reader = try await PartReader(client)
                try await visit.write(Self.head + Self.frame("partial_image", Self.picture(1), ""))
                #expect(try await !reader.part().isLast)
                #expect(try await gateway.send("DELETE", "/v1/jobs/\(job)").head.status == 200)
                _ = try await client.readBody()
                // Its preview is still to be had.
                let preview = try await gateway.send("GET", "/v1/jobs/\(job)/previews/0")
                #expect(Data(preview.body.readableBytesView) == Self.picture(1))
            }
        }

        @Test func previewsAreTheNewestAndThenThePicture() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))) {
                gateway in
                let (client, job) = try await Self.job(gateway, count: 2)
                let visit = try await upstream.next()
                #expect(try await gateway.send("GET", "/v1/jobs/\(job)/previews/0").head.status == 404)
                try await visit.write(Self.head)
                let steps: [(String, Int, UInt8)] = [
                    ("partial_image", 0, 1), ("partial_image", 1, 2), ("partial_image", 0, 3), ("completed", 0, 4),
                    ("completed", 1, 5),
                ]
                var shown: [Int: Data] = [:]
                for (type, index, number) in steps {
                    shown[index] = Self.picture(number)
                    let frame = Self.frame(
                        type, Self.picture(number), #","image_index":\#(index),"partial_image_index":0"#)
                    if number == 5 { try await visit.finish(frame) } else { try await visit.write(frame) }
                    let event = type == "completed" ? "image" : "partial_image"
                    while let next = try await client.readEvent(), next.name != event {}
                    for (index, picture) in shown {
                        let (head, body) = try await gateway.send("GET", "/v1/jobs/\(job)/previews/\(index)")
                        #expect(head.status == 200 && head["content-type"] == "image/png")
                        #expect(head["cache-control"] == "no-store" && head["x-content-type-options"] == "nosniff")
                        #expect(Data(body.readableBytesView) == picture)
                        let asked = try await gateway.send("HEAD", "/v1/jobs/\(job)/previews/\(index)")
                        #expect(asked.head["content-length"] == String(picture.count))
                    }
                }
                let live = try await gateway.connect()
                try await live.write("GET /v1/jobs/\(job)/live?image_index=1 HTTP/1.1\r\nHost: x\r\n\r\n")
                var reader = try await PartReader(live)
                #expect(try await reader.part().bytes == Self.picture(5))
            }
        }
    }
}
