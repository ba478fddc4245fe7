import Testing

@testable import Gateway

@Suite struct ConnectionLedgerTests {
    @Test func countsByAddressAndInAll() {
        let ledger = ConnectionLedger(total: 3, perAddress: 2)
        #expect(ledger.open("192.0.2.1"))
        #expect(ledger.open("192.0.2.1"))
        #expect(!ledger.open("192.0.2.1"))
        ledger.close("192.0.2.1")
        #expect(ledger.open("192.0.2.2"))
        #expect(!ledger.open("192.0.2.3"))
        #expect(ledger.openCount == 4)
    }

    @Test func closingGivesThePlaceBack() {
        let ledger = ConnectionLedger(total: 10, perAddress: 1)
        for _ in 0..<100 {
            #expect(ledger.open("192.0.2.1"))
            ledger.close("192.0.2.1")
        }
        #expect(ledger.openCount == 0)
    }

    @Test func oneIPv6NetworkIsOneAddress() {
        let ledger = ConnectionLedger(total: 10, perAddress: 1)
        #expect(ledger.open("2001:db8:0:1::1"))
        #expect(!ledger.open("2001:db8:0:1:ffff::2"))
        #expect(ledger.open("2001:db8:0:2::1"))
    }

    @Test func aSocketWithoutAddressCountsInAllOnly() {
        let ledger = ConnectionLedger(total: 2, perAddress: 1)
        #expect(ledger.open(nil))
        #expect(ledger.open(nil))
        #expect(!ledger.open(nil))
    }

    @Test func limitsChangeWhileConnectionsAreOpen() {
        let ledger = ConnectionLedger(total: 10, perAddress: 10)
        #expect(ledger.open("192.0.2.1"))
        ledger.setLimits(total: 1, perAddress: 1)
        #expect(!ledger.open("192.0.2.1"))
        ledger.setLimits(total: 10, perAddress: 10)
        #expect(ledger.open("192.0.2.1"))
    }
}
