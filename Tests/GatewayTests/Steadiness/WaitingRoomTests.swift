import Testing

@testable import Gateway

@Suite struct WaitingRoomTests {
    @Test func placesGoToThoseWhoCameFirst() {
        let room = Box(WaitingRoom(places: 1, seats: 2))
        #expect(room({ $0.enter(1) }) == .admitted)
        #expect(room({ $0.enter(2) }) == .waiting(ahead: 0))
        #expect(room({ $0.enter(3) }) == .waiting(ahead: 1))
        #expect(room.value.isFull)
        #expect(room({ $0.leave(1) }) == 2)
        #expect(room({ $0.standing(of: 2) }) == .admitted)
        #expect(room({ $0.standing(of: 3) }) == .waiting(ahead: 0))
        #expect(room({ $0.leave(2) }) == 3)
        #expect(room({ $0.leave(3) }) == nil)
        #expect(room.value.taken == 0)
    }

    @Test func whoGivesUpFreesASeatAndNoPlace() {
        let room = Box(WaitingRoom(places: 1, seats: 1))
        room({ $0.enter(1) })
        room({ $0.enter(2) })
        #expect(room({ $0.leave(2) }) == nil)
        #expect(!room.value.isFull)
        #expect(room.value.taken == 1)
    }

    @Test func withoutABoundNobodyWaits() {
        let room = Box(WaitingRoom(places: nil, seats: 0))
        for ticket in 0..<100 { #expect(room({ $0.enter(UInt64(ticket)) }) == .admitted) }
        #expect(!room.value.isFull)
        #expect(room({ $0.leave(7) }) == nil)
    }

    @Test func jobsThatAreThereAlreadyTakePlacesBeyondTheBound() {
        let room = Box(WaitingRoom(places: 1, seats: 5))
        room({ $0.occupy() })
        room({ $0.occupy() })
        #expect(room({ $0.enter(3) }) == .waiting(ahead: 0))
        #expect(room({ $0.leave(1) }) == nil)
        #expect(room({ $0.leave(2) }) == 3)
    }
}

@Suite struct GroupRotationTests {
    @Test(arguments: [[1], [1, 1], [3, 1], [5, 2, 1], [1000, 1]]) func workIsSharedByWeight(weights: [Int]) {
        let rotation = Box(GroupRotation(weights: weights))
        let rounds = weights.reduce(0, +)
        var counts = [Int](repeating: 0, count: weights.count)
        for _ in 0..<rounds * 3 { counts[rotation({ $0.next() })[0]] += 1 }
        #expect(counts == weights.map { $0 * 3 })
    }

    @Test func theLighterMemberComesInBetween() {
        let rotation = Box(GroupRotation(weights: [3, 1]))
        #expect((0..<8).map { _ in rotation({ $0.next() })[0] } == [0, 0, 1, 0, 0, 0, 1, 0])
    }

    @Test func everyOtherMemberIsAFallback() {
        let rotation = Box(GroupRotation(weights: [5, 2, 1]))
        for _ in 0..<20 { #expect(rotation({ $0.next() }).sorted() == [0, 1, 2]) }
    }
}
