/// What a picture shows. Equal values give the same PNG, on any machine and in any run.
package struct Picture: Hashable, Sendable {
    /// Prompt, seed and index in one number; see ``key(subject:seed:)``.
    package var key: UInt64
    /// Pixels, 16…2048.
    package var width: Int
    package var height: Int
    /// An oval picture on nothing instead of a full rectangle.
    package var transparent: Bool

    package static let sides = 16...2048

    package init(key: UInt64, width: Int, height: Int, transparent: Bool = false) {
        self.key = key
        self.width = min(max(width, Self.sides.lowerBound), Self.sides.upperBound)
        self.height = min(max(height, Self.sides.lowerBound), Self.sides.upperBound)
        self.transparent = transparent
    }

    /// - Parameter subject: hash of the prompt and of whatever else shapes the picture.
    package static func key(subject: UInt64, seed: UInt64) -> UInt64 {
        SplitMix64.mix(subject &+ SplitMix64.mix(seed &+ 1))
    }

    /// The picture of this index among several from one request; the first is the picture itself.
    package func sibling(_ index: Int) -> Picture {
        var sibling = self
        if index > 0 { sibling.key = SplitMix64.mix(self.key &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15) }
        return sibling
    }
}

/// How far a picture has come: a preview is the picture at a coarser grain.
package enum Development: Hashable, Sendable {
    /// The `step`th of `count` previews, from 0.
    case preview(step: Int, count: Int)
    case finished

    /// Cells along the longer side; nil draws every pixel. The first preview is a haze of colours, the last shows shapes.
    var cells: Int? {
        switch self {
        case .finished: return nil
        case .preview(let step, let count):
            let steps = [8, 20, 48]
            let place = count <= 1 ? 1 : step * (steps.count - 1) / (count - 1)
            return steps[min(max(place, 0), steps.count - 1)]
        }
    }
}

/// FNV-1a, 64 bits: the same on every machine, unlike `Hasher`.
package struct FNV1a {
    package private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    package init() {}

    package mutating func combine(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { self.value = (self.value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
}

/// Repeatable randomness.
package struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { self.state = seed }

    package mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mix(self.state)
    }

    /// A number in the range, by a method that never changes between library versions.
    mutating func pick(_ range: ClosedRange<Int>) -> Int {
        let span = UInt64(range.upperBound - range.lowerBound + 1)
        return range.lowerBound + Int(((self.next() >> 32) &* span) >> 32)
    }

    package static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
