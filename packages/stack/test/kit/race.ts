/**
 * Four processors that run into each other at every yield point, each with a TLB that keeps and fetches whatever it may, in lock-step with a model of what
 * every page holds. Free frames are filled with a pattern that looks like a present table entry, so that whoever stores to one, or walks through one, leaves
 * a trace.
 *
 * A page of a space has one processor that stores to it, so that what it holds is known in any order; while an operation on it is under way, and where one
 * overlapped with a store, it may hold anything that was ever stored to that page. Nobody may ever see bytes of another page, of another space, or of a
 * free frame.
 */
import { physicalMapFromJson } from "@pagewright/machine";
import type { TlbGeometry } from "@pagewright/machine";
import { MemorySwap, READ, SeededRandom, WRITE } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";
import { audit, createStack } from "../../src/index.ts";
import type { Stack } from "../../src/index.ts";

const PAGE = 4096;
/** Processors. */
export const CPUS = 4;
/** Steps of a race. */
export const STEPS = 600;
/** Two areas of as many pages each: the first has a neighbour that keeps its table alive, the second has its table for itself. */
const AREA_PAGES = 24;
const AREAS = [2 ** 30, 2 ** 30 + 2 ** 21] as const;
const ANCHOR = 2 ** 30 + 100 * PAGE;
const PAGES = AREA_PAGES * 2;
const SPACES = 3;
/** P, R/W, U/S without A: a walk through it sets A. Its remainder by 64 is no page's. */
const POISON = 0x07070707;
const FIRST_TAG = 8;

/** Large enough to keep everything, small enough to be looked through often. */
export const KEEPS_ALL: TlbGeometry = {
  name: "keeps all",
  data: { "4K": { sets: 64, ways: 8 }, "2M": { sets: 2, ways: 2 }, "1G": { sets: 1, ways: 1 } },
  code: { "4K": { sets: 2, ways: 2 }, "2M": { sets: 1, ways: 1 } },
  second: { shared: null, "1G": null },
  structures: { pml4: 16, pdpt: 16, pd: 64 },
  replacement: "oldest",
};

/** What the model knows of a page of a space. */
interface ModelPage {
  /** What it holds; `any`: something that was stored to it at some time. */
  value: number | "any";
  /** Rights, 0: not mapped. */
  rights: number;
  /** Operations on it under way. */
  active: number;
  /** Stores to it under way. */
  storing: number;
  /** Something was stored while an operation was under way. */
  touched: boolean;
  /** Changes with each begin and end of an operation or store. */
  version: number;
}

interface World {
  readonly space: AddressSpace;
  /** Spaces that are clones of each other have one line, and see each other's values. */
  readonly line: number;
  readonly pages: ModelPage[];
}

/** What went wrong: a violation of what the memory manager promises. */
export class Violation extends Error {}

/** The race. */
export class Race {
  readonly stack: Stack;
  readonly random: SeededRandom;
  /** Steps taken within another processor's operation. */
  switches = 0;
  /** The most frames that waited in quarantine at the end of a step. */
  mostHeld = 0;
  readonly #worlds: World[] = [];
  /** What each processor runs in. */
  readonly #runs: (World | null)[] = new Array<World | null>(CPUS).fill(null);
  readonly #busy = new Set<number>();
  /** By processor, pages that may still be seen as they were before they were unmapped. */
  readonly #stale: Set<ModelPage>[] = Array.from({ length: CPUS }, () => new Set());
  readonly #poisoned = new Set<number>();
  #sequence = 0;
  #lines = 0;

  /** A race by a seed. `prepare` may break the stack before anything runs. */
  constructor(seed: number, lazyShootdown: boolean, prepare: (stack: Stack) => void = () => undefined) {
    this.random = new SeededRandom(seed * 2654435761);
    const map = physicalMapFromJson({ entries: [{ base: 0, length: 24 * 2 ** 20, type: 1 }] });
    this.stack = createStack({
      map,
      cpus: CPUS,
      translationBuffers: KEEPS_ALL,
      adversary: { onStale: "collect", speculation: 0.5 },
      seed,
      contexts: 2,
      residentLimit: seed % 2 === 0 ? 8 : 60, // Every second race runs short of frames.
      swap: [new MemorySwap(4096)],
      lazyShootdown,
      interleaving: { yieldPoint: () => this.#others() },
    });
    prepare(this.stack);
    this.#watchFrames();
    for (let count = 0; count < 2; count++) this.#newWorld();
    for (let cpu = 0; cpu < CPUS; cpu++) this.#enter(cpu, this.#worlds[cpu & 1] ?? null);
  }

  /** Takes so many steps, audits now and then and at the end. Throws a {@link Violation} at the first thing that is wrong. */
  run(steps: number): void {
    for (let step = 1; step <= steps; step++) {
      this.#step(this.#pick(CPUS));
      this.mostHeld = Math.max(this.mostHeld, this.stack.vmm.core.quarantine?.held ?? 0);
      if (step % 50 === 0) this.#audit();
    }
    this.#audit();
  }

  #audit(): void {
    const { problems } = audit(this.stack);
    if (problems.length > 0) throw new Violation(problems.join("\n"));
    for (const pfn of this.#poisoned) this.#demandPoison(pfn);
  }

  // ------------------------------------------------------------ frames

  #watchFrames(): void {
    const { pmm } = this.stack;
    const take = pmm.take.bind(pmm);
    const give = pmm.give.bind(pmm);
    pmm.take = (hints) => {
      const pfn = take(hints);
      for (let frame = pfn; frame >= 0 && frame < pfn + 2 ** (hints?.order ?? 0); frame++) this.#taken(frame);
      return pfn;
    };
    pmm.give = (pfn, order) => {
      for (let frame = pfn; frame < pfn + 2 ** (order ?? 0); frame++) this.#given(frame);
      give(pfn, order);
    };
    pmm.takeMany = (into, count, hints) => {
      let taken = 0;
      while (taken < count && (into[taken] = pmm.take(hints)) >= 0) taken++;
      return taken;
    };
    pmm.giveMany = (frames, count) => {
      for (let at = 0; at < count; at++) pmm.give(frames[at]!);
    };
  }

  #given(pfn: number): void {
    const { memory } = this.stack.machine;
    const base = memory.base(pfn);
    memory.words(pfn).fill(POISON, base, base + PAGE / 4);
    this.#poisoned.add(pfn);
  }

  #taken(pfn: number): void {
    if (this.#poisoned.delete(pfn)) this.#demandPoison(pfn);
  }

  #demandPoison(pfn: number): void {
    const { memory } = this.stack.machine;
    const words = memory.words(pfn);
    const base = memory.base(pfn);
    for (let at = 0; at < PAGE / 4; at++)
      if (words[base + at] !== POISON) throw new Violation(`free frame ${pfn} was changed at word ${at}`);
  }

  // ------------------------------------------------------------ steps

  #pick(bound: number): number {
    return this.random.uint32() % bound;
  }

  /** At a yield point: somebody else may take a step. */
  #others(): void {
    if (this.#busy.size >= CPUS || this.#pick(2) !== 0) return;
    const cpu = this.#pick(CPUS);
    if (this.#busy.has(cpu)) return;
    this.switches++;
    this.#step(cpu);
  }

  #step(cpu: number): void {
    const other = this.#pick(CPUS);
    this.stack.machine.adversaries[other]?.speculate(this.stack.control.isResting(other) ? 8 : 2);
    this.#busy.add(cpu);
    this.stack.as(cpu, () => {
      this.#act(cpu);
    });
    this.#busy.delete(cpu);
  }

  #act(cpu: number): void {
    const dice = this.#pick(100);
    const world = this.#runs[cpu] ?? null;
    if (this.stack.control.isResting(cpu)) {
      if (dice < 50) this.stack.vmm.background(4);
      else if (dice < 70 && world !== null) this.#enter(cpu, world);
    } else if (world === null) this.#enter(cpu, this.#worlds[this.#pick(this.#worlds.length)] ?? null);
    else if (dice < 76) this.#touch(cpu, world);
    else if (dice < 84) this.#operate(cpu, world);
    else if (dice < 88) this.#enter(cpu, this.#worlds[this.#pick(this.#worlds.length)] ?? null);
    else if (dice < 94) this.#pause(cpu);
    else if (dice < 96) this.#passed(cpu, () => this.stack.tick(cpu));
    else if (dice < 98) this.stack.vmm.background(6);
    else this.#migrate();
  }

  #passed(cpu: number, passing: () => void): void {
    passing();
    this.#stale[cpu]?.clear();
  }

  #enter(cpu: number, world: World | null): void {
    if (world === null) return;
    this.#passed(cpu, () => this.stack.enter(world.space, cpu));
    this.#runs[cpu] = world;
  }

  #pause(cpu: number): void {
    this.#passed(cpu, () => this.stack.rest(cpu));
  }

  // ------------------------------------------------------------ accesses

  #touch(cpu: number, world: World): void {
    const processor = this.stack.machine.cpus[cpu];
    if (processor === undefined) return;
    const at = this.#pick(PAGES);
    const page = pageOf(world, at);
    const address = addressOf(at) + 16;
    const before = page.version;
    const faults = processor.stats().pageFaults;
    const isOwn = at % CPUS === cpu;
    const mayBeStale = this.#stale[cpu]?.has(page) === true;
    if (isOwn && this.#pick(2) === 0) {
      const value = (++this.#sequence * 8 + world.line) * 64 + at + FIRST_TAG;
      page.version++;
      page.storing++;
      const contested = page.active > 0;
      const done = processor.store32(address, value);
      page.storing--;
      if (contested || page.active > 0 || page.version !== before + 1) {
        page.value = "any";
        page.touched = true;
      } else if (page.rights === 0 && mayBeStale) {
        // The store went to a frame that nobody has any more, or failed.
      } else {
        const may = (page.rights & WRITE) !== 0;
        if (done !== may) throw new Violation(`a store to page ${at} ${done ? "was done" : "failed"}`);
        if (done) page.value = value;
      }
      page.version++;
    } else {
      const contested = page.active > 0 || page.storing > 0;
      const got = processor.load32(address);
      this.#demandOwn(world, at, got);
      if (!contested && page.active === 0 && page.storing === 0 && page.version === before && !mayBeStale)
        demandExpected(page, at, got);
    }
    if (processor.stats().pageFaults !== faults) this.#stale[cpu]?.clear();
  }

  /** Whatever is under way: only bytes that were stored to this very page can be there. */
  #demandOwn(world: World, at: number, got: number): void {
    if (got === -1 || got === 0) return;
    const line = Math.floor(got / 64) % 8;
    if (got % 64 !== at + FIRST_TAG || line !== world.line)
      throw new Violation(`page ${at} of line ${world.line} shows foreign bytes: 0x${got.toString(16)}`);
  }

  // ------------------------------------------------------------ operations

  #operate(cpu: number, world: World): void {
    const dice = this.#pick(18);
    if (dice < 3) this.#clone(world);
    else if (dice === 3) this.#destroy(world);
    else this.#change(cpu, world, dice);
  }

  #change(cpu: number, world: World, dice: number): void {
    const { space } = world;
    const area = this.#pick(2) * AREA_PAGES;
    const whole = this.#pick(3) === 0;
    const start = area + (whole ? 0 : this.#pick(AREA_PAGES));
    const end = whole ? area + AREA_PAGES : start + 1 + this.#pick(area + AREA_PAGES - start);
    const address = addressOf(start);
    const bytes = (end - start) * PAGE;
    const pages = world.pages.slice(start, end);
    begin(pages);
    let rights = -1;
    let forgets = false;
    if (dice < 8) {
      if (space.unmap(address, bytes) === "ok") [rights, forgets] = [0, true];
    } else if (dice < 12) {
      const mapped = space.map({ bytes, address, placement: "fixed" });
      if (typeof mapped === "number") [rights, forgets] = [READ + WRITE, true];
    } else if (dice < 15) {
      const wanted = this.#pick(2) === 0 ? READ : READ + WRITE;
      if (space.protect(address, bytes, wanted) === "ok") rights = wanted;
    } else if (dice < 16) {
      if (this.#pick(2) === 0) forgets = space.advise(address, bytes, "dont-need") === "ok";
      else {
        forgets = space.discard(address, bytes) === "ok";
        space.waitForQuiet(address, bytes);
      }
    } else space.advise(address, bytes, dice < 17 ? "page-out" : "cold");
    for (const page of pages) {
      if (rights >= 0) page.rights = rights;
      if (forgets) page.value = 0;
      // Until they pass a quiescent point, the others that run here may see what was there.
      if (rights === 0)
        this.#runs.forEach((other, number) => {
          if (other === world && number !== cpu) this.#stale[number]?.add(page);
        });
    }
    finish(pages);
  }

  #clone(world: World): void {
    if (this.#worlds.length >= SPACES) return;
    begin(world.pages);
    const clone = world.space.clone();
    if (clone !== null) {
      const pages = world.pages.map((page) => ({
        ...page,
        value: page.touched || page.storing > 0 ? ("any" as const) : page.value,
        active: 0,
        storing: 0,
        touched: false,
      }));
      this.#worlds.push({ space: clone, line: world.line, pages });
    }
    finish(world.pages);
  }

  /** The end of a space, where nobody is in the middle of something. */
  #destroy(world: World): void {
    if (this.#worlds.length < 2 || this.#busy.size > 1) return;
    this.#worlds.splice(this.#worlds.indexOf(world), 1);
    this.#runs.forEach((other, cpu) => {
      if (other === world) this.#runs[cpu] = null;
    });
    world.space.destroy();
    if (this.#worlds.length < 2) this.#newWorld();
  }

  #newWorld(): void {
    const space = this.stack.vmm.createSpace();
    if (space === null) throw new Error("no frame for a space");
    space.map({ bytes: PAGE, address: ANCHOR, placement: "fixed" });
    space.fault(ANCHOR, WRITE);
    for (const address of AREAS) space.map({ bytes: AREA_PAGES * PAGE, address, placement: "fixed" });
    const fresh = (): ModelPage => ({
      value: 0,
      rights: READ + WRITE,
      active: 0,
      storing: 0,
      touched: false,
      version: 0,
    });
    this.#worlds.push({ space, line: this.#lines++ & 7, pages: Array.from({ length: PAGES }, fresh) });
  }

  /** Moves some resident page to another frame. */
  #migrate(): void {
    const { core, migrator } = this.stack.vmm;
    const resident: number[] = [];
    for (let page = 0; page < core.pages.capacity; page++)
      if (core.pages.isResident(page)) resident.push(core.pages.frameOf(page));
    const pfn = resident[this.#pick(Math.max(1, resident.length))];
    if (pfn !== undefined) migrator.vacate(pfn);
  }
}

function begin(pages: readonly ModelPage[]): void {
  for (const page of pages) {
    page.active++;
    page.version++;
  }
}

function finish(pages: readonly ModelPage[]): void {
  for (const page of pages) {
    if (page.touched || page.storing > 0) page.value = "any";
    page.active--;
    page.version++;
    if (page.active === 0) page.touched = false;
  }
}

function pageOf(world: World, at: number): ModelPage {
  const page = world.pages[at];
  if (page === undefined) throw new Error("no such page");
  return page;
}

function addressOf(at: number): number {
  return AREAS[at < AREA_PAGES ? 0 : 1] + (at % AREA_PAGES) * PAGE;
}

function demandExpected(page: ModelPage, at: number, got: number): void {
  if (page.rights === 0) {
    if (got !== -1) throw new Violation(`page ${at} is not mapped and shows 0x${got.toString(16)}`);
  } else if (page.value === "any") {
    if (got === -1) throw new Violation(`page ${at} cannot be loaded`);
  } else if (got !== page.value)
    throw new Violation(`page ${at} shows 0x${got.toString(16)} instead of 0x${page.value.toString(16)}`);
}
