import Testing

@testable import Simulator

@Suite struct SimulatorScriptTests {
    private static func script(_ change: (inout SimulatorScript) -> Void) -> SimulatorScript {
        var script = SimulatorScript()
        change(&script)
        return script
    }

    private static let readings: [(String, SimulatorScript)] = [
        ("", SimulatorScript()),
        ("duration=4s", Self.script { $0.duration = .seconds(4) }),
        ("duration=300ms", Self.script { $0.duration = .milliseconds(300) }),
        ("duration=1.5s", Self.script { $0.duration = .milliseconds(1500) }),
        ("duration=0", Self.script { $0.duration = .zero }),
        ("duration=2m queue=24h", Self.script { ($0.duration, $0.queue) = (.seconds(120), .seconds(86400)) }),
        ("previews=0; first_byte=1s", Self.script { ($0.previews, $0.firstByte) = (0, .seconds(1)) }),
        ("position=7,payload=8MiB", Self.script { ($0.position, $0.payload) = (7, 8 << 20) }),
        ("payload=65536", Self.script { $0.payload = 65536 }),
        ("payload=512KiB", Self.script { $0.payload = 512 << 10 }),
        ("status=429 retry_after=12s", Self.script { ($0.status, $0.retryAfter) = (429, .seconds(12)) }),
        ("refuse", Self.script { $0.refuse = .head }),
        ("refuse=true", Self.script { $0.refuse = .head }),
        ("refuse=stream", Self.script { $0.refuse = .stream }),
        ("refuse refuse=false", SimulatorScript()),
        ("stall=head", Self.script { $0.stall = .head }),
        ("stall=mid", Self.script { $0.stall = .mid }),
        ("stall=after_preview_1", Self.script { $0.stall = .afterPreview(1) }),
        ("truncate=1000", Self.script { $0.truncate = .bytes(1000) }),
        ("truncate=event_2", Self.script { $0.truncate = .event(2) }),
        ("malformed=base64", Self.script { $0.malformed = .base64 }),
        ("no_terminal early_final=1", Self.script { ($0.noTerminal, $0.earlyFinal) = (true, true) }),
        ("unknown_event=true", Self.script { $0.unknownEvent = true }),
        ("unknown_event unknown_event=false", SimulatorScript()),
        ("chunk=1", Self.script { $0.chunk = 1 }),
        ("fail", Self.script { $0.fail = .nested }),
        ("fail=flat", Self.script { $0.fail = .flat }),
        ("seed=18", Self.script { $0.seed = 18 }),
        (
            "profile=fast previews=1",
            Self.script {
                ($0.duration, $0.queue, $0.position, $0.previews) = (.milliseconds(200), .zero, 0, 1)
            }
        ),
        (
            "\tduration=1s;;\n chunk=9 ,",
            Self.script { ($0.duration, $0.chunk) = (.seconds(1), 9) }
        ),
    ]

    @Test(arguments: readings)
    func readsEveryKey(text: String, expected: SimulatorScript) throws {
        var script = SimulatorScript()
        try script.apply(text)
        #expect(script == expected)
    }

    @Test(arguments: [
        "duration=4", "duration=s", "duration=-1s", "duration=nans", "duration=infs", "duration=25h", "duration",
        "previews=4", "previews=-1", "previews=x", "payload=65MiB", "payload=-1", "payload=9223372036854775807MiB",
        "status=200", "status=600", "refuse=maybe", "stall=later", "stall=after_preview_3", "truncate=-1",
        "truncate=event_", "truncate=event_-1", "truncate", "malformed=xml", "no_terminal=perhaps", "chunk=0",
        "chunk=65537", "fail=often", "seed=-1", "profile=glacial", "=", "=4s",
    ])
    func refusesWhatItCannotRead(text: String) {
        var script = SimulatorScript()
        #expect(throws: SimulatorScriptProblem.self) { try script.apply(text) }
    }

    @Test func anUnknownKeyIsToldAllKeys() {
        var script = SimulatorScript()
        let problem = #expect(throws: SimulatorScriptProblem.self) { try script.apply("durration=4s") }
        for key in SimulatorScript.keys { #expect(problem?.message.contains(key) == true) }
        #expect(problem?.message.contains("durration") == true)
    }

    private static let directives: [(prompt: String, rest: String, script: SimulatorScript)] = [
        ("a cat", "a cat", SimulatorScript()),
        ("a cat [sim chunk=2]", "a cat", Self.script { $0.chunk = 2 }),
        ("[sim chunk=2] a cat [sim fail]", "a cat", Self.script { ($0.chunk, $0.fail) = (2, .nested) }),
        ("[sim]a cat", "a cat", SimulatorScript()),
        ("a [simple] cat", "a [simple] cat", SimulatorScript()),
        ("a [simple [sim seed=4] cat", "a [simple  cat", Self.script { $0.seed = 4 }),
        ("a cat [sim chunk=2", "a cat [sim chunk=2", SimulatorScript()),
        ("[sim refuse]", "", Self.script { $0.refuse = .head }),
        ("[ [sim\tchunk=3] ]", "[  ]", Self.script { $0.chunk = 3 }),
    ]

    @Test(arguments: directives)
    func cutsDirectivesOutOfPrompts(prompt: String, rest: String, expected: SimulatorScript) throws {
        var script = SimulatorScript()
        #expect(try script.apply(directivesIn: prompt) == rest)
        #expect(script == expected)
    }

    @Test(arguments: SimulatorScript.Profile.allCases)
    func everyProfileHasItsPace(profile: SimulatorScript.Profile) throws {
        var script = SimulatorScript()
        try script.apply("profile=\(profile.rawValue)")
        #expect(script == SimulatorScript(profile: profile))
    }
}
