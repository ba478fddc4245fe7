// Containers and the places between values.

extension JSONFieldScanner {
    /// Takes a byte that is neither white space nor inside a scalar.
    @inline(__always)
    mutating func takeStructure(_ byte: UInt8, _ offset: Int) {
        switch (self.state, byte) {
        case (.value, _): self.beginValue(byte, offset)
        case (.valueOrEnd, UInt8(ascii: "]")): self.closeContainer(offset, isObject: false)
        case (.valueOrEnd, _): self.beginValue(byte, offset)
        case (.key, UInt8(ascii: "\"")), (.keyOrEnd, UInt8(ascii: "\"")): self.beginKey(offset)
        case (.keyOrEnd, UInt8(ascii: "}")): self.closeContainer(offset, isObject: true)
        case (.colon, UInt8(ascii: ":")): self.state = .value
        case (.afterValue, UInt8(ascii: ",")): self.beginNext()
        case (.afterValue, UInt8(ascii: "}")): self.closeContainer(offset, isObject: true)
        case (.afterValue, UInt8(ascii: "]")): self.closeContainer(offset, isObject: false)
        default: self.fail(offset)
        }
    }

    private mutating func beginValue(_ byte: UInt8, _ offset: Int) {
        self.valueStart = offset
        switch byte {
        case UInt8(ascii: "\""):
            self.valueStart = offset + 1
            self.string = StringState(start: offset + 1, mayBeBase64: self.wantedPath >= 0)
            self.state = .string
        case UInt8(ascii: "{"): self.openContainer(offset, isObject: true)
        case UInt8(ascii: "["): self.openContainer(offset, isObject: false)
        case UInt8(ascii: "-"): self.state = .minus
        case UInt8(ascii: "0"): self.state = .zero
        case UInt8(ascii: "1")...UInt8(ascii: "9"): self.state = .integer
        case UInt8(ascii: "t"): self.beginLiteral(.true)
        case UInt8(ascii: "f"): self.beginLiteral(.false)
        case UInt8(ascii: "n"): self.beginLiteral(.null)
        default: self.fail(offset)
        }
    }

    /// A scalar is complete; `end` is the offset behind it, of a string without its quote.
    mutating func endValue(_ kind: JSONField.Kind, _ end: Int) {
        self.state = self.stack.isEmpty ? .end : .afterValue
        guard self.wantedPath >= 0 else { return }
        self.record(kind, self.valueStart..<end)
        guard kind == .string, self.state != .failed else { return }
        let last = self.found.count - 1
        self.found[last].hasEscapes = self.string.hasEscapes
        self.found[last].base64Start = self.string.mayBeBase64 ? self.string.base64Start : nil
    }

    /// Notes the value at `node`, which is wanted.
    private mutating func record(_ kind: JSONField.Kind, _ range: Range<Int>) {
        guard self.found.count < self.maximumFields else {
            return self.fail(.tooManyValues(limit: self.maximumFields))
        }
        let stars = self.paths.nodes[self.node].stars
        let elements = (stars > 0 ? self.elements.0 : -1, stars > 1 ? self.elements.1 : -1)
        self.found.append(JSONField(path: self.wantedPath, elements: elements, kind: kind, range: range))
    }

    private mutating func openContainer(_ offset: Int, isObject: Bool) {
        guard self.stack.count < self.maximumNesting else {
            return self.fail(.nestingTooDeep(offset: offset, limit: self.maximumNesting))
        }
        var container = Container(isObject: isObject, node: self.node, edges: 0..<0, field: -1, foundBefore: 0)
        self.state = isObject ? .keyOrEnd : .valueOrEnd
        if self.node >= 0 {
            if isObject { container.edges = self.paths.nodes[self.node].edges }
            if self.wantedPath >= 0 {
                container.field = self.found.count
                self.record(isObject ? .object : .array, offset..<Self.unfinished)
                guard self.state != .failed else { return }
            }
        }
        container.foundBefore = self.found.count
        self.stack.append(container)
        if !isObject { self.enterElement(container.node, 0) }
    }

    private mutating func closeContainer(_ offset: Int, isObject: Bool) {
        guard let container = self.stack.last, container.isObject == isObject else { return self.fail(offset) }
        self.stack.removeLast()
        if container.field >= 0 {
            let start = self.found[container.field].range.lowerBound
            self.found[container.field].range = start..<offset + 1
        }
        self.state = self.stack.isEmpty ? .end : .afterValue
    }

    /// A comma: the next member or element.
    private mutating func beginNext() {
        let top = self.stack.count - 1
        guard !self.stack[top].isObject else {
            self.state = .key
            return
        }
        self.state = .value
        self.stack[top].elementIndex += 1
        self.enterElement(self.stack[top].node, self.stack[top].elementIndex)
    }

    private mutating func enterElement(_ array: Int, _ index: Int) {
        self.node = array < 0 ? -1 : self.paths.nodes[array].element
        self.wantedPath = self.node < 0 ? -1 : self.paths.nodes[self.node].path
        guard self.node >= 0 else { return }
        switch self.paths.nodes[self.node].stars {
        case 1: self.elements.0 = index
        case 2: self.elements.1 = index
        default: break
        }
    }

    // MARK: Keys

    private mutating func beginKey(_ offset: Int) {
        self.string = StringState(start: offset + 1, mayBeBase64: false)
        self.string.isKey = true
        self.key.begin(isWanted: !self.stack[self.stack.count - 1].edges.isEmpty)
        self.state = .string
    }

    /// The key is complete: chooses the node of its value.
    mutating func endKey(_ name: UnsafeBufferPointer<UInt8>) {
        self.state = .colon
        self.node = -1
        self.wantedPath = -1
        guard self.key.isWanted else { return }
        let top = self.stack.count - 1
        let edges = self.stack[top].edges
        guard let edge = self.paths.edge(edges, name) else { return }
        self.node = self.paths.edges[edge].child
        self.wantedPath = self.paths.nodes[self.node].path
        // Edges beyond the 64th always count as seen, which costs a needless cut and no more.
        let position = edge - edges.lowerBound
        let bit: UInt64 = position < 64 ? 1 << UInt64(position) : 0
        if bit == 0 || self.stack[top].seen & bit != 0 { self.cut(from: self.stack[top].foundBefore) }
        self.stack[top].seen |= bit
    }
}
