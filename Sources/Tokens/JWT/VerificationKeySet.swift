package import NIOCore
import StreamCodecs

/// The keys of one issuer: a JSON Web Key Set.
package struct VerificationKeySet: Sendable {
    private let keys: [VerificationKey]

    /// Keys of a set; more are refused as a whole.
    private static let maximumKeys = 100

    /// Keys that are of no use are left out: one bad key does not take the others with it.
    /// - Returns: nil for what is no key set, and for one without a key that is of use.
    package init?(_ document: ByteBuffer, allowed: Set<SignatureAlgorithm>) async {
        guard let root = try? JSONDocument(document, maximumNesting: 16, maximumNodes: 1 << 14).root,
            let list = root["keys"], list.kind == .array, list.elements.count <= Self.maximumKeys
        else { return nil }
        var keys: [VerificationKey] = []
        for element in list.elements {
            if let key = await VerificationKey(element, allowed: allowed) { keys.append(key) }
        }
        // An issuer may withdraw its last key; a set of which nothing can be used says nothing.
        guard !keys.isEmpty || list.elements.isEmpty else { return nil }
        self.keys = keys
    }

    package var count: Int { self.keys.count }

    package enum Finding: Sendable {
        case key(VerificationKey)
        /// The issuer may have a newer key.
        case unknown
        /// The token names an algorithm that its key is not for, or a key that cannot be told from another.
        case unsuitable
    }

    /// The one key that the token names. A token that names none is taken only where the set is a single key without a name.
    package func find(for token: CompactJWS) -> Finding {
        guard let id = token.keyID else {
            guard self.keys.count == 1, self.keys[0].id == nil else { return .unsuitable }
            return self.keys[0].allows(token.algorithm) ? .key(self.keys[0]) : .unsuitable
        }
        let named = self.keys.filter { $0.id == id }
        guard let key = named.first else { return .unknown }
        return named.count == 1 && key.allows(token.algorithm) ? .key(key) : .unsuitable
    }
}
