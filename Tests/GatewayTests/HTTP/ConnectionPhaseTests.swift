import Testing

@testable import Gateway

@Suite struct ConnectionPhaseTests {
    @Test func aRequestFromItsFirstByteToTheNext() {
        var phase = ConnectionPhase()
        #expect(phase.deadline == .keepAlive)
        let begins = phase.receivedBytes()
        #expect(begins)
        let beginsAgain = phase.receivedBytes()
        #expect(!beginsAgain)
        #expect(phase.deadline == .head)
        phase.receivedHead()
        phase.handedOn()
        #expect(phase.isResponding && !phase.headWritten)
        #expect(phase.deadline == .body(received: 0))
        #expect(phase.awaitsBody)
        phase.receivedBody(10)
        #expect(!phase.awaitsBody)
        phase.receivedBody(5)
        #expect(phase.deadline == .body(received: 15))
        phase.receivedEnd()
        #expect(phase.deadline == .none)
        phase.wroteHead()
        #expect(phase.headWritten)
        let whole = phase.wroteEnd()
        #expect(whole)
        #expect(phase.reading == .idle && !phase.isResponding)
        #expect(phase.deadline == .keepAlive)
    }

    @Test func anAnswerBeforeTheWholeRequestCannotKeepTheConnection() {
        var phase = ConnectionPhase()
        _ = phase.receivedBytes()
        phase.receivedHead()
        phase.handedOn()
        phase.receivedBody(3)
        phase.wroteHead()
        let whole = phase.wroteEnd()
        #expect(!whole)
        #expect(!phase.isResponding)
    }

    @Test func theNextRequestsResponseStartsWithoutAHead() {
        var phase = ConnectionPhase()
        for _ in 0..<2 {
            _ = phase.receivedBytes()
            phase.receivedHead()
            phase.handedOn()
            #expect(!phase.headWritten)
            phase.receivedEnd()
            phase.wroteHead()
            let whole = phase.wroteEnd()
            #expect(whole)
        }
    }

    @Test func bytesOutsideABodyAreNotCounted() {
        var phase = ConnectionPhase()
        phase.receivedBody(5)
        #expect(phase.reading == .idle)
    }
}
