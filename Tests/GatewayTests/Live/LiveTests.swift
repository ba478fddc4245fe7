import Testing

/// Tests against a running gateway. One after the other: each has listeners, a transport thread and often a simulator.
@Suite(.serialized, .timeLimit(.minutes(1))) enum LiveTests {}
