import HTTPTypes
import ImageGeneration
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Gateway

@Suite struct IdempotencyTests {
    private static let now = Timestamp(seconds: 1_700_000_000)
    private static let job = JobID(high: 1, low: 1)

    private static func key(_ text: String, scope: String = "a") throws -> IdempotencyKey {
        try #require(try IdempotencyKey([.idempotencyKey: text], scope: scope))
    }

    private static func digest(_ body: String, method: String = "POST", path: String = "/a", type: String? = nil)
        -> RequestDigest
    {
        RequestDigest(method: method, path: path, contentType: type, body: ByteBuffer(string: body))
    }

    private static func word(_ claim: IdempotencyTable.Claim) -> String {
        switch claim {
        case .first: "first"
        case .job: "job"
        case .mismatch: "mismatch"
        case .wait: "wait"
        }
    }

    @Test func keysAreVisibleASCII() throws {
        #expect(try IdempotencyKey([:], scope: "a") == nil)
        for good in [
            "a", "!~", String(repeating: "k", count: 255), "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "\"quoted\"",
        ] {
            #expect(try IdempotencyKey([.idempotencyKey: good], scope: "a")?.text == good)
        }
        for bad in ["", " ", "a b", "ä", String(repeating: "k", count: 256)] {
            #expect(throws: GatewayError.self, "\(bad)") { try IdempotencyKey([.idempotencyKey: bad], scope: "a") }
        }
        var twice = HTTPFields()
        twice.append(HTTPField(name: .idempotencyKey, value: "a"))
        twice.append(HTTPField(name: .idempotencyKey, value: "b"))
        #expect(throws: GatewayError.self) { try IdempotencyKey(twice, scope: "a") }
    }

    @Test func requestsDifferByMethodPathAndBody() {
        let one = Self.digest("body")
        #expect(one == Self.digest("body", type: "text/plain"))
        #expect(one != Self.digest("body "))
        #expect(one != Self.digest("body", path: "/b"))
        #expect(one != Self.digest("body", method: "PUT"))
        #expect(Self.digest("") == Self.digest(""))
    }

    /// Clients choose a new boundary when they send a form again.
    @Test(arguments: ["multipart/form-data; boundary=%", "Multipart/Form-Data; charset=x; boundary=\"%\"; x=y"])
    func aFormsBoundaryDoesNotCount(_ type: String) {
        func digest(_ boundary: String, _ first: String, _ second: String) -> RequestDigest {
            let body = "--\(boundary)\r\n\(first)\r\n--\(boundary)\r\n\(second)\r\n--\(boundary)--\r\n"
            return Self.digest(body, type: type.replacingFirst("%", with: boundary))
        }
        let one = digest("1111222233334444", "a", "b")
        #expect(one == digest("boundary-of-another-length", "a", "b"))
        #expect(one != digest("1111222233334444", "a", "c"))
        #expect(one != digest("1111222233334444", "ab", ""))
    }

    @Test func aKeyStandsForOneJob() throws {
        let table = IdempotencyTable()
        let key = try Self.key("k")
        #expect(Self.word(table.claim(key, Self.digest("x"), now: Self.now)) == "first")
        // While the job starts nobody knows yet whether the key will be taken.
        #expect(Self.word(table.claim(key, Self.digest("x"), now: Self.now)) == "wait")
        #expect(Self.word(table.claim(key, Self.digest("y"), now: Self.now)) == "wait")
        table.fulfil(key, with: Self.job)
        guard case .job(Self.job) = table.claim(key, Self.digest("x"), now: Self.now) else {
            Issue.record("no job")
            return
        }
        #expect(Self.word(table.claim(key, Self.digest("y"), now: Self.now)) == "mismatch")
        #expect(Self.word(table.claim(try Self.key("k", scope: "b"), Self.digest("y"), now: Self.now)) == "first")
        #expect(Self.word(table.claim(try Self.key("K"), Self.digest("y"), now: Self.now)) == "first")
    }

    @Test func aKeyWithoutAJobIsFreeAgain() throws {
        let table = IdempotencyTable()
        let key = try Self.key("k")
        _ = table.claim(key, Self.digest("x"), now: Self.now)
        guard case .wait(let gate) = table.claim(key, Self.digest("y"), now: Self.now) else {
            Issue.record("does not wait")
            return
        }
        table.abandon(key)
        #expect(gate.isOpen)
        #expect(Self.word(table.claim(key, Self.digest("y"), now: Self.now)) == "first")
        #expect(table.count == 1)
    }

    @Test func keysAreKeptForADayAndWithinBounds() throws {
        let table = IdempotencyTable(retentionMilliseconds: 1000, maximumCount: 3)
        for number in 0..<10 {
            let key = try Self.key("k\(number)")
            #expect(Self.word(table.claim(key, Self.digest("x"), now: Self.now)) == "first")
            table.fulfil(key, with: Self.job)
        }
        #expect(table.count == 4)
        #expect(Self.word(table.claim(try Self.key("k9"), Self.digest("x"), now: Self.now)) == "job")
        let later = Self.now.advanced(byMilliseconds: 1000)
        #expect(Self.word(table.claim(try Self.key("k9"), Self.digest("x"), now: later)) == "first")
        #expect(table.count == 1)
        // One whose job is just starting stays, however old it looks.
        #expect(
            Self.word(table.claim(try Self.key("k9"), Self.digest("x"), now: later.advanced(byMilliseconds: 5000)))
                == "wait")
    }

    private final class Counts: Sendable {
        let starts = Mutex(0)
        private let failures: Mutex<Int>

        init(failures: Int) { self.failures = Mutex(failures) }

        func takesFailure() -> Bool {
            self.failures.withLock { left in
                left -= 1
                return left >= 0
            }
        }
    }

    /// Whatever the interleaving, one starts the job, and all others get it.
    @Test func ofManyAtOnceOneIsFirst() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        for round in 0..<50 {
            let table = IdempotencyTable()
            let key = try Self.key("k\(round)")
            let counts = Counts(failures: round % 3)
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        while true {
                            switch table.claim(key, Self.digest("x"), now: Self.now) {
                            case .first:
                                await Task.yield()
                                if counts.takesFailure() {
                                    table.abandon(key)
                                    return false
                                }
                                counts.starts.withLock { $0 += 1 }
                                table.fulfil(key, with: Self.job)
                                return true
                            case .job: return true
                            case .mismatch: return false
                            case .wait(let gate): try? await gate.opened(on: loop).get()
                            }
                        }
                    }
                }
                var served = 0
                for await success in group where success { served += 1 }
                #expect(served == 16 - round % 3)
            }
            #expect(counts.starts.withLock { $0 } == 1)
        }
    }
}

extension String {
    fileprivate func replacingFirst(_ text: String, with other: String) -> String {
        guard let range = self.firstRange(of: text) else { return self }
        return self.replacingCharacters(range, other)
    }

    private func replacingCharacters(_ range: Range<String.Index>, _ other: String) -> String {
        var copy = self
        copy.replaceSubrange(range, with: other)
        return copy
    }
}
