extension JSONWriter {
    /// Writes a parsed value without white space and with this writer's escapes, so that it fits on one line. Numbers
    /// keep their text. With duplicate keys allowed, all of them are written.
    package mutating func value(_ node: JSONNode) {
        let records = node.storage.records
        let end = Int(records[node.index].next)
        /// Containers that are open, and where each ends.
        var open: [(end: Int, isObject: Bool, nextKey: Int)] = []
        var index = node.index
        while index < end {
            if let top = open.last, top.isObject, top.nextKey == index {
                self.key(dynamic: JSONNode(storage: node.storage, index: index).string ?? "")
                open[open.count - 1].nextKey = Int(records[index + 1].next)
            } else {
                let record = records[index]
                self.begin(JSONNode(storage: node.storage, index: index), record.tag)
                if record.tag == .object || record.tag == .array {
                    open.append((Int(record.next), record.tag == .object, index + 1))
                }
            }
            index += 1
            while let top = open.last, top.end == index {
                if top.isObject { self.endObject() } else { self.endArray() }
                open.removeLast()
            }
        }
    }

    private mutating func begin(_ node: JSONNode, _ tag: JSONNode.Record.Tag) {
        switch tag {
        case .object: self.beginObject()
        case .array: self.beginArray()
        case .plainString, .escapedString: self.value(node.string ?? "")
        case .number, .true, .false, .null: self.value(raw: node.raw)
        }
    }
}
