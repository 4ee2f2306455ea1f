import { BufferMemory, Tlsf, Tracer } from "@pagewright/heap";
import type { HeapTrace } from "@pagewright/heap/trace";
import { describe, expect, test } from "vitest";
import { makeBench } from "../src/heap-replay/subjects.ts";
import { time } from "../src/heap-replay/time.ts";

/** One block, aligned so, from its birth to its death. */
function oneBlock(alignment: number): HeapTrace {
  const tracer = new Tracer(new Tlsf(new BufferMemory(new ArrayBuffer(2 ** 20))));
  tracer.free(tracer.allocate(100, alignment));
  return tracer.trace();
}

describe("the time of a trace", () => {
  test.each([
    [1_000_000, 4 + 4],
    [1_000, 99 + 99],
  ])("is taken in fewer rounds of %i microseconds where they are long", async (microseconds, rounds) => {
    const trace = oneBlock(16);
    const bench = await makeBench("arena", trace);
    if (typeof bench === "string") throw new Error(bench);
    let done = 0;
    let readings = 0;
    const counted = {
      ...bench,
      endRound: () => {
        done++;
        bench.endRound?.();
      },
    };
    const perEvent = time(trace, counted, null, () => readings++ * microseconds);
    expect(perEvent).toBe((microseconds * 1000) / trace.events);
    expect(done).toBe(rounds);
  });
});

test("there is memory for a few blocks of the strictest alignment of a trace", async () => {
  const trace = { ...oneBlock(64), log2align: Uint8Array.of(26, 0) };
  const bench = await makeBench("general", trace);
  if (typeof bench === "string") throw new Error(bench);
  const blocks = [1, 2, 3].map(() => bench.heap.allocate(100, 2 ** 26));
  expect(blocks.every((address) => address >= 0 && address % 2 ** 26 === 0)).toBe(true);
});
