import CCurl

/// The functions libcurl calls, each with the ``CurlCall`` or ``CurlShard`` it is about. Both outlive their
/// registration: a call is retained while its handle is attached, a shard as long as its multi handle.
enum CurlCallbacks {
    static let header: ccurl_data_callback = { bytes, size, count, context in
        guard let context else { return failed }
        let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
        return Unmanaged<CurlCall>.fromOpaque(context)._withUnsafeGuaranteedRef {
            $0.received(headerLine: line) ? line.count : failed
        }
    }

    static let body: ccurl_data_callback = { bytes, size, count, context in
        guard let context else { return failed }
        let piece = UnsafeRawBufferPointer(start: bytes, count: size * count)
        return Unmanaged<CurlCall>.fromOpaque(context)._withUnsafeGuaranteedRef {
            if $0.isPaused, !$0.isOver { return Int(CURL_WRITEFUNC_PAUSE) }
            return $0.received(piece: piece) ? piece.count : failed
        }
    }

    static let upload: ccurl_data_callback = { bytes, size, count, context in
        guard let context else { return Int(CURL_READFUNC_ABORT) }
        let target = UnsafeMutableRawBufferPointer(start: bytes, count: size * count)
        return Unmanaged<CurlCall>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.fill(target) }
    }

    static let seek: ccurl_seek_callback = { context, offset, origin in
        guard let context, offset == 0, origin == SEEK_SET else { return CURL_SEEKFUNC_FAIL }
        Unmanaged<CurlCall>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.rewindBody() }
        return CURL_SEEKFUNC_OK
    }

    static let connectionReady: ccurl_prereq_callback = { context, _, _, _, _ in
        guard let context else { return CURL_PREREQFUNC_ABORT }
        return Unmanaged<CurlCall>.fromOpaque(context)._withUnsafeGuaranteedRef {
            $0.connectionReady() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
        }
    }

    static let addressCheck: ccurl_address_check = { context, address in
        guard let context, let address else { return false }
        return Unmanaged<CurlCall>.fromOpaque(context)._withUnsafeGuaranteedRef {
            $0.mayConnect(to: String(cString: address))
        }
    }

    static let socket: ccurl_socket_callback = { _, socket, what, context, assigned in
        guard let context else { return -1 }
        return Unmanaged<CurlShard>.fromOpaque(context)._withUnsafeGuaranteedRef {
            $0.watch(socket, what: what, isKnown: assigned != nil)
        }
    }

    static let timer: ccurl_timer_callback = { _, milliseconds, context in
        guard let context else { return -1 }
        Unmanaged<CurlShard>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.setTimer(milliseconds: milliseconds) }
        return 0
    }

    static let socketOpened: ccurl_socket_event = { context in
        guard let context else { return }
        Unmanaged<CurlShard>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.socketOpened() }
    }

    static let socketClosed: ccurl_socket_event = { context in
        guard let context else { return }
        Unmanaged<CurlShard>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.socketClosed() }
    }

    /// No count that libcurl accepts: it ends the call with CURLE_WRITE_ERROR. (CURL_WRITEFUNC_ERROR; 0 would be taken
    /// as success for an empty piece.)
    private static let failed = Int(UInt32.max)
}
