/** A file whose bytes lie in memory of the same manager, as on a loop device: to read or write a page of it takes frames, for which pages of it have to leave. */
import { expect, test } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SeededRandom,
  SpaceMemory,
  Vmm,
  type BackingStore,
  type IoOutcome,
  type MemoryObject,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const PAGES = 40;
/** Bytes from one word to the next: two of them lie in a page of the file, and in different pages of what it lies in. */
const STRIDE = PAGE_SIZE / 2;

/** A file in the middle of an object. */
class Within implements BackingStore {
  readonly #object: MemoryObject;

  constructor(object: MemoryObject) {
    this.#object = object;
  }

  size(): number {
    return PAGES * PAGE_SIZE;
  }

  read(offset: number, into: Uint8Array): IoOutcome {
    return this.#object.read(offset + STRIDE, into) === into.length ? "ok" : "failed";
  }

  write(offset: number, from: Uint8Array): IoOutcome {
    return this.#object.write(offset + STRIDE, from) === from.length ? "ok" : "failed";
  }

  sync(): IoOutcome {
    return "ok";
  }

  resize(): IoOutcome {
    return "failed";
  }
}

test.each([1, 2, 3])("it holds what was stored to it, seed %i", (seed) => {
  const random = new SeededRandom(seed);
  const memory = new PlainMemory(200);
  const swap = [new MemorySwap(500)];
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 12, swap, readAhead: seed === 1 ? 0 : 8 });
  const object = vmm.createAnonymous((PAGES + 1) * PAGE_SIZE);
  const file = vmm.openFile(new Within(object));
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGES * PAGE_SIZE, object: file, shared: true }));
  const bytes = new SpaceMemory(space);
  const known = new Uint32Array(PAGES * 2);
  for (let step = 1; step <= 1000; step++) {
    const word = random.uint32() % known.length;
    const address = at + word * STRIDE + 8;
    if (random.uint32() % 2 === 0) {
      expect(bytes.store32(address, step)).toBe(true);
      known[word] = step;
    } else expect([word, bytes.load32(address)]).toEqual([word, known[word]]);
    if (step % 100 > 0) continue;
    vmm.check();
    expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
    const stored = new Uint8Array(PAGES * PAGE_SIZE);
    expect(object.read(STRIDE, stored)).toBe(stored.length);
    const view = new DataView(stored.buffer);
    expect(Array.from(known, (_, each) => view.getUint32(each * STRIDE + 8, true))).toEqual([...known]);
  }
});
