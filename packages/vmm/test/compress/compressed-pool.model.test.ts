import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { PlainMemory } from "../../src/frames/plain-memory.ts";
import { CompressedPool } from "../../src/swap/compressed-pool.ts";
import { anyPage, noisePage, pageOf } from "./pages.ts";

const SLOTS = 24;

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
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("give-way" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("resize" as const), frames: fc.nat(12) }) },
);

describe("a compressed pool", () => {
  test("gives back what it acknowledged, whatever fails, and leaks no frame", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const memory = new PlainMemory(14);
        const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 10, slots: SLOTS });
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
          else if (action.kind === "give-way") {
            const coldest = pool.giveWay();
            if (coldest < 0) continue;
            expect(model.has(coldest)).toBe(true);
            pool.discard(coldest);
            model.delete(coldest);
          } else expect(pool.resize(action.frames)).toBe(pool.stats().frames <= action.frames);
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
      { numRuns: 100 },
    );
  });

  test("keeps pages of one word in no frame at all", () => {
    const memory = new PlainMemory(1);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 1, slots: 100 });
    for (let at = 0; at < 100; at++) expect(pool.write(at, new Uint8Array(4096).fill(at))).toBe("ok");
    expect(pool.stats()).toMatchObject({ samePages: 100, packedPages: 0, frames: 0 });
    const into = new Uint8Array(4096);
    expect(pool.read(77, into)).toBe("ok");
    expect(into.every((byte) => byte === 77)).toBe(true);
  });

  test("refuses a page that does not compress, and asks no other one to give way for it", () => {
    const memory = new PlainMemory(8);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 8, slots: 4 });
    pool.write(0, repeated(1));
    expect(pool.write(1, noisePage(1))).toBe("full");
    expect(pool.giveWay()).toBe(-1);
    expect(pool.stats()).toMatchObject({ packedPages: 1, incompressible: 1 });
  });

  test("where there is no room, what was stored or read longest ago gives way", () => {
    const memory = new PlainMemory(8);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 1, slots: 8 });
    for (let at = 0; at < 3; at++) expect(pool.write(at, repeated(at))).toBe("ok");
    pool.read(0, new Uint8Array(4096));
    expect(pool.giveWay()).toBe(-1);
    expect(pool.write(3, repeated(3))).toBe("full");
    expect(pool.giveWay()).toBe(1);
    pool.discard(1);
    expect(pool.giveWay()).toBe(2);
    expect(pool.write(3, repeated(3))).toBe("ok");
    expect(pool.giveWay()).toBe(-1);
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
