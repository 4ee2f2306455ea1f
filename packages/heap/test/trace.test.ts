import { BufferMemory, decodeHeapTrace, encodeHeapTrace, Tlsf, Tracer } from "@pagewright/heap";
import { expect, test } from "vitest";

test("what is no trace is told apart: too short for a header, or of another kind", () => {
  expect(() => decodeHeapTrace(new Uint8Array(5))).toThrow(/fewer bytes than its header of 32 \(5\)/);
  expect(() => decodeHeapTrace(new Uint8Array(40).fill(1))).toThrow(/does not start with HTRC/);
});

test("a header that contradicts the events is told with both numbers; what a tracer wrote holds", () => {
  const tracer = new Tracer(new Tlsf(new BufferMemory(new ArrayBuffer(2 ** 16))), 2);
  const blocks = [100, 200, 300].map((size) => tracer.allocate(size));
  tracer.resize(blocks[0] ?? 0, 150);
  for (const block of blocks.slice(1)) tracer.free(block);
  tracer.allocate(10);
  const trace = tracer.trace();
  expect(decodeHeapTrace(encodeHeapTrace(trace))).toEqual(trace);
  const decoded = (changed: Partial<typeof trace>) => () => decodeHeapTrace(encodeHeapTrace({ ...trace, ...changed }));
  const badFormat = { code: "bad-format" };
  for (const changed of [{ threads: 2 }, { maxLiveObjects: 4 }, { maxLiveObjects: 2 }, { peakLiveBytes: 600 }])
    expect(decoded(changed)).toThrow(expect.objectContaining(badFormat));
  expect(decoded({ threads: 2 })).toThrow(/of thread 2, the header says 2 threads/);
  expect(decoded({ maxLiveObjects: 4 })).toThrow(/says 4 as the largest number of live objects, the events have 3/);
  expect(decoded({ peakLiveBytes: 600 })).toThrow(/says 600 as the largest number of live bytes, the events have 650/);
  expect(decoded({ threads: 7 })().threads).toBe(7);
});
