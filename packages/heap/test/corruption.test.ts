import { afterEach, expect, test, vi } from "vitest";
import { BufferMemory, isHeapError, Tlsf } from "@pagewright/heap";
import { seeded } from "../src/testing/case.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

interface Subject {
  readonly heap: Tlsf;
  readonly memory: BufferMemory;
  readonly live: [number, number][];
  /** How many words the heap has asked for at once, at most. */
  readonly mostWords: () => number;
}

function populated(random: () => number): Subject {
  const memory = new BufferMemory(new ArrayBuffer(64 * 1024));
  let most = 0;
  // The heap's own arrays are those that are made for a number of words.
  const recorded = new Proxy(Int32Array, {
    construct(Made, [words]: [number | ArrayBuffer]) {
      if (typeof words !== "number") return new Made(words);
      most = Math.max(most, words);
      return new Made(Math.min(words, 2 ** 16));
    },
  });
  vi.stubGlobal("Int32Array", recorded);
  const heap = new Tlsf(memory);
  const blocks: number[] = [];
  for (let at = 0; at < 300; at++) {
    const address = heap.allocate(Math.floor(random() * 300));
    if (address !== -1) blocks.push(address);
    if (random() < 0.4) {
      const [victim = -1] = blocks.splice(Math.floor(random() * blocks.length), 1);
      if (victim !== -1) heap.free(victim);
    }
  }
  const live: [number, number][] = [];
  heap.walk((address, bytes) => live.push([address, bytes]));
  return { heap, memory, live, mostWords: () => most };
}

/** Goes on using a heap whose state may be anything: errors are fine, what counts is that every call comes back. */
function goOn({ heap, live }: Subject, random: () => number): void {
  for (let at = 0; at < 100; at++) {
    try {
      const [address] = live[Math.floor(random() * live.length)] ?? [0];
      const choice = random();
      if (choice < 0.5) heap.allocate(Math.floor(random() * 400));
      else if (choice < 0.75) heap.free(address);
      else heap.resize(address, Math.floor(random() * 400));
    } catch (error) {
      if (!isHeapError(error)) throw error;
    }
  }
  for (const work of [() => heap.trim(), () => heap.check(), () => heap.walk(() => undefined), () => heap.stats()])
    try {
      work();
    } catch (error) {
      if (!isHeapError(error)) throw error;
    }
}

test("a header that was written over is found by check, and nothing loops", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seeded(seed);
    const subject = populated(random);
    const { heap, memory, live } = subject;
    heap.check();
    const [address] = live[Math.floor(random() * live.length)] ?? [8];
    const byte = address - 4 + Math.floor(random() * 4);
    memory.bytes[byte] = memory.bytes[byte]! ^ (1 + Math.floor(random() * 255));
    expect(() => heap.check(), `seed ${String(seed)}`).toThrow(expect.objectContaining({ code: "corrupt" }));
    goOn(subject, random);
  }
});

test("random bytes over everything but the contents of live blocks never make it loop", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seeded(seed);
    const subject = populated(random);
    const { memory, live } = subject;
    const saved = live.map(([address, bytes]) => memory.bytes.slice(address, address + bytes));
    for (let at = 0; at < 2000; at++)
      memory.bytes[Math.floor(random() * memory.bytes.length)] = Math.floor(random() * 256);
    live.forEach(([address], at) => memory.bytes.set(saved[at] ?? [], address));
    expect(() => subject.heap.check(), `seed ${String(seed)}`).toThrow(expect.objectContaining({ code: "corrupt" }));
    goOn(subject, random);
    expect(subject.mostWords(), `seed ${String(seed)}`).toBeLessThan(2 ** 14);
  }
});

test("after a reset it is whole again and asks for no more than it had, whatever was written over", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seeded(seed);
    const subject = populated(random);
    const { heap, memory, mostWords } = subject;
    for (let at = 0; at < 20_000; at++)
      memory.bytes[Math.floor(random() * memory.bytes.length)] = Math.floor(random() * 256);
    goOn(subject, random);
    heap.reset();
    expect(mostWords(), `seed ${String(seed)}`).toBeLessThan(2 ** 14);
    heap.check();
    expect(heap.stats()).toMatchObject({ liveBlocks: 0 });
    expect(heap.stats().reservedBytes, `seed ${String(seed)}`).toBeLessThanOrEqual(memory.bytes.length);
    expect(heap.allocate(30_000)).not.toBe(-1);
    heap.check();
  }
});

test("writing all over one's own blocks harms nothing", () => {
  const random = seeded(5);
  const { heap, memory, live } = populated(random);
  for (const [address, bytes] of live) memory.fill(address, bytes, 0xff);
  heap.check();
  for (const [address] of live) heap.free(address);
  heap.check();
});
