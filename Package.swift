// swift-tools-version: 6.1

import PackageDescription

/// Applied to every Swift target. Warnings become errors in `make check`, never in `make run`.
let strictSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    // The hot path crosses targets, and debug builds and tests check exclusive access; see docs/decisions/0006.
    .unsafeFlags(["-cross-module-optimization", "-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let nioHTTPTypes: Target.Dependency = .product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHPACK: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let nioHTTPTypesHTTP2: Target.Dependency = .product(name: "NIOHTTPTypesHTTP2", package: "swift-nio-extras")
let nioHTTPTypesHTTP1: Target.Dependency = .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let serviceLifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqlite: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let jwtKit: Target.Dependency = .product(name: "JWTKit", package: "jwt-kit")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "safelight",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "safelight", targets: ["Safelight"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", .upToNextMinor(from: "2.101.2")),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", .upToNextMinor(from: "2.37.6")),
        .package(url: "https://github.com/apple/swift-nio-http2.git", .upToNextMinor(from: "1.46.0")),
        .package(url: "https://github.com/apple/swift-nio-extras.git", .upToNextMinor(from: "1.35.2")),
        .package(url: "https://github.com/apple/swift-http-types.git", .upToNextMinor(from: "1.8.0")),
        .package(url: "https://github.com/apple/swift-log.git", .upToNextMinor(from: "1.16.2")),
        .package(url: "https://github.com/apple/swift-crypto.git", .upToNextMinor(from: "4.5.2")),
        .package(url: "https://github.com/apple/swift-argument-parser.git", .upToNextMinor(from: "1.8.2")),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", .upToNextMinor(from: "2.28.1")),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", .upToNextMinor(from: "2.13.0")),
        .package(url: "https://github.com/groue/GRDB.swift.git", .upToNextMinor(from: "7.10.0")),
        .package(url: "https://github.com/vapor/jwt-kit.git", .upToNextMinor(from: "5.7.1")),
    ],
    targets: [
        // Bytes to frames and back. Knows nothing of images, upstreams or clients.
        .target(name: "CScan"),
        .target(name: "StreamCodecs", dependencies: ["CScan", nioCore], swiftSettings: strictSettings),
        // The unified model: values only.
        .target(name: "ImageGeneration", dependencies: [nioCore], swiftSettings: strictSettings),
        // Upstream side and client side. They meet only in ImageGeneration; neither may import the other.
        .target(
            name: "Providers", dependencies: ["StreamCodecs", "ImageGeneration", nioCore, httpTypes],
            resources: ["stages", "fal", "replicate", "bfl"].map { .embedInCode("Queue/Presets/\($0).json") }
                + [.embedInCode("Sync/Presets/sync.json")],
            swiftSettings: strictSettings),
        .target(
            name: "Dialects", dependencies: ["StreamCodecs", "ImageGeneration", nioCore, httpTypes],
            swiftSettings: strictSettings),
        // Who is let in, and how much of it: principals and limits. No I/O, no clock.
        .target(name: "Admission", dependencies: ["ImageGeneration", nioCore, crypto], swiftSettings: strictSettings),
        // What credentials look like and whether they hold: static tokens, JWTs, tickets, session cookies. No I/O, no clock.
        .target(
            name: "Tokens", dependencies: ["StreamCodecs", "ImageGeneration", "Admission", nioCore, crypto, jwtKit],
            swiftSettings: strictSettings),
        // Event log and image store, in memory and on disk.
        .target(
            name: "Storage",
            dependencies: ["CFile", "StreamCodecs", "ImageGeneration", nioCore, nioPosix, crypto, serviceLifecycle],
            swiftSettings: strictSettings),
        // The job store's driver; the only target that knows SQLite.
        .target(
            name: "SQLiteStorage",
            dependencies: ["Storage", "StreamCodecs", "ImageGeneration", grdb, sqlite, nioCore, serviceLifecycle],
            swiftSettings: strictSettings),
        // libcurl multi over epoll.
        .systemLibrary(
            name: "CLibCurl", path: "Sources/CLibCurl", pkgConfig: "libcurl",
            providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(name: "CCurl", dependencies: ["CLibCurl"]),
        .target(
            name: "Transport", dependencies: ["CCurl", nioCore, httpTypes],
            swiftSettings: strictSettings),
        // The running system.
        .target(
            name: "Gateway",
            dependencies: [
                "CMalloc", "StreamCodecs", "ImageGeneration", "Admission", "Tokens", "Providers", "Dialects", "Storage",
                "Transport",
                "Web",
                nioCore, nioPosix, nioTLS, nioSSL, nioHTTP1, nioHTTP2, nioHPACK, nioHTTPTypes, nioHTTPTypesHTTP1,
                nioHTTPTypesHTTP2, httpTypes, hummingbirdCore, serviceLifecycle, unixSignals, logging, crypto,
            ], swiftSettings: strictSettings),
        // The upstream side of every provider, drawing real pictures.
        .systemLibrary(
            name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(
            name: "Simulator",
            dependencies: [
                "CZlib", "StreamCodecs", nioCore, nioPosix, httpTypes, hummingbirdCore, serviceLifecycle, logging,
            ], swiftSettings: strictSettings),
        // The page at `/` and the browser client, embedded.
        .target(
            name: "Web",
            resources: [
                .embedInCode("Resources/index.html"), .embedInCode("Resources/playground.js"),
                .embedInCode("Resources/playground-frontends.js"),
                .embedInCode("Resources/playground.css"), .embedInCode("Resources/safelight.js"),
                .embedInCode("Resources/safelight-run.js"), .embedInCode("Resources/safelight-react.js"),
                .embedInCode("Resources/safelight.d.ts"), .embedInCode("Resources/safelight-react.d.ts"),
            ], swiftSettings: strictSettings),
        .systemLibrary(name: "CMalloc", path: "Sources/CMalloc"),
        .systemLibrary(name: "CFile", path: "Sources/CFile"),
        .executableTarget(
            name: "Safelight",
            dependencies: [
                "CMalloc", "Gateway", "Simulator", "SQLiteStorage", "Storage", "Transport", "StreamCodecs", "Tokens",
                "ImageGeneration", nioCore, nioPosix, httpTypes,
                hummingbirdCore, argumentParser, logging, serviceLifecycle, unixSignals,
            ], swiftSettings: strictSettings),
        // What tests share; no product uses it.
        .target(
            name: "GatewayTesting", dependencies: ["StreamCodecs", nioCore, nioPosix], swiftSettings: strictSettings),
        .testTarget(
            name: "StreamCodecsTests", dependencies: ["StreamCodecs", "GatewayTesting", nioCore],
            swiftSettings: strictSettings),
        .testTarget(
            name: "ImageGenerationTests", dependencies: ["ImageGeneration", "StreamCodecs", "GatewayTesting", nioCore],
            swiftSettings: strictSettings),
        .testTarget(
            name: "AdmissionTests",
            dependencies: ["Admission", "StreamCodecs", "ImageGeneration", "GatewayTesting", nioCore],
            swiftSettings: strictSettings),
        .testTarget(
            name: "TokensTests",
            dependencies: ["Tokens", "Admission", "StreamCodecs", "ImageGeneration", "GatewayTesting", nioCore],
            swiftSettings: strictSettings),
        .testTarget(
            name: "StorageTests",
            dependencies: [
                "Storage", "StreamCodecs", "ImageGeneration", "GatewayTesting", nioCore, nioPosix, serviceLifecycle,
            ], swiftSettings: strictSettings),
        .testTarget(
            name: "SQLiteStorageTests",
            dependencies: [
                "SQLiteStorage", "Storage", "StreamCodecs", "ImageGeneration", grdb, nioCore, nioPosix,
                serviceLifecycle, logging,
            ], swiftSettings: strictSettings),
        .testTarget(
            name: "TransportTests", dependencies: ["Transport", nioCore, httpTypes], swiftSettings: strictSettings),
        .testTarget(
            name: "ProvidersTests",
            dependencies: ["Providers", "StreamCodecs", "ImageGeneration", "GatewayTesting", nioCore, httpTypes],
            exclude: ["Fixtures"], swiftSettings: strictSettings),
        .testTarget(
            name: "DialectsTests",
            dependencies: ["Dialects", "StreamCodecs", "ImageGeneration", "GatewayTesting", nioCore, httpTypes],
            exclude: ["Fixtures"], swiftSettings: strictSettings),
        .testTarget(
            name: "SimulatorTests",
            dependencies: [
                "Simulator", "StreamCodecs", "GatewayTesting", "CZlib", nioCore, nioPosix, nioHTTP1, httpTypes, logging,
            ], swiftSettings: strictSettings),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Gateway", "Simulator", "Admission", "Tokens", "Providers", "Dialects", "Storage", "SQLiteStorage",
                "Transport", "StreamCodecs",
                "ImageGeneration", "GatewayTesting", nioCore, nioEmbedded, nioPosix, nioHTTP1, httpTypes,
                hummingbirdCore,
                logging, serviceLifecycle,
            ], swiftSettings: strictSettings),
    ]
)

// `make bench` alone wants these: they see `package` symbols and stay out of everybody else's build.
if Context.environment["SAFELIGHT_BENCHMARKS"] != nil {
    package.products.append(.executable(name: "codecs-benchmark", targets: ["CodecsBenchmark"]))
    package.products.append(.executable(name: "store-benchmark", targets: ["StoreBenchmark"]))
    package.targets += [
        .executableTarget(
            name: "StoreBenchmark", dependencies: ["SQLiteStorage", "Storage", "ImageGeneration", nioCore, nioPosix],
            path: "Benchmarks/store", swiftSettings: strictSettings),
        .target(name: "CMallocCount", path: "Benchmarks/CMallocCount"),
        .executableTarget(
            name: "CodecsBenchmark",
            dependencies: [
                "CMallocCount", "StreamCodecs", "ImageGeneration", "Providers", "Dialects", nioCore, httpTypes,
            ], path: "Benchmarks/codecs", swiftSettings: strictSettings),
    ]
}
