import HTTPTypes
import NIOCore
import Synchronization
import Testing

@testable import Transport

/// Cancelling, closing and sending from every place, and what is left behind.
@Suite(.timeLimit(.minutes(2))) struct SessionTests {
    /// Streams for ever; raises `closed` when a client goes away.
    private static func endless(closed: Signal? = nil) -> ScriptedServer {
        ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\n\r\nstart")
            connection.waitForClose()
            closed?.raise()
        }
    }

    private static let first = UpstreamCallID(1)
    private static let second = UpstreamCallID(2)

    private func expectNothingOpen(_ transport: CurlTransport, sessions: Int = 0) {
        let statistics = transport.statistics
        #expect(statistics == TransportStatistics(threads: statistics.threads, openSessions: sessions))
    }

    @Test func cancelFromOutsideClosesTheConnection() async throws {
        let closed = Signal()
        let server = Self.endless(closed: closed)
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let recorder = CallRecorder()
            let session = transport.open(recorder)
            session.send(UpstreamCall(method: .get, url: server.url), id: Self.first)
            await recorder.wait { $0.outcomes[Self.first]?.body.count == 5 }
            session.cancel(Self.first)
            session.cancel(Self.first)
            session.cancel(Self.second)
            await session.settle()
            self.expectNothingOpen(transport, sessions: 1)
            await closed.wait()
            #expect(recorder[Self.first].hasEnded == false)
            #expect(recorder.strayCallbacks == 0)
            session.close()
        }
    }

    enum Place: CaseIterable, Sendable { case head, bytes }

    @Test(arguments: Place.allCases, [false, true])
    func cancelInsideItsOwnCallback(place: Place, closesSession: Bool) async throws {
        let closed = Signal()
        let server = Self.endless(closed: closed)
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let box = SessionBox()
            let hook: CallRecorder.Hook = { id in
                box.recorder?.forbid(id)
                if closesSession { box.session?.close() } else { box.session?.cancel(id) }
            }
            let recorder = CallRecorder(
                onHead: place == .head ? hook : nil, onBytes: place == .bytes ? hook : nil)
            let session = transport.open(recorder)
            box.set(session, recorder)
            session.send(UpstreamCall(method: .get, url: server.url), id: Self.first)
            await closed.wait()
            await session.settle()
            self.expectNothingOpen(transport, sessions: closesSession ? 0 : 1)
            #expect(recorder.strayCallbacks == 0)
            #expect(recorder[Self.first].hasEnded == false)
            box.clear()
            session.close()
        }
    }

    @Test(
        "a paused call brings nothing, keeps its connection past its idle limit, and goes on without a gap",
        arguments: [1, 3])
    func pauses(times: Int) async throws {
        // Far more than the sockets between take.
        let total = 8 << 20
        let body = [UInt8]((0..<total).lazy.map { UInt8(truncatingIfNeeded: $0 >> 8 ^ $0) })
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(total)\r\n\r\n")
            connection.write(body)
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let box = SessionBox()
            let pauses = Atomic<Int>(0)
            let recorder = CallRecorder(onBytes: { id in
                guard pauses.add(1, ordering: .relaxed).oldValue < times else { return }
                box.session?.pause(id)
                box.session?.schedule(UpstreamTimerID(1), after: .milliseconds(1500))
            })
            let session = transport.open(recorder)
            box.set(session, recorder)
            session.send(
                UpstreamCall(
                    method: .get, url: server.url, timeouts: UpstreamTimeouts(idle: .seconds(1))),
                id: Self.first)
            for round in 1...times {
                await recorder.wait { $0.timers.count == round }
                await session.settle()
                #expect(recorder[Self.first].pieces == round, "nothing came meanwhile")
                session.resume(Self.first)
            }
            let outcome = await recorder.outcome(Self.first)
            #expect(outcome.failure == nil)
            let isWhole = outcome.body == body
            #expect(isWhole, "\(outcome.body.count) of \(total) bytes came")
            box.clear()
            session.close()
        }
    }

    @Test func aPausedCallCanBeCancelled() async throws {
        let closed = Signal()
        let server = Self.endless(closed: closed)
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let recorder = CallRecorder()
            let session = transport.open(recorder)
            session.send(UpstreamCall(method: .get, url: server.url), id: Self.first)
            await recorder.wait { $0.outcomes[Self.first]?.body.count == 5 }
            session.pause(Self.first)
            session.resume(Self.first)
            session.pause(Self.first)
            session.cancel(Self.first)
            session.resume(Self.first)
            await closed.wait()
            await session.settle()
            self.expectNothingOpen(transport, sessions: 1)
            session.close()
        }
    }

    /// libcurl refuses to add or remove calls inside callbacks: both must be put off.
    @Test func sendAndCancelOthersInsideACallback() async throws {
        let server = Self.endless()
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let box = SessionBox()
            let recorder = CallRecorder(onBytes: { id in
                guard id == Self.first else { return }
                box.recorder?.forbid(Self.second)
                box.session?.cancel(Self.second)
                box.session?.send(UpstreamCall(method: .get, url: server.url), id: UpstreamCallID(3))
            })
            let session = transport.open(recorder)
            box.set(session, recorder)
            session.send(UpstreamCall(method: .get, url: server.url), id: Self.second)
            await recorder.wait { $0.outcomes[Self.second]?.body.count == 5 }
            session.send(UpstreamCall(method: .get, url: server.url), id: Self.first)
            await recorder.wait { $0.outcomes[UpstreamCallID(3)]?.body.count == 5 }
            #expect(transport.statistics.openCalls == 2)
            #expect(recorder.strayCallbacks == 0)
            box.clear()
            session.close()
            await session.settle()
            self.expectNothingOpen(transport)
        }
    }

    @Test func sendInsideEndedUsesTheConnectionAgain() async throws {
        let server = ScriptedServer { connection in
            while connection.readRequest() != nil { connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") }
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let box = SessionBox()
            let recorder = CallRecorder(onEnd: { id in
                guard id.rawValue < 50 else { return }
                let call = UpstreamCall(method: .post, url: server.url, body: [ByteBuffer(string: "again")])
                box.session?.send(call, id: UpstreamCallID(id.rawValue + 1))
            })
            let session = transport.open(recorder)
            box.set(session, recorder)
            session.send(UpstreamCall(method: .get, url: server.url), id: Self.first)
            #expect(await recorder.outcome(UpstreamCallID(50)).text == "ok")
            #expect(recorder.endedCalls == 50)
            #expect(server.acceptedConnections == 1)
            box.clear()
            session.close()
        }
    }

    @Test func failuresAreNotReportedInsideSend() async throws {
        try await CurlTransport.with { transport in
            let recorder = CallRecorder()
            let session = transport.open(recorder)
            let seen = Mutex<Bool?>(nil)
            session.execute {
                session.send(UpstreamCall(method: .get, url: "nonsense"), id: Self.first)
                seen.withLock { $0 = recorder[Self.first].hasEnded }
                session.send(UpstreamCall(method: .get, url: "nonsense"), id: Self.second)
                session.cancel(Self.second)
            }
            #expect(await recorder.outcome(Self.first).failure?.reason == .other)
            #expect(seen.withLock { $0 } == false)
            await session.settle()
            #expect(recorder[Self.second].hasEnded == false)
            session.close()
        }
    }

    @Test func workRunsInOrderAndNeverInline() async throws {
        try await CurlTransport.with { transport in
            let session = transport.open(CallRecorder())
            let order = Mutex<[Int]>([])
            session.execute {
                session.execute { order.withLock { $0.append(3) } }
                order.withLock { $0.append(1) }
            }
            session.execute { order.withLock { $0.append(2) } }
            await session.settle()
            #expect(order.withLock { $0.sorted() } == [1, 2, 3])
            #expect(order.withLock { $0.first } == 1)
            session.close()
        }
    }

    @Test func timers() async throws {
        try await CurlTransport.with { transport in
            let recorder = CallRecorder()
            let session = transport.open(recorder)
            session.schedule(UpstreamTimerID(1), after: .milliseconds(60))
            session.schedule(UpstreamTimerID(2), after: .milliseconds(20))
            session.schedule(UpstreamTimerID(3), after: .milliseconds(1))
            session.cancelTimer(UpstreamTimerID(3))
            session.schedule(UpstreamTimerID(4), after: .seconds(3600))
            session.schedule(UpstreamTimerID(4), after: .milliseconds(40))
            session.schedule(UpstreamTimerID(5), after: .seconds(3600))
            await recorder.wait { $0.timers.count == 3 }
            #expect(recorder.firedTimers == [2, 4, 1])
            // A fired timer can be set again; a closed session's never fires.
            session.schedule(UpstreamTimerID(1), after: .zero)
            await recorder.wait { $0.timers.count == 4 }
            session.schedule(UpstreamTimerID(6), after: .zero)
            session.close()
            await session.settle()
            #expect(recorder.firedTimers.count <= 5)
        }
    }

    @Test func closeLetsTheReceiverGo() async throws {
        try await CurlTransport.with { transport in
            var recorder: CallRecorder? = CallRecorder()
            weak let released = recorder
            let session = transport.open(try #require(recorder))
            session.schedule(UpstreamTimerID(1), after: .seconds(3600))
            recorder = nil
            await session.settle()
            #expect(released != nil)
            session.close()
            session.close()
            await session.settle()
            #expect(released == nil)
            self.expectNothingOpen(transport)
        }
    }

    /// 1,000 calls at once, half of them cancelled at random moments.
    @Test func cancelStormLeavesNothing() async throws {
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n")
            for _ in 0..<60 { guard connection.write([UInt8](repeating: 1, count: 1000)) else { return } }
            connection.waitForClose()
        }
        defer { server.stop() }
        try await CurlTransport.with(.init(threads: 2)) { transport in
            var generator = SplitMix(state: 7)
            var sessions: [(session: any UpstreamSession, recorder: CallRecorder)] = []
            for number in 0..<1000 {
                let cancels = number.isMultiple(of: 2)
                let after = Int.random(in: 0..<20, using: &generator)
                let box = SessionBox()
                let recorder = CallRecorder(
                    keepsBody: false,
                    onBytes: { id in
                        guard cancels, box.recorder.map({ $0[id].pieces > after }) == true else { return }
                        box.recorder?.forbid(id)
                        box.session?.cancel(id)
                        box.clear()
                    }, onEnd: { _ in box.clear() })
                let session = transport.open(recorder)
                box.set(session, recorder)
                session.send(UpstreamCall(method: .get, url: server.url), id: UpstreamCallID(number))
                if cancels, after < 5 { session.cancel(UpstreamCallID(number)) }
                sessions.append((session, recorder))
            }
            for (number, entry) in sessions.enumerated() where !number.isMultiple(of: 2) {
                #expect(await entry.recorder.outcome(UpstreamCallID(number)).failure == nil)
            }
            for entry in sessions {
                entry.session.close()
                #expect(entry.recorder.strayCallbacks == 0)
            }
            for entry in sessions.suffix(2) { await entry.session.settle() }
            self.expectNothingOpen(transport)
        }
    }

    @Test func sessionsSpreadOverThreads() async throws {
        let transport = try CurlTransport(.init(threads: 3))
        try transport.start()
        defer { transport.shutdown() }
        let sessions = (0..<30).map { _ in transport.open(CallRecorder()) }
        #expect(transport.sessionsPerThread == [10, 10, 10])
        for session in sessions { session.close() }
    }
}

/// Lets a recorder's hooks reach the session they belong to.
final class SessionBox: Sendable {
    private let content = Mutex<(session: any UpstreamSession, recorder: CallRecorder)?>(nil)

    func set(_ session: any UpstreamSession, _ recorder: CallRecorder) {
        self.content.withLock { $0 = (session, recorder) }
    }

    func clear() { self.content.withLock { $0 = nil } }
    var session: (any UpstreamSession)? { self.content.withLock { $0?.session } }
    var recorder: CallRecorder? { self.content.withLock { $0?.recorder } }
}
