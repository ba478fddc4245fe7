import Foundation
import Glibc
import Synchronization

/// A server on loopback that runs a script for each connection, on a thread of its own.
final class ScriptedServer: Sendable {
    let port: Int
    private let listener: Int32
    private let accepted = Mutex(0)

    /// `backlog` 0 without a script makes a listener that never answers.
    init(backlog: Int32 = 1024, _ script: (@Sendable (ServerConnection) -> Void)? = nil) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var one: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = INADDR_ANY
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutableBytes(of: &address) { raw in
            let generic = raw.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            precondition(bind(listener, generic, length) == 0 && listen(listener, backlog) == 0)
            precondition(getsockname(listener, generic, &length) == 0)
        }
        self.listener = listener
        self.port = Int(UInt16(bigEndian: address.sin_port))
        if let script { Thread.detachNewThread { self.serve(script) } }
    }

    var url: String { "http://127.0.0.1:\(self.port)" }

    var acceptedConnections: Int { self.accepted.withLock { $0 } }

    /// Ends the accepting thread; connections end with their scripts.
    func stop() { shutdown(self.listener, Int32(SHUT_RDWR)) }

    private func serve(_ script: @escaping @Sendable (ServerConnection) -> Void) {
        while true {
            let descriptor = accept(self.listener, nil, nil)
            if descriptor < 0 {
                if errno == EINTR { continue }
                close(self.listener)
                return
            }
            let index = self.accepted.withLock { count in
                defer { count += 1 }
                return count
            }
            let thread = Thread {
                let connection = ServerConnection(descriptor, index: index)
                script(connection)
                connection.close()
            }
            thread.stackSize = 512 * 1024
            thread.start()
        }
    }

    /// Fills the queue of a listener that does not accept, so that further connections hang.
    func fillBacklog() -> [Int32] {
        (0..<8).map { _ in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(self.port).bigEndian
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            withUnsafeBytes(of: &address) { raw in
                _ = connect(
                    descriptor, raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
            }
            return descriptor
        }
    }
}

/// One accepted connection, used by its script's thread alone.
final class ServerConnection {
    let index: Int
    private let descriptor: Int32
    private var pending: [UInt8] = []
    private var isClosed = false

    init(_ descriptor: Int32, index: Int) {
        self.descriptor = descriptor
        self.index = index
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    }

    /// Head and body of the next request; nil when the client has gone.
    func readRequest() -> (head: String, body: [UInt8])? {
        guard let head = self.readHead() else { return nil }
        let length = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { Int($0.split(separator: ":")[1].trimmingCharacters(in: .whitespaces)) }
        guard let body = self.read(length ?? 0) else { return nil }
        return (head, body)
    }

    func readHead() -> String? {
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let range = self.pending.firstRange(of: end) {
                defer { self.pending.removeSubrange(..<range.upperBound) }
                return String(decoding: self.pending[..<range.upperBound], as: UTF8.self)
            }
            guard self.fill() else { return nil }
        }
    }

    func read(_ count: Int) -> [UInt8]? {
        while self.pending.count < count { guard self.fill() else { return nil } }
        defer { self.pending.removeFirst(count) }
        return Array(self.pending[..<count])
    }

    @discardableResult
    func write(_ text: String) -> Bool { self.write(Array(text.utf8)) }

    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                send(self.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    /// Blocks until the client closes or resets.
    func waitForClose() { while self.fill() {} }

    func close() {
        guard !self.isClosed else { return }
        self.isClosed = true
        Glibc.close(self.descriptor)
    }

    /// Ends with RST.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        self.close()
    }

    /// Carries bytes both ways to another port until one side ends.
    func tunnel(toPort port: Int) {
        let other = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let result = withUnsafeBytes(of: &address) { raw in
            connect(other, raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
        }
        guard result == 0 else { return }
        let client = self.descriptor
        Thread.detachNewThread { Self.pump(from: other, to: client) }
        Self.pump(from: client, to: other)
        Glibc.close(other)
    }

    private static func pump(from source: Int32, to target: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = recv(source, &buffer, buffer.count, 0), count > 0 {
            if send(target, buffer, count, Int32(MSG_NOSIGNAL)) != count { break }
        }
        shutdown(target, Int32(SHUT_RDWR))
    }

    private func fill() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(self.descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        self.pending += buffer[..<count]
        return true
    }
}
