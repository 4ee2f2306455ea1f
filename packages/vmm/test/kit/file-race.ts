/**
 * Processors that store to one object through several shared mappings while others punch holes into it, change its size, sync it, evict and move its pages and move the mappings:
 * whenever one of them is at a yield point, a seed decides who else runs.
 *
 * Every page has a word for each processor, which nobody else stores to, so that what it holds is known whatever the order. While a hole or a new end that concerns a word
 * is under way, the word holds what it held or zero; from the moment that somebody has seen the zero, the hole is over as far as that word goes, and what is stored to it stays.
 */
import { expect } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  SeededRandom,
  type AddressSpace,
  type AnonymousObject,
  type FileObject,
} from "@pagewright/vmm";

import { FlakyBacking } from "../model/flaky.ts";
import { rigOf, spaceOf, type Rig } from "./rig.ts";

/** Pages that the object has at most. */
const PAGES = 12;
/** Bytes from one processor's word of a page to the next's. */
const STRIDE = 64;
/** Numbers of words are below. */
const WORDS = 64;

/** What is known of a word. */
interface Word {
  /** Offset in the object. */
  readonly offset: number;
  /** Added to what is stored to it: a multiple of {@link WORDS} more than its number. */
  readonly tag: number;
  /** What it holds; `any`: something that was stored to it at some time, or zero. */
  value: number | "any";
  /** Holes and cuts under way that nobody has seen there yet. */
  readonly active: Set<object>;
  /** Stores to it under way. */
  storing: number;
  /** Grows with whatever happens to it. */
  version: number;
}

/** Where the object is mapped. */
interface Place {
  space: AddressSpace;
  at: number;
}

/** Processors that run into each other over one object, and the oracle. */
export class FileRace {
  readonly rig: Rig;
  /** Times that a processor ran at another one's yield point. */
  switches = 0;
  /** Holes and cuts that somebody has seen before they were over. */
  seen = 0;
  readonly #cpus: number;
  readonly #random: SeededRandom;
  readonly #file: FileObject | null;
  readonly #backing: FlakyBacking;
  /** Whether the file refuses one write of twelve. */
  #refuses = true;
  readonly #object: FileObject | AnonymousObject;
  readonly #words: readonly Word[];
  readonly #places: Place[] = [];
  /** By space, where the object is mapped privately, and what words of copies hold that were stored to there. */
  readonly #copies: { readonly space: AddressSpace; readonly at: number; readonly values: Map<Word, number> }[] = [];
  readonly #busy: Set<number> = new Set();
  /** Numbers of the changes of size that have ended, so that others know of them. */
  #resizes = 0;
  /** Times that the store was given another end. */
  #cuts = 0;
  #sequence = 0;

  /** A race of so many processors over a file, or over shared memory that goes to swap. */
  constructor(seed: number, cpus: number, kind: "file" | "anonymous") {
    this.#cpus = cpus;
    this.#random = new SeededRandom(seed * 7919 + cpus);
    const interleaving = { yieldPoint: (): void => this.#others() };
    const lazyShootdown = seed % 2 === 0;
    const swap = [new MemorySwap(64)];
    this.rig = rigOf({ residentLimit: 9, readAhead: 2, interleaving, swap, lazyShootdown }, 64, cpus);
    const fails = (call: string): boolean => this.#refuses && call === "BackingStore.write" && this.#pick(12) === 0;
    this.#backing = new FlakyBacking(PAGES * PAGE_SIZE, { fails });
    this.#file = kind === "file" ? this.rig.vmm.openFile(this.#backing) : null;
    this.#object = this.#file ?? this.rig.vmm.createAnonymous(PAGES * PAGE_SIZE);
    this.#words = Array.from({ length: PAGES * cpus }, (_, number) => ({
      offset: Math.floor(number / cpus) * PAGE_SIZE + (number % cpus) * STRIDE,
      tag: number + 1,
      value: 0,
      active: new Set<object>(),
      storing: 0,
      version: 0,
    }));
    const spaces = [spaceOf(this.rig.vmm), spaceOf(this.rig.vmm)];
    for (const space of [...spaces, ...spaces]) {
      const at = Number(space.map({ bytes: PAGES * PAGE_SIZE, object: this.#object, shared: true }));
      this.#places.push({ space, at });
    }
    for (const space of spaces) {
      const at = Number(space.map({ bytes: PAGES * PAGE_SIZE, object: this.#object }));
      this.#copies.push({ space, at, values: new Map() });
    }
    const resize = this.#backing.resize.bind(this.#backing);
    this.#backing.resize = (bytes) => {
      this.#cutCopies(bytes);
      return resize(bytes);
    };
    for (let cpu = 0; cpu < cpus; cpu++) {
      spaces[cpu % 2]?.activate(cpu);
      this.rig.cpus[cpu]?.setCpl(3);
    }
  }

  /** So many steps; everything is checked now and then, and at the end. */
  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.#step(this.#pick(this.#cpus));
      if (step % 20 === 0) this.rig.vmm.check();
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) for (const word of this.#words) this.#load(cpu, word);
    this.#refuses = false;
    this.#sync();
    this.rig.vmm.check();
    this.rig.machine.check();
  }

  #pick(bound: number): number {
    return this.#random.uint32() % bound;
  }

  /** Others take up to three steps, on few pages, so that they meet. */
  #others(): void {
    for (let steps = this.#busy.size > 1 ? this.#pick(3) - 1 : this.#pick(4); steps > 0; steps--) {
      const cpu = this.#pick(this.#cpus);
      if (this.#busy.has(cpu)) continue;
      this.switches++;
      this.#step(cpu);
    }
  }

  #step(cpu: number): void {
    const before = this.rig.current;
    this.rig.current = cpu;
    this.#busy.add(cpu);
    const dice = this.#pick(100);
    if (dice < 40) this.#store(cpu, this.#wordOf(cpu));
    else if (dice < 55) this.#load(cpu, this.#wordOf(this.#pick(this.#cpus)));
    else if (dice < 62) this.#useCopy(cpu, this.#wordOf(cpu));
    else if (dice < 70) this.#punch();
    else if (dice < 78) this.#resize();
    else if (dice < 86) this.#sync();
    else if (dice < 91) this.rig.vmm.reclaim(1 + this.#pick(4));
    else if (dice < 93) this.rig.vmm.writeBackOlderThan(-1);
    else if (dice < 97) this.#migrate();
    else this.#move();
    this.#busy.delete(cpu);
    this.rig.current = before;
  }

  #wordOf(cpu: number): Word {
    const page = this.#busy.size > 1 ? this.#pick(3) : this.#pick(PAGES);
    const word = this.#words[page * this.#cpus + cpu];
    if (word === undefined) throw new Error("no word");
    return word;
  }

  /** A mapping in the space that a processor runs in. */
  #placeOf(cpu: number): Place {
    const place = this.#places[(cpu % 2) + 2 * this.#pick(2)];
    if (place === undefined) throw new Error("no mapping");
    return place;
  }

  // ------------------------------------------------------------ accesses

  #store(cpu: number, word: Word): void {
    const place = this.#placeOf(cpu);
    const { value } = word;
    const { at } = place;
    const resizes = this.#resizes;
    const isCertain = !place.space.isMoving && this.#reaches(word);
    const stored = ++this.#sequence * WORDS + word.tag;
    const version = ++word.version;
    word.storing++;
    word.value = "any"; // Until the store is over, others may see either.
    const done = this.rig.cpus[cpu]?.store32(at + word.offset, stored) ?? false;
    word.storing--;
    if (word.version === version && word.active.size === 0) {
      word.value = done ? this.#kept(word, stored) : value;
      if (isCertain && resizes === this.#resizes && at === place.at)
        expect([word.offset, done]).toEqual([word.offset, true]);
    }
    word.version++;
  }

  #load(cpu: number, word: Word): void {
    const place = this.#placeOf(cpu);
    const { version, value } = word;
    const { at } = place;
    const resizes = this.#resizes;
    const isCertain = !place.space.isMoving && this.#reaches(word);
    const got = this.rig.cpus[cpu]?.load32(at + word.offset) ?? -1;
    if (got === -1) {
      if (isCertain && resizes === this.#resizes && at === place.at && word.version === version)
        throw new Error(`a load at ${word.offset} failed`);
      return;
    }
    this.#demandOwn(word, got);
    if (word.version !== version || word.storing > 0) return;
    if (word.active.size === 0) {
      if (value !== "any") expect([word.offset, got]).toEqual([word.offset, value]);
      else word.value = this.#kept(word, got);
    } else if (word.active.size === 1 && got === 0 && value !== "any" && value !== 0) this.#see(word);
  }

  /** What a word holds after a store: beyond the end, bytes of the last page may go at any moment. */
  #kept(word: Word, value: number): number | "any" {
    return word.offset < this.#object.size ? value : "any";
  }

  /** A hole or cut is there for everybody from now on. */
  #see(word: Word): void {
    this.seen++;
    word.active.clear();
    word.value = 0;
    word.version++;
  }

  /** Stores to a word of a copy, and loads it. Only a new end takes copies away: at once, when the store agrees to it. */
  #useCopy(cpu: number, word: Word): void {
    const copies = this.#copies[cpu % 2];
    const processor = this.rig.cpus[cpu];
    if (copies === undefined || processor === undefined || this.#file === null) return;
    const { at, values, space } = copies;
    const [known, resizes, cuts] = [values.get(word), this.#resizes, this.#cuts];
    const isStore = this.#pick(2) === 0;
    const stored = ++this.#sequence * WORDS + word.tag;
    const done = isStore && processor.store32(at + word.offset, stored);
    const got = isStore ? -1 : processor.load32(at + word.offset);
    if (cuts !== this.#cuts || resizes !== this.#resizes) {
      if (isStore) values.delete(word);
    } else if (done) values.set(word, stored);
    else if (got >= 0) {
      this.#demandOwn(word, got);
      if (known !== undefined) expect([word.offset, got]).toEqual([word.offset, known]);
    } else if (!space.isMoving && known !== undefined) throw new Error(`a copy at ${word.offset} is gone`);
  }

  /** The object ends elsewhere from now on. */
  #cutCopies(bytes: number): void {
    this.#cuts++;
    const end = Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
    for (const { values } of this.#copies)
      for (const word of values.keys()) if (word.offset >= end) values.delete(word);
  }

  /** Whether a word's page begins within the object, and no change of size is under way. */
  #reaches(word: Word): boolean {
    return this.#resizing === 0 && Math.floor(word.offset / PAGE_SIZE) * PAGE_SIZE < this.#object.size;
  }

  /** Whatever is under way: only what was stored to a word can be there. */
  #demandOwn(word: Word, got: number): void {
    if (got !== 0 && got % WORDS !== word.tag % WORDS) throw new Error(`foreign bytes at ${word.offset}: ${got}`);
  }

  // ------------------------------------------------------------ operations

  /** Does something after which words read as zero: all of them, or (`failed`) some of them. */
  #zeroing(words: readonly Word[], work: () => string): void {
    const token = {};
    const begun = words.map((word) => {
      word.active.add(token);
      return ++word.version;
    });
    const outcome = work();
    words.forEach((word, at) => {
      if (!word.active.delete(token)) return; // Somebody has seen the zero: what is there now is newer.
      if (outcome !== "ok" || word.storing > 0 || word.version !== begun[at]) word.value = "any";
      else word.value = 0;
      word.version++;
    });
  }

  #punch(): void {
    const start = this.#pick(PAGES * 64) * STRIDE;
    const end = start + this.#pick(6 * 64) * STRIDE;
    const words = this.#words.filter(({ offset }) => offset >= start && offset < Math.min(end, this.#object.size));
    this.#zeroing(words, () => this.#object.punch(start, end));
  }

  #resizing = 0;

  #resize(): void {
    const bytes = this.#pick(3) === 0 ? PAGES * PAGE_SIZE : this.#pick(PAGES * 64) * STRIDE;
    const beyond = this.#words.filter(({ offset }) => offset >= Math.min(bytes, this.#object.size));
    const inside = beyond.filter(({ offset, active }) => offset < bytes && active.size === 1);
    this.#resizing++;
    let outcome = "";
    this.#zeroing(beyond, () => (outcome = this.#object.resize(bytes)));
    this.#resizing--;
    this.#resizes++;
    // Where the object is larger now, what was cut off before is gone for everybody.
    if (outcome === "ok" && this.#object.size === bytes)
      for (const word of inside) if (word.active.size === 1 && word.value === 0 && word.storing === 0) this.#see(word);
  }

  /** What is known and has not changed meanwhile is in the store afterwards. */
  #sync(): void {
    if (this.#file === null) return;
    const certain = this.#words
      .filter(({ value, active, storing }) => value !== "any" && active.size === 0 && storing === 0)
      .map((word) => ({ word, version: word.version, value: word.value }));
    if (this.#file.sync(this.#file.cursor()) !== "ok") return;
    const { bytes } = this.#backing;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const { word, version, value } of certain) {
      if (word.offset + 4 > bytes.byteLength) continue;
      const stored = view.getUint32(word.offset, true);
      this.#demandOwn(word, stored);
      if (word.version === version && word.active.size === 0)
        expect([word.offset, stored]).toEqual([word.offset, value]);
    }
  }

  #migrate(): void {
    const { core, migrator } = this.rig.vmm;
    const page = this.#object.pages.get(this.#pick(PAGES));
    if (page >= 0 && core.pages.isResident(page)) migrator.vacate(core.pages.frameOf(page));
  }

  #move(): void {
    const place = this.#places[this.#pick(this.#places.length)];
    if (place === undefined || place.space.isMoving) return;
    const bytes = PAGES * PAGE_SIZE;
    const { space, at } = place;
    place.at = at - 40 * bytes; // From the first moment on it is there, as far as regions go.
    const moved = space.remap({ address: at, bytes, newBytes: bytes, mayMove: true, target: place.at });
    if (moved !== place.at) place.at = at;
  }
}

/** One race for each seed, of so many steps; the seed of one that goes wrong is in what it throws. */
export function raceOnFiles(kind: "file" | "anonymous", cpus: number, seeds: readonly number[], steps: number): void {
  let seen = 0;
  for (const seed of seeds) {
    const race = new FileRace(seed, cpus, kind);
    try {
      race.run(steps);
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
    expect(race.switches).toBeGreaterThan(20);
    seen += race.seen;
  }
  expect(seen).toBeGreaterThan(seeds.length);
}
