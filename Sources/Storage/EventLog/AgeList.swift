/// Values by key in the order they were put in. Every operation takes the same time, however many there are.
package struct AgeList<Value: Sendable>: Sendable {
    package typealias Key = UInt64

    private struct Node: Sendable {
        var value: Value
        var previous: Key?
        var next: Key?
    }

    private var nodes: [Key: Node] = [:]
    private var oldest: Key?
    private var newest: Key?

    package init() {}

    package var count: Int { self.nodes.count }
    package var isEmpty: Bool { self.nodes.isEmpty }
    package var first: (key: Key, value: Value)? { self.oldest.flatMap { key in self[key].map { (key, $0) } } }
    package var last: (key: Key, value: Value)? { self.newest.flatMap { key in self[key].map { (key, $0) } } }

    package subscript(key: Key) -> Value? { self.nodes[key]?.value }

    /// Puts the value behind all others; one that the key had before goes.
    package mutating func append(_ value: Value, for key: Key) {
        self.remove(key)
        self.nodes[key] = Node(value: value, previous: self.newest, next: nil)
        if let newest = self.newest { self.nodes[newest]?.next = key } else { self.oldest = key }
        self.newest = key
    }

    /// Puts the value before all others; one that the key had before goes.
    package mutating func prepend(_ value: Value, for key: Key) {
        self.remove(key)
        self.nodes[key] = Node(value: value, previous: nil, next: self.oldest)
        if let oldest = self.oldest { self.nodes[oldest]?.previous = key } else { self.newest = key }
        self.oldest = key
    }

    package mutating func insert(_ value: Value, for key: Key, inFront: Bool) {
        if inFront { self.prepend(value, for: key) } else { self.append(value, for: key) }
    }

    @discardableResult
    package mutating func remove(_ key: Key) -> Value? {
        guard let node = self.nodes.removeValue(forKey: key) else { return nil }
        if let previous = node.previous { self.nodes[previous]?.next = node.next } else { self.oldest = node.next }
        if let next = node.next { self.nodes[next]?.previous = node.previous } else { self.newest = node.previous }
        return node.value
    }
}
