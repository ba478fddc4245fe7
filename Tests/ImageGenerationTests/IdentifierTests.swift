import ImageGeneration
import Testing

@Suite struct IdentifierTests {
    @Test func jobIDsHaveOneForm() throws {
        #expect(JobID(high: 0, low: 0).text == "job_" + String(repeating: "a", count: 26))
        // 130 bits hold 128: the last character holds three bits, followed by two zeros.
        #expect(JobID(high: .max, low: .max).text == "job_" + String(repeating: "7", count: 25) + "4")
        #expect(JobID(high: 1 << 63, low: 0).text == "job_q" + String(repeating: "a", count: 25))
        let fresh = JobID()
        #expect(fresh != JobID())
        #expect(JobID(fresh.text) == fresh)
        #expect(ImageID(ImageID().text) != nil)
    }

    @Test func pooledNumbersAreNeverGivenTwice() async {
        let numbers = await withTaskGroup(of: [UInt64].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var generator = PooledRandomNumbers()
                    return (0..<1000).map { _ in generator.next() }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(numbers).count == 8000 && !numbers.contains(0))
    }

    @Test(arguments: [
        "", "job_", "job_aaaaaaaaaaaaaaaaaaaaaaaaa", "job_aaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "job_Aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "job_0aaaaaaaaaaaaaaaaaaaaaaaaa", "job_8aaaaaaaaaaaaaaaaaaaaaaaaa", "img_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "job_aaaaaaaaaaaaaaaaaaaaaaaa/.", "job_aaaaaaaaaaaaaaaaaaaaaaaa\u{E9}",
    ])
    func otherFormsAreNoJobIDs(text: String) {
        #expect(JobID(text) == nil)
    }

    @Test func eventIDsReadBack() throws {
        let id = EventID(job: JobID(high: 1, low: 2), sequence: EventSequence(epoch: 3, number: 4))
        #expect(id.description == "\(id.job.text).12884901892")
        #expect(EventID(id.description) == id)
        #expect(EventID("\(id.job.text).18446744073709551615")?.sequence.rawValue == .max)
        for suffix in ["", ".", ".-1", ".+1", ".1a", ".18446744073709551616", ".1.2", ". 1", ".\u{661}"] {
            #expect(EventID(id.job.text + suffix) == nil, "\(suffix)")
        }
        #expect(EventID("job_x.1") == nil)
        #expect(EventID("\(id.job.text).\(String(repeating: "0", count: 200))1") == nil)
    }

    @Test func sequencesRiseWithNumberAndEpoch() {
        let sequence = EventSequence(epoch: 7, number: 9)
        #expect(sequence.epoch == 7)
        #expect(sequence.number == 9)
        #expect(sequence.rawValue == 7 << 32 + 9)
        #expect(EventSequence(epoch: 1, number: .max) < EventSequence(epoch: 2, number: 1))
        #expect(EventSequence(epoch: 1, number: 1) < EventSequence(epoch: 1, number: 2))
        #expect(EventSequence(epoch: .max, number: .max).rawValue == .max)
    }
}
