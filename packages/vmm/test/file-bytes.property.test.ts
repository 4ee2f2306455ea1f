/**
 * The bytes of a file that a processor stores to through a mapping, where only dirty bits know of stores: whatever is punched, cut off, grown, written back, evicted and moved
 * meanwhile, the processor sees what a plain array of bytes holds, and so does the store after a sync.
 */
import { expect, test } from "vitest";

import { PAGE_SIZE, READ, SeededRandom, WRITE, type AddressSpace, type FileObject } from "@pagewright/vmm";

import { rigOf, spaceOf, type Rig } from "./kit/rig.ts";
import { FlakyBacking } from "./model/flaky.ts";

const MOST = 20 * PAGE_SIZE;

class Course {
  readonly rig: Rig;
  readonly #random: SeededRandom;
  readonly #backing: FlakyBacking;
  /** Whether the file takes no bytes now. */
  #refuses = false;
  readonly #file: FileObject;
  /** What the file holds, as programs see it. */
  #bytes: Uint8Array;
  /** Where it is mapped, shared; the last one is in another space. */
  readonly #places: { space: AddressSpace; at: number }[] = [];

  constructor(seed: number) {
    this.rig = rigOf({ residentLimit: 14, readAhead: 4 });
    this.#random = new SeededRandom(seed);
    this.#bytes = new Uint8Array(9 * PAGE_SIZE + 77).map((_, at) => (at * 7) & 255);
    const fails = (call: string): boolean => this.#refuses && call === "BackingStore.write";
    this.#backing = new FlakyBacking(this.#bytes, { fails });
    this.#file = this.rig.vmm.openFile(this.#backing);
    const [one, other] = [spaceOf(this.rig.vmm), spaceOf(this.rig.vmm)];
    for (const space of [one, one, other])
      this.#places.push({ space, at: Number(space.map({ bytes: MOST, object: this.#file, shared: true })) });
  }

  below(bound: number): number {
    return bound < 1 ? 0 : this.#random.uint32() % bound;
  }

  /** One of the mappings, its space in force. */
  #place(): { space: AddressSpace; at: number } {
    const place = this.#places[this.below(this.#places.length)];
    if (place === undefined) throw new Error("no mapping");
    place.space.activate(0);
    return place;
  }

  store(): void {
    const { at } = this.#place();
    const offset = this.below(this.#bytes.length);
    const value = 1 + this.below(255);
    if (offset >= this.#bytes.length) return;
    expect(this.rig.cpu.store8(at + offset, value)).toBe(true);
    this.#bytes[offset] = value;
  }

  load(): void {
    const { at } = this.#place();
    const offset = this.below(this.#bytes.length + 2 * PAGE_SIZE);
    const end = Math.ceil(this.#bytes.length / PAGE_SIZE) * PAGE_SIZE;
    expect([offset, this.rig.cpu.load8(at + offset)]).toEqual([offset, offset < end ? (this.#bytes[offset] ?? 0) : -1]);
  }

  punch(): void {
    const start = this.below(this.#bytes.length);
    const end = start + this.below(6 * PAGE_SIZE);
    if (this.below(2) === 0) expect(this.#file.punch(start, end)).toBe("ok");
    else {
      const { space, at } = this.#place();
      const [first, last] = [Math.floor(start / PAGE_SIZE) * PAGE_SIZE, Math.ceil(end / PAGE_SIZE) * PAGE_SIZE];
      expect(space.advise(at + first, Math.min(last, MOST) - first, "remove")).toBe("ok");
      this.#bytes.fill(0, first, last);
    }
    this.#bytes.fill(0, start, end);
  }

  resize(): void {
    const size = this.below(4) === 0 ? this.below(MOST / PAGE_SIZE) * PAGE_SIZE : this.below(MOST);
    expect(this.#file.resize(size)).toBe("ok");
    const before = this.#bytes;
    this.#bytes = new Uint8Array(size);
    this.#bytes.set(before.subarray(0, size));
  }

  write(): void {
    const start = this.below(this.#bytes.length);
    const bytes = Uint8Array.from({ length: this.below(2 * PAGE_SIZE) }, (_, at) => at * 3);
    const count = Math.min(bytes.length, this.#bytes.length - start);
    expect(this.#file.write(start, bytes)).toBe(count);
    this.#bytes.set(bytes.subarray(0, count), start);
  }

  /** Everything is in the store afterwards, also where an attempt has failed before. */
  sync(): void {
    this.#refuses = this.below(3) === 0;
    this.rig.vmm.writeBackOlderThan(-1);
    this.#refuses = false;
    expect(this.#file.sync(this.#file.cursor())).toBe("ok");
    expect(Buffer.compare(this.#backing.bytes, this.#bytes)).toBe(0);
  }

  move(): void {
    const place = this.#place();
    const { space, at } = place;
    const half = MOST / 2;
    // Both halves end up together again, elsewhere: what is in between is cut in two and joined.
    const target = at - 4 * MOST > 2 ** 30 ? at - 4 * MOST : at + 400 * MOST;
    for (const part of [0, half]) {
      const address = at + part;
      expect(space.remap({ address, bytes: half, newBytes: half, mayMove: true, target: target + part })).toBe(
        target + part,
      );
    }
    place.at = target;
  }

  protect(): void {
    const { space, at } = this.#place();
    expect([space.protect(at, MOST, READ), space.protect(at, MOST, READ + WRITE)]).toEqual(["ok", "ok"]);
  }

  step(): void {
    const kind = this.below(100);
    if (kind < 40) this.store();
    else if (kind < 60) this.load();
    else if (kind < 68) this.punch();
    else if (kind < 75) this.resize();
    else if (kind < 80) this.write();
    else if (kind < 88) this.sync();
    else if (kind < 93) this.rig.vmm.reclaim(1 + this.below(12));
    else if (kind < 97) this.move();
    else this.protect();
  }
}

test.each(Array.from({ length: 8 }, (_, at) => at + 1))("seed %i", (seed) => {
  const course = new Course(seed);
  for (let step = 0; step < 400; step++) {
    course.step();
    if (step % 20 === 0) course.rig.vmm.check();
  }
  course.sync();
  course.rig.vmm.check();
});
