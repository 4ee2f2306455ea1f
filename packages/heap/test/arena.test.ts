import { expect, test } from "vitest";
import { Arena, BufferMemory, NumberRange } from "@pagewright/heap";
import { seeded } from "../src/testing/case.ts";

const badOption: unknown = expect.objectContaining({ code: "bad-option" });

test("scopes nest: what an inner one allocated is had again by the outer one, and all dies with that, thrown or returned", () => {
  const arena = new Arena(new BufferMemory(new ArrayBuffer(2 ** 20)));
  const before = arena.allocate(8);
  const after = arena.scoped((outer) => {
    const first = outer.allocate(8);
    expect(() =>
      outer.scoped((inner) => {
        inner.allocate(800);
        inner.allocate(90_000);
        throw new Error("broken");
      }),
    ).toThrow("broken");
    expect(outer.allocate(8)).toBe(first + 8);
    return first;
  });
  expect(after).toBe(before + 8);
  expect(arena.allocate(8)).toBe(after);
  expect(arena.stats().liveBlocks).toBe(2);
  arena.check();
});

test("a block from before a mark is not made longer across it", () => {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 20));
  const arena = new Arena(memory);
  const old = arena.allocate(16);
  memory.fill(old, 16, 7);
  const mark = arena.mark();
  const longer = arena.resize(old, 64);
  expect(longer).not.toBe(old);
  expect(memory.load32(longer + 12)).toBe(0x07070707);
  arena.rewind(mark);
  // What comes now may overlap what was moved, but not what is older than the mark.
  memory.fill(arena.allocate(64), 64, 9);
  expect(memory.load32(old + 12)).toBe(0x07070707);
});

test("a block from before a scope is not taken back inside it, so that the scope can end", () => {
  const arena = new Arena(new NumberRange(0, 2 ** 20));
  const old = arena.allocate(16);
  arena.scoped(() => arena.free(old));
  expect(arena.allocate(16)).toBe(16);
});

test("the newest block can be taken back and made longer in place", () => {
  const arena = new Arena(new NumberRange(0, 2 ** 20));
  arena.allocate(16);
  const newest = arena.allocate(16);
  expect(arena.resize(newest, 5000)).toBe(newest);
  expect(arena.resize(newest, 8)).toBe(newest);
  arena.free(newest);
  expect(arena.allocate(16)).toBe(newest);
});

test("a mark that was rewound over is refused, or lies within what is allocated: never in memory that was given back", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seeded(seed);
    const memory = new NumberRange(0, 2 ** 22);
    const arena = new Arena(memory, { chunkBytes: 4096 });
    const marks = [arena.mark()];
    let refused = 0;
    for (let at = 0; at < 200; at++) {
      const choice = random();
      if (choice < 0.6) {
        arena.allocate(Math.floor(random() * 3000));
        // Ranges of others keep chunks from following each other.
        if (random() < 0.3) memory.reserve(64, 8);
      } else if (choice < 0.8) marks.push(arena.mark());
      else
        try {
          arena.rewind(marks[Math.floor(random() * marks.length)] ?? arena.mark());
        } catch (error) {
          expect(error).toEqual(badOption);
          refused++;
        }
      arena.check();
    }
    expect(refused).toBeGreaterThan(0);
    arena.reset();
    expect(arena.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
  }
});

test("takes memory in ranges that grow with it, and gives all but the first back at a rewind", () => {
  const range = new NumberRange(0, 2 ** 32);
  const arena = new Arena(range);
  arena.allocate(64);
  const mark = arena.mark();
  const { reservedBytes } = arena.stats();
  for (let at = 0; at < 1_000_000; at++) arena.allocate(64);
  expect(arena.stats().sourceCalls).toBeLessThan(60);
  arena.rewind(mark);
  arena.reset();
  expect(arena.stats().liveBlocks).toBe(0);
  arena.destroy();
  expect(arena.stats().reservedBytes).toBe(0);
  expect(range.top).toBe(0);
  expect(reservedBytes).toBe(65536);
});
