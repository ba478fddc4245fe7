/// Which values of a document are wanted: dotted paths from the root, where `*` is any array element: "type",
/// "error.message", "data.*.b64_json". The empty path is the root itself. A key that holds a dot cannot be named.
///
/// A path that is given twice is reported under its first index.
package struct JSONFieldPaths: Sendable {
    /// Nodes of the tree of paths in preorder: the descendants of `n` are `n + 1 ..< end`. The root is 0.
    struct Node: Sendable {
        var parent: Int
        var end = 0
        /// The path that ends here; -1 if none.
        var path = -1
        /// The node of the array's elements; -1 if they are not wanted.
        var element = -1
        /// How many `*` lead here.
        var stars: Int
        var edges = 0..<0
    }

    /// A wanted key of an object.
    struct Edge: Sendable {
        /// Its first eight bytes packed, which tell most keys apart.
        var head: UInt64
        /// All of it, in `keys`.
        var key: Range<Int>
        var child: Int
    }

    /// Behind one reference, since paths are handed on with every document.
    private final class Tree: Sendable {
        let nodes: [Node]
        let edges: [Edge]
        /// Bytes of all keys.
        let keys: [UInt8]
        let longestKey: Int
        /// The node where each path ends.
        let ends: [Int]

        init(_ builder: Builder) {
            self.nodes = builder.nodes
            self.edges = builder.edges
            self.keys = builder.keys
            self.longestKey = builder.longestKey
            self.ends = builder.ends
        }
    }

    private let tree: Tree

    var nodes: [Node] { self.tree.nodes }
    var edges: [Edge] { self.tree.edges }
    var longestKey: Int { self.tree.longestKey }
    var ends: [Int] { self.tree.ends }

    package init(_ paths: [String]) { self.tree = Tree(Builder(paths)) }

    /// The first index of the same path.
    func canonical(_ path: Int) -> Int { self.nodes[self.ends[path]].path }

    /// The edge among `edges` whose key is `key`.
    @inline(__always)
    func edge(_ edges: Range<Int>, _ key: UnsafeBufferPointer<UInt8>) -> Int? {
        let head = Self.head(key)
        let tree = self.tree
        for index in edges where tree.edges[index].head == head {
            let range = tree.edges[index].key
            guard range.count == key.count else { continue }
            var at = min(8, key.count)
            while at < key.count, tree.keys[range.lowerBound &+ at] == key[at] { at &+= 1 }
            if at == key.count { return index }
        }
        return nil
    }

    private static func head(_ key: UnsafeBufferPointer<UInt8>) -> UInt64 {
        if key.count >= 8 { return UnsafeRawBufferPointer(key).loadUnaligned(as: UInt64.self).littleEndian }
        var head: UInt64 = 0
        for index in key.indices { head |= UInt64(key[index]) << (8 &* UInt64(index)) }
        return head
    }
}

// MARK: - Building

extension JSONFieldPaths {
    private struct Builder {
        var nodes: [Node] = []
        var edges: [Edge] = []
        var keys: [UInt8] = []
        var longestKey = 0
        var ends: [Int]

        init(_ paths: [String]) {
            self.ends = Array(repeating: 0, count: paths.count)
            let split = paths.enumerated().map { index, path in
                Pending(
                    path: index,
                    rest: path.isEmpty ? [] : path.split(separator: ".", omittingEmptySubsequences: false)[...])
            }
            _ = self.add(split, parent: -1, stars: 0)
        }

        private struct Pending {
            let path: Int
            let rest: ArraySlice<Substring>

            var next: Pending { Pending(path: self.path, rest: self.rest.dropFirst()) }
        }

        /// Adds the node that all of `pending` lead to, and those below it.
        private mutating func add(_ pending: [Pending], parent: Int, stars: Int) -> Int {
            let node = self.nodes.count
            self.nodes.append(Node(parent: parent, stars: stars))
            for entry in pending where entry.rest.isEmpty {
                self.ends[entry.path] = node
                if self.nodes[node].path < 0 { self.nodes[node].path = entry.path }
            }
            let below = pending.filter { !$0.rest.isEmpty }
            let elements = below.filter { $0.rest.first == "*" }
            if !elements.isEmpty {
                self.nodes[node].element = self.add(elements.map(\.next), parent: node, stars: stars + 1)
            }
            var names: [Substring] = []
            for entry in below {
                if let name = entry.rest.first, name != "*", !names.contains(name) { names.append(name) }
            }
            self.addMembers(names, of: node, below, stars)
            self.nodes[node].end = self.nodes.count
            return node
        }

        /// The edges of one node lie together, so they are reserved before the nodes below add theirs.
        private mutating func addMembers(_ names: [Substring], of node: Int, _ below: [Pending], _ stars: Int) {
            let first = self.edges.count
            for name in names {
                let start = self.keys.count
                self.keys.append(contentsOf: name.utf8)
                self.longestKey = max(self.longestKey, name.utf8.count)
                let head = Array(name.utf8).withUnsafeBufferPointer { JSONFieldPaths.head($0) }
                self.edges.append(Edge(head: head, key: start..<self.keys.count, child: -1))
            }
            self.nodes[node].edges = first..<self.edges.count
            for (index, name) in names.enumerated() {
                let members = below.filter { $0.rest.first == name }.map(\.next)
                self.edges[first + index].child = self.add(members, parent: node, stars: stars)
            }
        }
    }
}
