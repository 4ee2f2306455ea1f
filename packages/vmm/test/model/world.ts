/** A manager and its oracle, driven by one seed: every operation happens in both, and both must agree after it. */
import { expect } from "vitest";

import {
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  TABLE_PAGES,
  Vmm,
  WRITE,
  type AddressSpace,
  type AnonymousObject,
  type FileObject,
  type VmmOptions,
} from "@pagewright/vmm";

import { Coin, FlakyBacking, FlakyFrames, FlakySwap } from "./flaky.ts";
import { NaiveSpace, RIGHTS, resizeObject, type NaiveObject } from "./naive.ts";

/** How large everything is. */
export interface WorldShape {
  /** First page of the arena in which everything happens, so that operations meet. */
  readonly arena: number;
  /** Pages of the arena. */
  readonly arenaPages: number;
  /** Pages of an operation at most. */
  readonly longest: number;
  /** Pages of an object at most. */
  readonly objectPages: number;
  /** Frames of the memory. */
  readonly frames: number;
  /** Frames that hold pages at most. */
  readonly residentLimit: number;
  /** How often, of 4 times, an operation is on aligned units of 512 pages. */
  readonly units: number;
}

/** Pages of 4K alone: the arena crosses a table. */
export const SMALL: WorldShape = {
  arena: 4096 - 40,
  arenaPages: 96,
  longest: 12,
  objectPages: 14,
  frames: 200,
  residentLimit: 40,
  units: 0,
};

/** Room for 2M pages: the arena has three whole units and parts of two more. */
export const LARGE: WorldShape = {
  arena: 4096 - 40,
  arenaPages: 40 + 3 * 512 + 30,
  longest: 200,
  objectPages: 1200,
  frames: 6144,
  residentLimit: 3400,
  units: 2,
};

const FILE_PAGES = 12;
/** First page of the hall: one whole table, which spaces can share. */
const HALL = 8192;
const HALL_PAGES = 512;
/** Pages of the hall that programs go to. */
const HALL_USED = 20;

interface Pair {
  readonly real: AddressSpace;
  readonly memory: SpaceMemory;
  readonly naive: NaiveSpace;
}

interface Thing {
  readonly real: AnonymousObject | FileObject;
  readonly naive: NaiveObject;
}

/** Everything under test. */
export class World {
  readonly vmm: Vmm;
  readonly coin: Coin;
  readonly memory: PlainMemory;
  readonly spaces: Pair[] = [];
  readonly things: Thing[] = [];
  /** Tables that got one more space. */
  shares = 0;
  readonly #shape: WorldShape;
  #state: number;

  constructor(seed: number, odds: number, options: Partial<VmmOptions> = {}, shape: WorldShape = SMALL) {
    this.#shape = shape;
    const { arena, arenaPages } = shape;
    this.#state = seed * 2 + 1;
    this.coin = new Coin(() => this.next(1000000), odds);
    this.memory = new PlainMemory(shape.frames);
    this.vmm = new Vmm({
      frames: new FlakyFrames(this.memory, this.coin),
      window: this.memory,
      swap: [new FlakySwap(100000, this.coin)],
      residentLimit: shape.residentLimit,
      special: this.memory,
      ...options,
    });
    const real = this.vmm.createSpace();
    if (real === null) throw new Error("no space");
    const first = { real, memory: new SpaceMemory(real), naive: new NaiveSpace() };
    this.spaces.push(first);
    real.map({ address: arena * PAGE_SIZE, bytes: arenaPages * PAGE_SIZE, placement: "fixed" });
    first.naive.map(arena, arenaPages, READ + WRITE, null, 0, false);
    for (let at = 0; at < 2; at++) {
      const pages = Math.max(10, shape.objectPages - 200);
      this.things.push({
        real: this.vmm.createAnonymous(pages * PAGE_SIZE),
        naive: { content: new Map(), pages, name: "shared" },
      });
      this.things.push({
        real: this.vmm.openFile(new FlakyBacking(FILE_PAGES * PAGE_SIZE, this.coin)),
        naive: { content: new Map(), pages: FILE_PAGES, name: "file" },
      });
    }
  }

  /** A number below `bound`, by xorshift32. */
  next(bound: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state % bound;
  }

  /** One random operation in both worlds. Returns its name. */
  step(): string {
    const pair = this.#pick(this.spaces);
    const { arena, arenaPages, longest, units } = this.#shape;
    const [first, pages] = this.next(4) === 0 ? [HALL, HALL_USED] : [arena, arenaPages];
    let start = first + this.next(pages);
    let count = 1 + this.next(Math.min(longest, first + pages - start));
    if (first === arena && units > 0 && this.next(4) < units) {
      start = Math.ceil(arena / 512) * 512 + 512 * this.next(3);
      count = 512 * (1 + this.next(2));
    }
    count = Math.min(count, first + pages - start);
    this.coin.off = false;
    const name = this.#operate(pair, start, count, first + pages);
    this.coin.off = true;
    return name;
  }

  #operate(pair: Pair, start: number, count: number, end: number): string {
    const dice = this.next(103);
    if (dice < 45) return this.#touch(pair);
    if (dice < 59) return this.#map(pair, start, Math.min(3 * count, end - start));
    if (dice < 63) return this.#unmap(pair, start, count);
    if (dice < 71) return this.#protect(pair, start, count);
    if (dice < 76) return this.#move(pair, start, count);
    if (dice < 80) return this.#advise(pair, start, count);
    if (dice < 84) return this.#clone(pair);
    if (dice < 87) return this.#destroy(pair);
    if (dice < 90) return this.#resize();
    if (dice < 93) return this.#lock(pair, start, count);
    if (dice < 95) return this.#sync(pair, start, count);
    if (dice < 97) return this.#migrate();
    if (dice >= 100) return this.#share(pair);
    if (this.#shape.units > 0 && this.next(2) === 0) {
      this.vmm.collapser.step(2000);
      return "collapse";
    }
    this.vmm.reclaim(this.next(this.#shape.units > 0 ? 200 : 8));
    return "reclaim";
  }

  #touch(pair: Pair): string {
    const { arena, arenaPages } = this.#shape;
    const [first, pages] = this.next(3) === 0 ? [HALL, HALL_USED] : [arena, arenaPages];
    for (let at = 0; at < 8; at++) {
      const vpn = first + this.next(pages);
      const value = this.next(1000000000);
      const store = this.next(2) === 0;
      const expected = pair.naive.access(vpn, store ? WRITE : READ);
      const address = vpn * PAGE_SIZE + 8;
      const done = store ? pair.memory.store32(address, value) : pair.memory.load32(address) >= 0;
      if (done) {
        expect(expected).toBe("ok");
        if (store) pair.naive.store(vpn, value);
        else expect(pair.memory.load32(address)).toBe(pair.naive.load(vpn));
      } else {
        const got = pair.memory.fault;
        if (got === "no-memory") continue; // A port failed: nothing happened.
        const kind = got === "unmapped" ? "unmapped" : got === "bus" ? "bus" : "rights";
        expect(kind).toBe(expected);
      }
    }
    return "touch";
  }

  #map(pair: Pair, start: number, count: number): string {
    const thing = this.next(2) === 0 ? null : this.#pick(this.things);
    const rights = this.#shape.units > 0 && this.next(2) === 0 ? READ + WRITE : this.#pick(RIGHTS);
    const shared = thing !== null && this.next(2) === 0;
    // Now and then an object lies as the arena does, so that its 2M pages and the arena's meet.
    const { units } = this.#shape;
    const aligned = units > 0 && this.next(4) < units;
    const index = thing === null ? 0 : aligned ? start % 512 : this.next(6);
    const outcome = pair.real.map({
      address: start * PAGE_SIZE,
      bytes: count * PAGE_SIZE,
      placement: "fixed",
      rights,
      shared,
      offset: index * PAGE_SIZE,
      ...(thing === null ? {} : { object: thing.real }),
    });
    if (typeof outcome === "number") pair.naive.map(start, count, rights, thing?.naive ?? null, index, shared);
    return `map ${thing?.naive.name ?? "zero"}`;
  }

  /** Fills the hall with one object where it is not mapped through, and lets another space have the table of it. */
  #share(pair: Pair): string {
    const other = this.#pick(this.spaces);
    const address = HALL * PAGE_SIZE;
    const bytes = HALL_PAGES * PAGE_SIZE;
    if (!pair.naive.isMapped(HALL, HALL_PAGES)) {
      const { real: object, naive } = this.#pick(this.things);
      const mapped = pair.real.map({ address, bytes, placement: "fixed", object, shared: true });
      if (mapped === address) pair.naive.map(HALL, HALL_PAGES, READ + WRITE, naive, 0, true);
    }
    if (other === pair || other.real.unmap(address, bytes) !== "ok") return "share not";
    other.naive.unmap(HALL, HALL_PAGES);
    const outcome = pair.real.share(address, bytes, other.real, address);
    if (outcome !== address) return `share: ${outcome}`;
    this.shares++;
    for (let at = 0; at < HALL_PAGES; at++) {
      const page = pair.naive.pages.get(HALL + at);
      if (page === undefined || !page.shared) throw new Error("a table was shared that may not be");
      other.naive.pages.set(HALL + at, { ...page });
    }
    return "share";
  }

  #unmap(pair: Pair, start: number, count: number): string {
    expect(pair.real.unmap(start * PAGE_SIZE, count * PAGE_SIZE)).toBe("ok");
    pair.naive.unmap(start, count);
    return "unmap";
  }

  #protect(pair: Pair, start: number, count: number): string {
    const rights = this.#pick(RIGHTS);
    const outcome = pair.real.protect(start * PAGE_SIZE, count * PAGE_SIZE, rights);
    expect(outcome).toBe(pair.naive.protect(start, count, rights) ? "ok" : "unmapped");
    this.#takeCopies(pair, start, count);
    return "protect";
  }

  #move(pair: Pair, start: number, count: number): string {
    const to =
      this.next(4) === 0 ? HALL + this.next(HALL_USED) : this.#shape.arena + this.next(this.#shape.arenaPages - count);
    if (to < start + count && start < to + count) return "move nowhere";
    const outcome = pair.real.remap({
      address: start * PAGE_SIZE,
      bytes: count * PAGE_SIZE,
      newBytes: count * PAGE_SIZE,
      mayMove: true,
      target: to * PAGE_SIZE,
    });
    if (typeof outcome === "number") {
      expect(pair.naive.move(start, count, to)).toBe(true);
      this.#takeCopies(pair, to, count);
    } else if (outcome === "unmapped") expect(pair.naive.isMapped(start, count)).toBe(false);
    return "move";
  }

  #advise(pair: Pair, start: number, count: number): string {
    const advice = this.#pick(["dont-need", "page-out", "cold", "will-need", "sequential"] as const);
    const outcome = pair.real.advise(start * PAGE_SIZE, count * PAGE_SIZE, advice);
    if (advice === "dont-need" && outcome === "ok") expect(pair.naive.forget(start, count)).toBe(true);
    return advice;
  }

  #clone(pair: Pair): string {
    if (this.spaces.length >= 4) return "clone not";
    const clone = pair.real.clone();
    if (clone === null) return "clone fails";
    this.spaces.push({ real: clone, memory: new SpaceMemory(clone), naive: pair.naive.clone() });
    return "clone";
  }

  #destroy(pair: Pair): string {
    if (this.spaces.length < 2) return "destroy not";
    pair.real.destroy();
    this.spaces.splice(this.spaces.indexOf(pair), 1);
    return "destroy";
  }

  #resize(): string {
    const thing = this.#pick(this.things);
    const pages = this.next(this.#shape.objectPages);
    if (thing.real.resize(pages * PAGE_SIZE) === "ok")
      resizeObject(
        thing.naive,
        pages,
        this.spaces.map(({ naive }) => naive),
      );
    return "resize";
  }

  #lock(pair: Pair, start: number, count: number): string {
    if (this.next(2) === 0) {
      pair.real.unlock(start * PAGE_SIZE, count * PAGE_SIZE);
      return "unlock";
    }
    if (pair.real.lockedPages > 8) {
      pair.real.unlockAll();
      return "unlock all";
    }
    const pages = Math.min(count, 4);
    const outcome = pair.real.lock(start * PAGE_SIZE, pages * PAGE_SIZE);
    const missed = this.#takeCopies(pair, start, pages);
    if (outcome === "ok") expect(missed).toBe(0);
    return "lock";
  }

  /**
   * What is locked and may be stored to becomes the space's own before it is: all of it where the lock holds, as much as there was memory for where rights change or the
   * lock fails. Whether a page did is asked of the real space; what it holds from then on is for the oracle to say. Returns how many such pages did not.
   */
  #takeCopies({ real, naive }: Pair, start: number, count: number): number {
    let missed = 0;
    for (let vpn = start; vpn < start + count; vpn++) {
      if (!naive.follows(vpn)) continue;
      if ((real.sheets.get(vpn)?.anons[vpn & (TABLE_PAGES - 1)] ?? -1) >= 0) naive.copy(vpn);
      else missed++;
    }
    return missed;
  }

  #sync(pair: Pair, start: number, count: number): string {
    pair.real.sync(start * PAGE_SIZE, count * PAGE_SIZE);
    return "sync";
  }

  #migrate(): string {
    const { core } = this.vmm;
    const step = this.#shape.frames / 10;
    for (let pfn = this.next(step); pfn < this.#shape.frames; pfn += step)
      if (core.frameMap.pageAt(pfn) >= 0) this.vmm.migrator.vacate(pfn);
    return "migrate";
  }

  /** Everything that both worlds can say about every page of the arena, and of the hall as far as programs go. */
  compare(): void {
    this.vmm.check();
    for (const pair of this.spaces) {
      const { arena, arenaPages } = this.#shape;
      for (let vpn = arena; vpn < arena + arenaPages; vpn++) this.#comparePage(pair, vpn);
      for (let vpn = HALL; vpn < HALL + HALL_USED; vpn++) this.#comparePage(pair, vpn);
    }
    this.vmm.check();
  }

  #comparePage({ memory, naive }: Pair, vpn: number): void {
    const expected = naive.access(vpn, READ);
    const got = memory.load32(vpn * PAGE_SIZE + 8);
    const wanted = expected === "ok" ? naive.load(vpn) : -1;
    if (got !== wanted) expect({ vpn, got }).toEqual({ vpn, got: wanted });
  }

  /** Everything goes; every frame comes back. */
  close(): void {
    for (const { real } of this.spaces) real.destroy();
    for (const { real } of this.things) real.close();
    this.vmm.close();
    this.vmm.check();
    expect(this.memory.freeFrames).toBe(this.memory.totalFrames);
  }

  #pick<T>(list: readonly T[]): T {
    const found = list[this.next(list.length)];
    if (found === undefined) throw new Error("nothing to pick from");
    return found;
  }
}
