/** A manager and its oracle, driven by one seed: every operation happens in both, and both must agree after it. */
import { expect } from "vitest";

import {
  PAGE_SIZE,
  READ,
  SharedNames,
  WRITE,
  type AddressSpace,
  type DmaTransfer,
  type FramePressure,
  type FrameWindow,
  type MemoryBacking,
  type PurgeableHandle,
  type SpaceMemory,
  type Vmm,
} from "@pagewright/vmm";

import { advise, clone, destroy, drop, purge, touch, wait } from "./content-steps.ts";
import { Comparison } from "./comparison.ts";
import { Coin } from "./flaky.ts";
import { background, beginTransfer, endTransfer, migrate } from "./frame-steps.ts";
import { NaiveSpace, type Content, type NaivePage } from "./naive.ts";
import { pagerStep, replace, resize, seal, sync } from "./object-steps.ts";
import {
  lock,
  makeUnusable,
  makeUsable,
  map,
  protect,
  remap,
  setType,
  share,
  transfer,
  unmap,
} from "./region-steps.ts";
import { bufferThing, fileThing, lateThing, namedThing, pagedThing, sharedThing, type Thing } from "./things.ts";

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
  /** Slots of swap. */
  readonly slots: number;
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
  slots: 3000,
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
  slots: 30000,
  units: 2,
};

const FILE_PAGES = 12;
/** First page of the hall: one whole table, which spaces can share and hand over. */
export const HALL = 8192;
export const HALL_PAGES = 512;
/** Pages of the hall that operations begin in. */
export const HALL_USED = 20;
/** Pages of the hall that operations reach, each at most a third of these long. */
export const HALL_REACHED = 60;

/** Loads and stores in a space, and why the last one failed. */
export type Access = Pick<SpaceMemory, "load32" | "store32" | "fault">;

/** A manager under test, and what is below it. */
export interface Ground {
  readonly vmm: Vmm;
  /** The frames: their bytes, and how many are left. */
  readonly memory: Pick<FrameWindow, "read" | "write"> & Pick<FramePressure, "freeFrames" | "totalFrames">;
  /** Frames that something below the manager has: page tables, compressed pages. */
  otherFrames(): number;
  /** Accesses to a space. */
  access(space: AddressSpace): Access;
}

/** A space and its oracle. */
export interface Pair {
  readonly real: AddressSpace;
  readonly memory: Access;
  readonly naive: NaiveSpace;
}

/** Pages of a space. */
export interface Range {
  readonly start: number;
  readonly count: number;
  /** End of the pages that an operation may reach. */
  readonly end: number;
}

/** A transfer under way: its contents in order, the same one more than once where pages are shared. */
export interface Pinned {
  readonly transfer: DmaTransfer;
  readonly contents: readonly Content[];
  /** Frames that may not change. */
  readonly frames: readonly number[];
  readonly pages: readonly number[];
  readonly fromDevice: boolean;
}

/** Pages that their owner can make again. They stay together as long as nobody moves or unmaps some of them. */
export interface Volatile {
  readonly pages: readonly NaivePage[];
  readonly handle: PurgeableHandle;
  isHeld: boolean;
  /** The content is gone. */
  wasPurged: boolean;
  /** What was there when it was let go. */
  contents: ReadonlySet<Content>;
}

/** What the last step may have changed beside what it says. */
export interface Allowance {
  /** Contents that may have become zeroes. */
  readonly zeroes: Set<Content>;
  /** Private pages that follow an object or are shared may have become the space's own. */
  readonly copies: { readonly pair: Pair; readonly start: number; readonly count: number }[];
}

type Step = (world: World, pair: Pair, range: Range) => string | Promise<string>;

/** How often each step comes, of their sum. */
const STEPS: readonly (readonly [number, Step])[] = [
  [40, touch],
  [14, map],
  [4, unmap],
  [8, protect],
  [8, remap],
  [7, advise],
  [4, clone],
  [3, destroy],
  [3, resize],
  [3, lock],
  [3, sync],
  [2, migrate],
  [4, background],
  [3, share],
  [2, transfer],
  [2, setType],
  [3, makeUsable],
  [1, makeUnusable],
  [2, seal],
  [2, replace],
  [3, pagerStep],
  [2, beginTransfer],
  [2, endTransfer],
  [3, purge],
  [1, drop],
  [2, wait],
];
const WEIGHT = STEPS.reduce((sum, [weight]) => sum + weight, 0);

/** Everything under test. */
export class World {
  readonly vmm: Vmm;
  readonly coin: Coin;
  readonly memory: Ground["memory"];
  readonly ground: Ground;
  readonly names: SharedNames;
  readonly shape: WorldShape;
  spaces: Pair[] = [];
  things: Thing[] = [];
  /** Objects that were given up and may be mapped still. */
  retired: Thing[] = [];
  transfers: Pinned[] = [];
  volatile: Volatile[] = [];
  allowance: Allowance = { copies: [], zeroes: new Set() };
  /** What each step came to. */
  readonly done: string[] = [];
  /** How often each step came to what it says. */
  readonly counts: Map<string, number> = new Map();
  readonly #comparison: Comparison = new Comparison(this);
  #state: number;

  constructor(seed: number, odds: number, shape: WorldShape, makeGround: (coin: Coin) => Ground) {
    this.shape = shape;
    this.#state = seed * 2 + 1;
    this.coin = new Coin(() => this.next(1000000), odds);
    this.ground = makeGround(this.coin);
    this.memory = this.ground.memory;
    this.vmm = this.ground.vmm;
    this.names = new SharedNames({ createAnonymous: (bytes) => this.vmm.createAnonymous(bytes, true) });
    const first = this.enter(this.vmm.createSpace());
    const { arena, arenaPages } = shape;
    first.real.map({ address: arena * PAGE_SIZE, bytes: arenaPages * PAGE_SIZE, placement: "fixed" });
    first.naive.map(arena, arenaPages, { rights: READ + WRITE });
    const pages = Math.max(10, shape.objectPages - 200);
    this.things = [
      sharedThing(this, pages),
      fileThing(this, FILE_PAGES),
      namedThing(this, pages),
      fileThing(this, FILE_PAGES),
      lateThing(this, FILE_PAGES),
      pagedThing(this, FILE_PAGES, false),
      pagedThing(this, FILE_PAGES, true),
    ];
    const buffer = bufferThing(this, 4);
    if (buffer !== null) this.things.push(buffer);
  }

  /** A number below `bound`, by xorshift32. */
  next = (bound: number): number => {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state % bound;
  };

  /** One of a list. */
  pick<T>(list: readonly T[]): T {
    const found = list[this.next(list.length)];
    if (found === undefined) throw new Error("nothing to pick from");
    return found;
  }

  /** A real space joins, with an oracle or an empty one. */
  enter(real: AddressSpace | null, naive: NaiveSpace = new NaiveSpace()): Pair {
    if (real === null) throw new Error("no space");
    const pair = { real, memory: this.ground.access(real), naive };
    this.spaces.push(pair);
    return pair;
  }

  /** The next step may make private pages of a range the space's own. */
  allowCopies(pair: Pair, start: number, count: number): void {
    this.allowance.copies.push({ pair, start, count });
  }

  /** One operation, then the comparison of everything; says what it was. */
  async step(): Promise<string> {
    this.allowance = { copies: [], zeroes: new Set() };
    const pair = this.pick(this.spaces);
    const range = this.#range();
    let dice = this.next(WEIGHT);
    const [, step] = STEPS.find(([weight]) => (dice -= weight) < 0) ?? [0, touch];
    this.coin.off = false;
    const name = await step(this, pair, range);
    this.coin.off = true;
    this.done.push(name);
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    this.compare();
    return name;
  }

  #range(): Range {
    const { arena, arenaPages, longest, units } = this.shape;
    const isHall = this.next(4) === 0;
    const first = isHall ? HALL : arena;
    const pages = isHall ? HALL_USED : arenaPages;
    let start = first + this.next(pages);
    let count = 1 + this.next(isHall ? HALL_USED : longest);
    if (!isHall && units > 0 && this.next(4) < units) {
      start = Math.ceil(arena / 512) * 512 + 512 * this.next(3);
      count = 512 * (1 + this.next(2));
    }
    const end = isHall ? HALL + HALL_REACHED : arena + arenaPages;
    return { start, count: Math.min(count, end - start), end };
  }

  /** The windows of a space in which contents are compared. */
  windows(): readonly (readonly [number, number])[] {
    return [
      [this.shape.arena, this.shape.arenaPages],
      [HALL, this.hallWindow],
    ];
  }

  /** Pages of the hall in which contents are compared. */
  get hallWindow(): number {
    return this.shape.units > 0 ? HALL_PAGES : HALL_REACHED;
  }

  /** Everything that both worlds can say about every page, without an access: nothing comes in or goes by looking. */
  compare(): void {
    this.#comparison.run();
  }

  /** Loads every page that may be loaded. */
  async loadAll(): Promise<void> {
    for (const pair of this.spaces)
      for (const [start, count] of this.windows())
        for (let vpn = start; vpn < start + count; vpn++) {
          const expected = pair.naive.access(vpn, READ) === "ok" ? pair.naive.load(vpn) : -1;
          let got = pair.memory.load32(vpn * PAGE_SIZE + 8);
          // Pages that have to be waited for, and those whose last reading failed: the next access asks again.
          for (let tries = 0; got === -1 && expected !== -1 && tries < 8; tries++) {
            if (pair.memory.fault === "pending") await pair.real.pending;
            got = pair.memory.load32(vpn * PAGE_SIZE + 8);
          }
          this.#comparison.noticePurges();
          const own = pair.naive.pages.get(vpn)?.own;
          if (got === 0 && own?.mayVanish === true) own.value = 0;
          const wanted = expected === -1 ? -1 : pair.naive.load(vpn);
          if (got !== wanted) expect({ vpn, got, fault: pair.memory.fault }).toEqual({ vpn, got: wanted });
        }
    this.compare();
  }

  /** Takes over what has become private pages of spaces in the middle of a step. */
  adoptCopies(): void {
    this.coin.off = true;
    this.#comparison.run();
    this.coin.off = false;
  }

  /** Notices ranges that were dropped since. */
  noticePurges(): void {
    this.#comparison.noticePurges();
  }

  /** Everything goes: files have what was stored, and every frame comes back. */
  async close(): Promise<void> {
    this.coin.off = true;
    for (const { transfer } of this.transfers) transfer.cancel();
    for (const { handle } of this.volatile) handle.close();
    for (const { real } of this.spaces) real.destroy();
    for (const thing of [...this.things, ...this.retired]) {
      const { real, file, name } = thing;
      if (real.isDestroyed) continue;
      if (real.kind === "file" && "syncSoon" in real) expect(await real.sync(real.cursor())).toBe("ok");
      if (name === "" || this.names.unlink(name) !== "ok") real.close();
      if (file !== null) this.#compareFile(thing, file);
    }
    this.vmm.close();
    this.vmm.check();
    expect(this.memory.totalFrames - this.memory.freeFrames).toBe(this.ground.otherFrames());
  }

  /** The bytes of the file itself. */
  #compareFile({ naive }: Thing, file: MemoryBacking): void {
    const bytes = new DataView(file.bytes.buffer);
    const found = Array.from({ length: naive.pages }, (_, index) => bytes.getUint32(index * PAGE_SIZE + 8, true));
    expect(found).toEqual(found.map((_, index) => naive.content.get(index)?.value ?? 0));
  }
}
