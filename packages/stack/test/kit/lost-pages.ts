/**
 * Four processors in cloned and separate spaces on a whole stack, whose swap stores fail, lie, fill up and go away, in lock-step with a model of every page. A load finds what was
 * stored, or is a bus error on a page that a store has spoiled; nothing else is ever lost, and nobody sees another's bytes.
 */
import { physicalMapFromJson } from "@pagewright/machine";
import type { Cpu } from "@pagewright/machine";
import { READ_TRIES, SeededRandom } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";
import { expect } from "vitest";
import { audit, createStack } from "../../src/index.ts";
import type { Stack } from "../../src/index.ts";
import { BadLateSwap, BadSwap, Faults, type Odds } from "./bad-stores.ts";

const PAGE = 4096;
/** Processors. */
const CPUS = 4;
const PAGES = 40;
const MAX_SPACES = 5;
/** Goes into each page beside its word, so that it does not compress to next to nothing. */
const NOISE = Uint8Array.from({ length: 480 }, (_, at) => (at * at * 31 + at * 7) >>> 3);

interface ModelPage {
  value: number;
  /** A bus error was seen on it. Asked again, its store may have it after all; other bytes it never has. */
  missed: boolean;
}

interface World {
  readonly space: AddressSpace;
  readonly pages: ModelPage[];
}

/** A run: a stack, its bad stores, and the model. */
class Run {
  readonly stack: Stack;
  readonly late: BadLateSwap;
  readonly faults: Faults;
  readonly worlds: World[] = [];
  /** Accesses that found no memory: nothing was changed. */
  refused = 0;
  /** Pages on which a bus error was seen. */
  missed = 0;
  /** Of these, pages that were still not there in the end, however often they were asked for. */
  lost = 0;
  readonly #random: SeededRandom;
  readonly #at: number;

  constructor(seed: number, odds: Odds) {
    this.#random = new SeededRandom(seed);
    this.faults = new Faults(this.#random, odds);
    this.late = new BadLateSwap(300, [1, 4, 16][seed % 3] ?? 4, this.faults);
    const stores = [this.late, new BadSwap(60, this.faults), new BadSwap(200, this.faults)];
    const map = physicalMapFromJson({ entries: [{ base: 0, length: 64 * 2 ** 20, type: 1 }] });
    this.stack = createStack({
      map,
      cpus: CPUS,
      residentLimit: 24,
      lazyShootdown: seed % 2 === 0,
      swap: seed % 4 === 3 ? stores.reverse() : stores,
      ...(seed % 3 === 0 ? {} : { compressed: { limitFrames: 1, slots: 200 } }),
      adversary: {},
      seed,
    });
    const space = this.#created();
    this.#at = Number(space.map({ bytes: PAGES * PAGE }));
    this.#add(space);
    const other = this.#created();
    other.map({ address: this.#at, bytes: PAGES * PAGE, placement: "fixed-new" });
    this.#add(other);
  }

  /** What a processor does, `count` times: accesses, most of the time. */
  async steps(number: number, count: number): Promise<void> {
    for (let step = 0; step < count; step++) {
      const world = this.worlds[this.#pick(this.worlds.length)];
      if (world === undefined) return;
      const page = this.#pick(PAGES);
      const kind = this.#pick(100);
      if (kind < 45) await this.#access(number, world, page, 1 + this.#pick(2 ** 31));
      else if (kind < 88) await this.#access(number, world, page, 0);
      else if (kind < 91) this.stack.as(number, () => world.space.advise(this.#address(page), PAGE, "page-out"));
      else if (kind < 94) this.#drop(number, world, page);
      else if (kind < 96) this.stack.as(number, () => this.stack.vmm.background(this.#pick(16)));
      else if (kind < 97) this.#clone(number, world);
      else if (kind < 98 && this.worlds.length > 2) this.#end(number, world);
      else if (kind === 98) this.late.crash();
      else this.late.start();
      this.stack.tick(number);
      if (this.#pick(4) === 0) await Promise.resolve();
      if (this.#pick(60) === 0) this.late.start();
    }
  }

  /** Reads every page of every space, and ends them; nothing is left anywhere. */
  async finish(): Promise<void> {
    this.late.start();
    for (const world of this.worlds) for (let page = 0; page < PAGES; page++) await this.#insist(world, page);
    await this.stack.vmm.settled();
    this.stack.check();
    expect(audit(this.stack).problems).toEqual([]);
    for (const world of [...this.worlds]) this.#end(0, world);
    await new Promise((resolve) => setTimeout(resolve, 1));
    this.stack.check();
    expect(audit(this.stack).problems).toEqual([]);
    expect(this.stack.vmm.swapTiers().map(({ used }) => used)).toEqual(this.stack.vmm.swapTiers().map(() => 0));
  }

  /** Loads a page as often as a store is asked for it. */
  async #insist(world: World, page: number): Promise<void> {
    const model = world.pages[page];
    if (model === undefined) return;
    for (let tries = 0; tries <= READ_TRIES; tries++) {
      const { missed } = this;
      model.missed = false;
      await this.#access(0, world, page, 0);
      if (this.missed === missed) return;
      this.missed = missed;
    }
    this.lost++;
  }

  #created(): AddressSpace {
    const space = this.stack.vmm.createSpace();
    if (space === null) throw new Error("no frame for tables");
    return space;
  }

  #add(space: AddressSpace): void {
    this.worlds.push({ space, pages: Array.from({ length: PAGES }, () => ({ value: 0, missed: false })) });
  }

  #pick(bound: number): number {
    return this.#random.uint32() % bound;
  }

  #address(page: number): number {
    return this.#at + page * PAGE;
  }

  /** Stores `value`, or loads where it is 0. The model follows in the same moment. */
  async #access(number: number, world: World, page: number, value: number): Promise<void> {
    const model = world.pages[page];
    const address = this.#address(page) + (page % 7) * 512;
    for (let tries = 0; tries < 1000; tries++) {
      if (model === undefined || world.space.isDestroyed) return;
      const cpu = this.stack.enter(world.space, number);
      if (value > 0 ? this.#store(cpu, address, value, model) : this.#load(cpu, address, model)) return;
      const { lastFault } = this.stack;
      if (lastFault === "bus") {
        this.#bus(model);
        return;
      }
      if (lastFault === "no-memory") {
        this.refused++;
        return;
      }
      if (lastFault !== "pending" || world.space.pending === null) throw new Error(`an access came to ${lastFault}`);
      const { pending } = world.space;
      if (this.#pick(8) === 0) this.late.start();
      // Somebody has to start the store again while all processors wait.
      await Promise.race([
        pending,
        new Promise<void>((resolve) => setTimeout(resolve, 2)).then(() => this.late.start()),
      ]);
    }
    throw new Error("no progress");
  }

  #store(cpu: Cpu, address: number, value: number, model: ModelPage): boolean {
    if (!cpu.copyIn(address + 4, NOISE) || !cpu.store32(address, value)) return false;
    model.value = value;
    return true;
  }

  #load(cpu: Cpu, address: number, model: ModelPage): boolean {
    const value = cpu.load32(address);
    if (value < 0) return false;
    expect(value).toBe(model.value);
    return true;
  }

  #bus(model: ModelPage): void {
    if (!model.missed) this.missed++;
    model.missed = true;
    expect(this.missed).toBeLessThanOrEqual(this.faults.spoiledReads * MAX_SPACES);
  }

  #drop(number: number, world: World, page: number): void {
    this.stack.as(number, () => world.space.advise(this.#address(page), PAGE, "dont-need"));
    Object.assign(world.pages[page] ?? {}, { value: 0, missed: false });
  }

  #clone(number: number, world: World): void {
    if (this.worlds.length >= MAX_SPACES) return;
    const space = this.stack.as(number, () => world.space.clone());
    if (space !== null) this.worlds.push({ space, pages: world.pages.map((page) => ({ ...page })) });
  }

  #end(number: number, world: World): void {
    this.worlds.splice(this.worlds.indexOf(world), 1);
    this.stack.as(number, () => {
      world.space.destroy();
    });
  }
}

const SOUND: Odds = { write: 0, full: 0, read: 0, damage: 0 };
/** Kinds of bad stores. */
export const CASES: readonly (readonly [string, Odds])[] = [
  ["that go away and come back", SOUND],
  ["whose writes fail and find no room", { ...SOUND, write: 30, full: 30 }],
  ["whose reads fail and return other bytes", { write: 60, full: 60, read: 60, damage: 60 }],
  ["that fail nearly always, and are fenced", { write: 2, full: 0, read: 0, damage: 0 }],
];

/** What happened in runs. */
export type Totals = Record<
  "refusedWrites" | "missed" | "lost" | "interrupted" | "rejected" | "mismatches" | "movedDown" | "fenced",
  number
>;

/** Nothing has happened yet. */
export function noTotals(): Totals {
  return { refusedWrites: 0, missed: 0, lost: 0, interrupted: 0, rejected: 0, mismatches: 0, movedDown: 0, fenced: 0 };
}

/** Runs four processors for so many steps each, proves that nothing was lost but what stores spoiled, and adds up what happened. */
export async function runAll(seed: number, odds: Odds, steps: number, totals: Totals): Promise<void> {
  const run = new Run(seed, odds);
  await Promise.all(Array.from({ length: CPUS }, (_, number) => run.steps(number, steps)));
  await run.finish();
  if (odds.read === 0) expect(run.missed).toBe(0);
  if (odds.write !== 2) expect(run.refused).toBe(0);
  totals.refusedWrites += run.faults.refusedWrites;
  totals.missed += run.missed;
  totals.lost += run.lost;
  totals.interrupted += run.late.interrupted;
  totals.rejected += run.late.rejected;
  for (const tier of run.stack.vmm.swapTiers()) {
    totals.mismatches += tier.mismatches;
    totals.movedDown += tier.movedDown;
    if (tier.fenced) totals.fenced++;
  }
}
