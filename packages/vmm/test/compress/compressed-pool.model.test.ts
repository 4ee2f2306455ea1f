import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { PlainMemory } from "../../src/frames/plain-memory.ts";
import type { IoOutcome } from "../../src/ports.ts";
import { CompressedPool } from "../../src/swap/compressed-pool.ts";
import { MemorySwap } from "../../src/swap/memory-swap.ts";
import { anyPage, noisePage, pageOf } from "./pages.ts";

const SLOTS = 24;

/** A next tier that can be told to fail. */
class FlakySwap extends MemorySwap {
  broken: IoOutcome = "ok";

  override write(slot: number, from: Uint8Array): IoOutcome {
    return this.broken === "ok" ? super.write(slot, from) : this.broken;
  }
}

/** A thousand bytes of noise, repeated. */
function repeated(seed: number): Uint8Array {
  const noise = noisePage(seed);
  return pageOf((at) => noise[at % 1000]!);
}

const slot = fc.nat(SLOTS - 1);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("write" as const), slot, page: anyPage }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("noise" as const), slot, seed: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("discard" as const), slot }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("write-back" as const), pages: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("resize" as const), frames: fc.nat(12) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("break" as const), how: fc.constantFrom("ok", "full", "failed") }),
  },
);

describe.each([true, false])("a compressed pool (next tier: %s)", (hasBelow) => {
  test("gives back what it acknowledged, whatever fails, and leaks no frame", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const memory = new PlainMemory(14);
        const below = new FlakySwap(SLOTS);
        const pool = new CompressedPool({
          frames: memory,
          window: memory,
          limitFrames: 10,
          ...(hasBelow ? { below } : { slots: SLOTS }),
        });
        const model = new Map<number, Uint8Array>();
        for (const action of steps) {
          if (action.kind === "write" || action.kind === "noise") {
            const page = action.kind === "write" ? action.page : noisePage(action.seed);
            if (pool.write(action.slot, page) === "ok") model.set(action.slot, page);
            else model.delete(action.slot);
          } else if (action.kind === "discard") {
            pool.discard(action.slot);
            model.delete(action.slot);
          } else if (action.kind === "compact") pool.compact();
          else if (action.kind === "write-back") expect(pool.writeBack(action.pages)).toBeLessThanOrEqual(action.pages);
          else if (action.kind === "resize") {
            if (pool.resize(action.frames)) expect(pool.stats().frames).toBeLessThanOrEqual(action.frames);
          } else below.broken = action.how;
          pool.check();
          expect(memory.totalFrames - memory.freeFrames).toBe(pool.stats().frames);
        }
        const into = new Uint8Array(4096);
        for (let at = 0; at < SLOTS; at++) {
          const expected = model.get(at);
          expect(pool.read(at, into)).toBe(expected === undefined ? "failed" : "ok");
          if (expected !== undefined) expect(Buffer.compare(into, expected)).toBe(0);
          pool.discard(at);
        }
        pool.check();
        expect(memory.freeFrames).toBe(memory.totalFrames);
      }),
      { numRuns: 50 },
    );
  });
});

describe("a compressed pool", () => {
  test("keeps pages of one word in no frame at all", () => {
    const memory = new PlainMemory(1);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 1, slots: 100 });
    for (let at = 0; at < 100; at++) expect(pool.write(at, new Uint8Array(4096).fill(at))).toBe("ok");
    expect(pool.stats()).toMatchObject({ samePages: 100, packedPages: 0, frames: 0 });
    const into = new Uint8Array(4096);
    expect(pool.read(77, into)).toBe("ok");
    expect(into.every((byte) => byte === 77)).toBe(true);
  });

  test("passes a page that does not compress to the next tier, without one says that it is full", () => {
    const memory = new PlainMemory(8);
    const below = new MemorySwap(4);
    const options = { frames: memory, window: memory, limitFrames: 8 };
    expect(new CompressedPool({ ...options, slots: 4 }).write(0, noisePage(1))).toBe("full");
    const pool = new CompressedPool({ ...options, below });
    expect(pool.write(0, noisePage(1))).toBe("ok");
    expect(below.read(0, new Uint8Array(4096))).toBe("ok");
    expect(pool.stats()).toMatchObject({ belowPages: 1, incompressible: 1, frames: 0 });
  });

  test("writes back what was stored or read longest ago", () => {
    const memory = new PlainMemory(8);
    const below = new MemorySwap(8);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 8, below });
    for (let at = 0; at < 4; at++)
      pool.write(
        at,
        pageOf((byte) => (byte & 63) + at),
      );
    pool.read(0, new Uint8Array(4096));
    expect(pool.writeBack(2)).toBe(2);
    const gone = [0, 1, 2, 3].filter((at) => below.read(at, new Uint8Array(4096)) === "ok");
    expect(gone).toEqual([1, 2]);
  });

  test("stores more pages than it has frames, as many times as they compress", () => {
    const memory = new PlainMemory(64);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 64, slots: 1000 });
    let stored = 0;
    while (pool.write(stored, repeated(stored)) === "ok") stored++;
    expect(stored).toBeGreaterThan(64 * 3.2);
    expect(pool.stats().packedBytes / (64 * 4096)).toBeGreaterThan(0.8);
    pool.check();
  });

  test("compaction gives back the frames that half-empty groups waste", () => {
    const memory = new PlainMemory(200);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 200, slots: 400 });
    for (let at = 0; at < 400; at++) pool.write(at, repeated(at));
    for (let at = 0; at < 400; at++) if (at % 4 !== 0) pool.discard(at);
    const before = pool.stats().frames;
    expect(pool.compact()).toBeGreaterThan(before / 2);
    pool.check();
    const into = new Uint8Array(4096);
    for (let at = 0; at < 400; at += 4) {
      expect(pool.read(at, into)).toBe("ok");
      expect(into[1001]).toBe(repeated(at)[1]);
    }
  });
});

test("a small pool does not waste a group of frames on each size", () => {
  const memory = new PlainMemory(100);
  const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 100, slots: 20 });
  for (let at = 0; at < 20; at++) {
    const noise = noisePage(at);
    pool.write(
      at,
      pageOf((byte) => (byte < 200 + ((at * 7) % 20) * 100 ? noise[byte]! : 0)),
    );
  }
  const { packedBytes, frames } = pool.stats();
  expect(frames).toBeLessThanOrEqual(15);
  expect(packedBytes).toBeGreaterThan(5 * 4096);
});
