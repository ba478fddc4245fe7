/// Places at an upstream and the jobs that wait for one, in the order in which they came.
struct WaitingRoom: Sendable {
    /// Jobs at once; nil: any number.
    let places: Int?
    /// Jobs that may wait besides.
    let seats: Int

    private(set) var taken = 0
    /// By ticket, in order of arrival.
    private(set) var waiting: [UInt64] = []

    enum Standing: Hashable, Sendable {
        case admitted
        /// Jobs ahead of this one.
        case waiting(ahead: Int)
    }

    init(places: Int?, seats: Int) {
        self.places = places
        self.seats = seats
    }

    private var hasPlace: Bool { self.places.map { self.taken < $0 && self.waiting.isEmpty } ?? true }

    /// There is neither a place nor a seat.
    var isFull: Bool { !self.hasPlace && self.waiting.count >= self.seats }

    /// To be asked for after ``isFull``; jobs that were accepted already find a seat all the same.
    /// - Parameter ticket: unique among those inside.
    mutating func enter(_ ticket: UInt64) -> Standing {
        guard self.hasPlace else {
            self.waiting.append(ticket)
            return .waiting(ahead: self.waiting.count - 1)
        }
        self.taken += 1
        return .admitted
    }

    /// Takes a place although there may be none: the job is at the upstream already.
    mutating func occupy() { self.taken += 1 }

    /// Seats are few (``seats``), so looking for one is cheap.
    func standing(of ticket: UInt64) -> Standing {
        self.waiting.firstIndex(of: ticket).map { .waiting(ahead: $0) } ?? .admitted
    }

    /// A job goes, from its place or from its seat.
    /// - Returns: who gets the place.
    mutating func leave(_ ticket: UInt64) -> UInt64? {
        if let seat = self.waiting.firstIndex(of: ticket) {
            self.waiting.remove(at: seat)
            return nil
        }
        self.taken -= 1
        guard let places = self.places, self.taken < places, !self.waiting.isEmpty else { return nil }
        self.taken += 1
        return self.waiting.removeFirst()
    }
}
