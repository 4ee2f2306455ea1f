/**
 * A file whose store answers in any order, and fails now and then: whatever is stored, synced, evicted, unmapped, cloned, closed and opened again meanwhile, loads find what was
 * stored last, no word of the store ever goes back to an older value, and what a sync has acknowledged is there.
 */
import fc from "fast-check";
import { expect, test } from "vitest";

import {
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type AsyncBackingStore,
  type AsyncFileObject,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const PAGES = 6;
/** Turns of the microtask queue after which everything has come as far as it can without the store. */
const TURNS = 30;

/** A store whose transfers wait until they are let through, in any order. Each page is one number. */
class HeldFile implements AsyncBackingStore {
  readonly numbers: Uint32Array = new Uint32Array(PAGES);
  /** Whether the last write that was answered failed. */
  isFailing = false;
  /** Pages that an older number was written to last. */
  readonly reverted: number[] = [];
  /** Transfers under way. */
  readonly waiting: ((fails: boolean) => void)[] = [];

  size(): number {
    return PAGES * PAGE_SIZE - 100;
  }

  async readLater(offset: number, into: Uint8Array): Promise<void> {
    await this.#turn();
    new DataView(into.buffer, into.byteOffset).setUint32(0, this.numbers[offset / PAGE_SIZE] ?? 0, true);
  }

  async writeLater(offset: number, from: Uint8Array): Promise<void> {
    const fails = await this.#turn().catch((error: unknown) => error);
    this.isFailing = fails !== undefined;
    const number = new DataView(from.buffer, from.byteOffset).getUint32(0, true);
    if (number < (this.numbers[offset / PAGE_SIZE] ?? 0)) this.reverted.push(offset / PAGE_SIZE);
    if (fails !== undefined && number % 2 === 0) throw new Error("lost");
    this.numbers[offset / PAGE_SIZE] = number; // Of those that fail, every second one was carried out all the same.
    if (fails !== undefined) throw new Error("lost");
  }

  #turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push((fails) => {
        if (fails) reject(new Error("lost"));
        else resolve();
      });
    });
  }
}

/** A file, what programs have stored to it, and what syncs have acknowledged. */
class Course {
  readonly #vmm: Vmm;
  readonly #store = new HeldFile();
  #file: AsyncFileObject;
  #space: AddressSpace;
  #at = 0;
  readonly #clones: AddressSpace[] = [];
  readonly #stored: number[] = new Array<number>(PAGES).fill(0);
  readonly #acknowledged: number[] = new Array<number>(PAGES).fill(0);
  readonly #syncs: Promise<void>[] = [];
  #sequence = 0;

  constructor(frames: number) {
    const memory = new PlainMemory(64);
    this.#vmm = new Vmm({ frames: memory, window: memory, residentLimit: frames, readAhead: 0 });
    this.#file = this.#vmm.openAsyncFile(this.#store);
    this.#space = spaceOf(this.#vmm);
    this.#map();
  }

  #map(): void {
    this.#at = Number(this.#space.map({ bytes: PAGES * PAGE_SIZE, object: this.#file, shared: true }));
  }

  async #settle(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) await Promise.resolve();
  }

  /** Lets one transfer through. */
  async answer(which: number, fails: boolean): Promise<void> {
    const { waiting } = this.#store;
    const [answered] = waiting.splice(which % Math.max(1, waiting.length), 1);
    answered?.(fails);
    await this.#settle();
  }

  /** Repeats an access until it is not refused for lack of a page or a frame, or of a store that has failed. */
  async #access(work: (bytes: SpaceMemory) => number | boolean, which: number): Promise<number> {
    const bytes = new SpaceMemory(this.#space);
    for (let tries = 0; tries < 200; tries++) {
      const done = work(bytes);
      if (done !== -1 && done !== false) return Number(done);
      if (!this.#store.isFailing) expect(["pending", "bus"]).toContain(bytes.fault);
      await this.answer(which, false);
    }
    throw new Error("an access never succeeds");
  }

  async store(page: number, which: number): Promise<void> {
    const value = ++this.#sequence;
    await this.#access((bytes) => bytes.store32(this.#at + page * PAGE_SIZE, value), which);
    this.#stored[page] = value;
  }

  async load(page: number, which: number): Promise<void> {
    const got = await this.#access((bytes) => bytes.load32(this.#at + page * PAGE_SIZE), which);
    expect([page, got]).toEqual([page, this.#stored[page]]);
  }

  /** Begins a sync; when it is acknowledged, everything that was stored before is in the store. */
  sync(): void {
    const before = [...this.#stored];
    const told = this.#file.sync().then((outcome) => {
      if (outcome === "ok") this.#demandStored(before);
    });
    this.#syncs.push(told);
  }

  #demandStored(numbers: readonly number[]): void {
    numbers.forEach((number, page) => {
      this.#acknowledged[page] = Math.max(number, this.#acknowledged[page] ?? 0);
    });
    expect(this.#acknowledged.map((number, page) => number <= (this.#store.numbers[page] ?? 0))).not.toContain(false);
  }

  evict(count: number): void {
    this.#vmm.reclaim(count);
    this.#vmm.writeBackOlderThan(-1);
  }

  remap(): void {
    expect(this.#space.unmap(this.#at, PAGES * PAGE_SIZE)).toBe("ok");
    this.#map();
  }

  /** A clone sees what is stored later, too; the clone before goes. */
  clone(): void {
    const clone = this.#space.clone();
    if (clone !== null) this.#clones.push(clone);
    if (this.#clones.length > 1) this.#clones.shift()?.destroy();
  }

  /** The last handle and mappings go; what was not acknowledged may be lost where the store fails. */
  async reopen(which: number): Promise<void> {
    for (const clone of this.#clones.splice(0)) clone.destroy();
    this.#space.destroy();
    this.#file.close();
    this.#vmm.check();
    this.#file = this.#vmm.openAsyncFile(this.#store);
    this.#space = spaceOf(this.#vmm);
    this.#map();
    for (let page = 0; page < PAGES; page++) {
      const got = await this.#access((bytes) => bytes.load32(this.#at + page * PAGE_SIZE), which);
      expect(got).toBeGreaterThanOrEqual(this.#acknowledged[page] ?? 0);
      expect(got).toBeLessThanOrEqual(this.#stored[page] ?? 0);
      this.#stored[page] = got;
    }
  }

  check(): void {
    this.#vmm.check();
    expect(this.#store.reverted).toEqual([]);
  }

  /** A store that fails no more has everything in the end. */
  async end(): Promise<void> {
    while (this.#store.waiting.length > 0) await this.answer(0, false);
    await Promise.all([this.#file.sync(), this.#answerAll()]); // Tells of errors before.
    const [outcome] = await Promise.all([this.#file.sync(), this.#answerAll()]);
    expect(outcome).toBe("ok");
    expect([...this.#store.numbers]).toEqual(this.#stored);
    await Promise.all(this.#syncs);
    this.check();
  }

  async #answerAll(): Promise<void> {
    await this.#settle();
    while (this.#store.waiting.length > 0) await this.answer(0, false);
  }
}

const STEP = fc.record({
  kind: fc.nat(99),
  page: fc.nat(PAGES - 1),
  which: fc.nat(9),
});

test("late answers in any order, with failures", { timeout: 60_000 }, async () => {
  const course = async (
    frames: number,
    steps: readonly { kind: number; page: number; which: number }[],
  ): Promise<void> => {
    const file = new Course(frames);
    for (const { kind, page, which } of steps) {
      if (kind < 35) await file.store(page, which);
      else if (kind < 45) await file.load(page, which);
      else if (kind < 55) file.sync();
      else if (kind < 75) await file.answer(which, kind < 65);
      else if (kind < 87) file.evict(page);
      else if (kind < 91) file.remap();
      else if (kind < 96) file.clone();
      else await file.reopen(which);
      file.check();
    }
    await file.end();
  };
  await fc.assert(fc.asyncProperty(fc.integer({ min: 2, max: 8 }), fc.array(STEP, { maxLength: 60 }), course), {
    numRuns: 250,
  });
});
