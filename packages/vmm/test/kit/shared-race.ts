/**
 * Two to four processors in two spaces that have a page table in common: whenever one of them is at a yield point, a seed decides who else runs. Each page is stored to
 * by one processor only, and nothing that happens to mappings changes the content of a shared object: whatever the order, a load that succeeds finds the last store.
 */
import { expect } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  READ,
  SeededRandom,
  TRANSFER_UNIT,
  WRITE,
  type AddressSpace,
  type AnonymousObject,
} from "@pagewright/vmm";

import { rigOf, spaceOf, type Rig } from "./rig.ts";

/** Pages of the table that are used. */
const PAGES = 40;

/** A space, with what is known of its pages. */
interface Side {
  readonly space: AddressSpace;
  /** Rights by page, undefined: unmapped. */
  readonly rights: (number | undefined)[];
  /** Operations under way. */
  underWay: number;
  /** Operations that have ended. */
  done: number;
}

/** Processors that run into each other, and the oracle. */
export class SharedRace {
  readonly rig: Rig;
  /** Times that a processor ran at another one's yield point. */
  switches = 0;
  /** Times that a space joined the other one's table. */
  shares = 0;
  readonly #cpus: number;
  readonly #random: SeededRandom;
  readonly #object: AnonymousObject;
  readonly #sides: readonly Side[];
  readonly #at: number = 64 * TRANSFER_UNIT;
  readonly #known: number[] = new Array<number>(PAGES).fill(0);
  #stopped = false;
  readonly #busy: Set<number> = new Set();

  /** A race of so many processors, in so many frames. */
  constructor(seed: number, cpus: number, residentLimit: number) {
    this.#cpus = cpus;
    this.#random = new SeededRandom(seed);
    const interleaving = {
      yieldPoint: () => {
        this.#others();
      },
    };
    this.rig = rigOf({ residentLimit, interleaving, swap: [new MemorySwap(4096)] }, 64, cpus);
    this.#object = this.rig.vmm.createAnonymous(TRANSFER_UNIT);
    this.#sides = [0, 1].map(() => ({
      space: spaceOf(this.rig.vmm),
      rights: new Array<number | undefined>(PAGES).fill(undefined),
      underWay: 0,
      done: 0,
    }));
    const [first, second] = this.#sides;
    if (first === undefined || second === undefined) throw new Error("no sides");
    this.#map(first);
    this.#share(first, second);
    for (let cpu = 0; cpu < cpus; cpu++) {
      this.#side(cpu).space.activate(cpu);
      this.rig.cpus[cpu]?.setCpl(3);
    }
  }

  /** So many steps; everything is checked now and then, and at the end. */
  run(steps: number): void {
    const { vmm, machine } = this.rig;
    for (let step = 0; step < steps; step++) {
      this.#step(this.#pick(this.#cpus));
      if (step % 20 === 0) vmm.check();
    }
    vmm.check();
    machine.check();
    this.#stopped = true;
    for (const { space } of this.#sides) space.destroy();
    this.#object.close();
    vmm.check();
    expect([this.rig.system.shares.size, vmm.residentPages]).toEqual([0, 0]);
  }

  #side(cpu: number): Side {
    const side = this.#sides[cpu % 2];
    if (side === undefined) throw new Error("no side");
    return side;
  }

  #pick(bound: number): number {
    return this.#random.uint32() % bound;
  }

  /** At a yield point: somebody else may take a step. */
  #others(): void {
    if (this.#stopped || this.#busy.size >= this.#cpus || this.#pick(2) !== 0) return;
    const cpu = this.#pick(this.#cpus);
    if (this.#busy.has(cpu)) return;
    this.switches++;
    this.#step(cpu);
  }

  #step(cpu: number): void {
    const before = this.rig.current;
    this.rig.current = cpu;
    this.#busy.add(cpu);
    if (this.#pick(10) < 8) this.#touch(cpu);
    else this.#operate(cpu);
    this.#busy.delete(cpu);
    this.rig.current = before;
  }

  #touch(cpu: number): void {
    const processor = this.rig.cpus[cpu];
    if (processor === undefined) throw new Error("no processor");
    const side = this.#side(cpu);
    const page = this.#pick(Math.floor(PAGES / this.#cpus)) * this.#cpus + cpu;
    const address = this.#at + page * PAGE_SIZE + 16;
    const wasQuiet = side.underWay === 0;
    const { done } = side;
    const isStore = this.#pick(2) === 0;
    const value = this.#pick(1000000000) + 1;
    const known = this.#known[page] ?? 0;
    const loaded = isStore ? -1 : processor.load32(address);
    const stored = isStore && processor.store32(address, value);
    if (stored) this.#known[page] = value;
    if (loaded >= 0) expect({ page, loaded }).toEqual({ page, loaded: known });
    if (!wasQuiet || side.underWay > 0 || side.done !== done) return;
    const rights = side.rights[page] ?? 0;
    expect(isStore ? stored : loaded >= 0).toBe((rights & (isStore ? WRITE : READ)) !== 0);
  }

  #operate(cpu: number): void {
    const side = this.#side(cpu);
    const other = this.#side(cpu + 1);
    const start = this.#pick(PAGES);
    const end = start + 1 + this.#pick(Math.min(10, PAGES - start));
    const address = this.#at + start * PAGE_SIZE;
    const bytes = (end - start) * PAGE_SIZE;
    const dice = this.#pick(9);
    if (dice <= 1) {
      const rights = dice === 0 ? READ : READ + WRITE;
      this.#during([side], () => {
        if (side.space.protect(address, bytes, rights) === "ok") side.rights.fill(rights, start, end);
      });
    } else if (dice === 2) {
      this.#during([side], () => {
        if (side.space.unmap(address, bytes) === "ok") side.rights.fill(undefined, start, end);
      });
    } else if (dice === 3) {
      this.#during([side], () => {
        this.#map(side);
      });
    } else if (dice === 4) {
      const clone = side.space.clone();
      if (clone !== null) clone.destroy();
    } else if (dice === 5) {
      this.#during([side], () => side.space.advise(address, bytes, "dont-need"));
    } else if (dice === 6) {
      this.rig.vmm.reclaim(1 + this.#pick(4));
    } else if (dice === 7) {
      for (let pfn = 256 + this.#pick(64); pfn < 16384; pfn += 64) this.rig.vmm.migrator.vacate(pfn);
    } else {
      this.#during([side, other], () => {
        if (side.rights.includes(undefined)) this.#map(side);
        this.#share(side, other);
      });
    }
  }

  /** Whoever touches pages of these sides meanwhile may see the state before or after. */
  #during(sides: readonly Side[], operation: () => unknown): void {
    for (const side of sides) side.underWay++;
    operation();
    for (const side of sides) {
      side.underWay--;
      side.done++;
    }
  }

  /** The whole object, readable and writable. */
  #map(side: Side): void {
    const request = { address: this.#at, bytes: TRANSFER_UNIT, placement: "fixed", object: this.#object } as const;
    if (side.space.map({ ...request, shared: true }) === this.#at) side.rights.fill(READ + WRITE);
  }

  #share(from: Side, into: Side): void {
    if (into.space.unmap(this.#at, TRANSFER_UNIT) !== "ok") return;
    into.rights.fill(undefined);
    if (from.space.share(this.#at, TRANSFER_UNIT, into.space, this.#at) !== this.#at) return;
    this.shares++;
    for (let page = 0; page < PAGES; page++) into.rights[page] = from.rights[page];
  }
}
