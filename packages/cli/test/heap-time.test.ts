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

/** What is measured with a clock by which each round takes so long, as whole microseconds, and how many rounds that took. */
async function timed(trace: HeapTrace, microseconds: number): Promise<{ perEvent: number; rounds: number }> {
  const bench = await makeBench("arena", trace);
  if (typeof bench === "string") throw new Error(bench);
  let rounds = 0;
  const counted = {
    ...bench,
    endRound: () => {
      rounds++;
      bench.endRound?.();
    },
  };
  const perEvent = time(trace, counted, null, () => Math.floor(rounds * microseconds));
  return { perEvent, rounds };
}

describe("the time of a trace", () => {
  test.each([
    [1_000_000, 4 + 4],
    [2_000, 99 + 99],
    // A first round that is too short, then two at once.
    [1_000, 1 + 98 * 2 + 99 * 2],
  ])("is taken in fewer rounds where they take %i microseconds", async (microseconds, rounds) => {
    const trace = oneBlock(16);
    expect(await timed(trace, microseconds)).toEqual({ perEvent: (microseconds * 1000) / trace.events, rounds });
  });

  test("is that of many rounds at once where one is shorter than what the clock can tell", async () => {
    const { perEvent, rounds } = await timed(oneBlock(16), 0.3);
    expect(perEvent).toBeCloseTo(150, 0);
    expect(rounds * 0.3).toBeGreaterThan(99 * 2_000);
    expect(rounds * 0.3).toBeLessThan(2 * 99 * 5_000);
  });

  test("is finite by the processor's clock, and 0 without events", async () => {
    const trace = oneBlock(16);
    const bench = await makeBench("tlsf", trace);
    if (typeof bench === "string") throw new Error(bench);
    const perEvent = time(trace, bench, null);
    expect(Number.isFinite(perEvent) && perEvent > 0).toBe(true);
    const nothing = new Tracer(new Tlsf(new BufferMemory(new ArrayBuffer(2 ** 16)))).trace();
    expect(time(nothing, bench, null)).toBe(0);
  });
});

test("there is memory for a few blocks of the strictest alignment of a trace", async () => {
  const trace = { ...oneBlock(64), log2align: Uint8Array.of(26, 0) };
  const bench = await makeBench("general", trace);
  if (typeof bench === "string") throw new Error(bench);
  const blocks = [1, 2, 3].map(() => bench.heap.allocate(100, 2 ** 26));
  expect(blocks.every((address) => address >= 0 && address % 2 ** 26 === 0)).toBe(true);
});
