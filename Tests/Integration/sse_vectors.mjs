// Feeds the browser client's reader the vectors of server-sent events; prints what differs.
//   node sse_vectors.mjs READER VECTORS LARGE_VECTORS
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [reader, vectors, large] = process.argv.slice(2);
const { EventStreamReader } = await import(pathToFileURL(reader));
const failures = [];
let count = 0;

/** Events with the number of bytes after which each was there. */
function run(bytes, cuts) {
  const events = [];
  const times = [];
  const stream = new EventStreamReader((event) => events.push(event));
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    stream.push(bytes.subarray(at, cut));
    at = cut;
    while (times.length < events.length) times.push(cut);
  }
  return { events, times, final: { last_event_id: stream.lastEventId, reconnection_time: stream.reconnectionTime } };
}

const every = (length, step) => Array.from({ length: Math.max(0, Math.ceil(length / step) - 1) }, (_, i) => (i + 1) * step);
const text = (value) => JSON.stringify(value);

for (const vector of JSON.parse(readFileSync(vectors)).vectors) {
  const bytes = Buffer.from(vector.input_base64, "base64");
  const shown = ({ event, id, data, retry }) => ({ event, id, data, ...(vector.retry_unscored ? {} : { retry }) });
  const expected = text(vector.expected.map(shown));
  for (const cuts of [[], every(bytes.length, 1), every(bytes.length, 2), vector.splits ?? []]) {
    count += 1;
    const { events, times, final } = run(bytes, cuts);
    if (text(events.map(shown)) !== expected) failures.push(`${vector.name}: ${text(events)} for ${expected}`);
    if (final.last_event_id !== vector.final.last_event_id) failures.push(`${vector.name}: last id ${final.last_event_id}`);
    if (!vector.retry_unscored && final.reconnection_time !== vector.final.reconnection_time) {
      failures.push(`${vector.name}: reconnection time ${final.reconnection_time}`);
    }
    // At the latest: an event whose last line ends with CRLF is there at the CR.
    const isLate = (by, index) => !(times[index] <= by);
    if (cuts.length === bytes.length - 1 && vector.delivered_by?.some(isLate)) {
      failures.push(`${vector.name}: delivered after ${text(times)}, not ${text(vector.delivered_by)}`);
    }
  }
}

const sha256 = (value) => createHash("sha256").update(value).digest("hex");

for (const vector of JSON.parse(readFileSync(large)).vectors) {
  const bytes = Buffer.concat(vector.input_parts.flatMap(({ base64, times }) =>
    Array(times).fill(Buffer.from(base64, "base64"))));
  count += 1;
  const { events } = run(bytes, every(bytes.length, 65_536));
  const found = events.map(({ event, id, data }) => ({ event, id, length: Buffer.byteLength(data), sha256: sha256(data) }));
  const wanted = vector.expected.map((one) => ({
    event: one.event, id: one.id, length: one.data_length_bytes ?? Buffer.byteLength(one.data),
    sha256: one.data_sha256 ?? sha256(one.data),
  }));
  if (text(found) !== text(wanted)) failures.push(`${vector.name}: ${text(found)} for ${text(wanted)}`);
}

console.log(failures.length === 0 ? `${count} runs agree` : failures.slice(0, 20).join("\n"));
process.exit(failures.length === 0 ? 0 : 1);
