/**
 * Two to four processors on one space: whenever one of them is at a yield point, a seed decides who else runs, and how far. Each processor has pages of its own
 * that nobody else stores to, so what it loads is known whatever the order; operations on ranges hit everybody's pages.
 */
import { expect } from "vitest";

import {
  MemorySwap,
  PAGE_2M,
  PAGE_SIZE,
  READ,
  SeededRandom,
  WRITE,
  type AddressSpace,
  type VmmOptions,
} from "@pagewright/vmm";

import { rigOf, spaceOf, type Rig } from "./rig.ts";

/** What the processors race over. */
export interface Course {
  /** Pages of the one region. */
  readonly pages: number;
  /** Pages of an operation at most. */
  readonly longest: number;
  /** Frames that hold pages at most. */
  readonly residentLimit: number;
  /** Whether 2M pages are used and made of small ones. */
  readonly large: boolean;
}

/** Pages of 4K. */
export const SHORT_COURSE: Course = { pages: 48, longest: 12, residentLimit: 30, large: false };
/** Three aligned units of 2 MiB. */
export const LARGE_COURSE: Course = { pages: 1536, longest: 300, residentLimit: 1400, large: true };

/** What a page may hold: one number, or anything after an operation on it overlapped with a store. */
type Known = number | "any";

/** Processors on one space, and what each page may hold. */
export class Race {
  readonly course: Course;
  readonly rig: Rig;
  readonly space: AddressSpace;
  readonly at: number;
  readonly random: SeededRandom;
  /** Content by page; the oracle. */
  readonly known: Known[];
  /** Rights by page, undefined: unmapped. */
  readonly rights: (number | undefined)[];
  /** Operations under way, by the pages that they concern. */
  readonly underWay: [number, number][] = [];
  readonly busy: Set<number> = new Set();
  readonly cpus: number;
  switches = 0;

  constructor(seed: number, cpus: number, course: Course = SHORT_COURSE) {
    this.course = course;
    const { pages, residentLimit, large } = course;
    this.known = new Array<Known>(pages).fill(0);
    this.rights = new Array<number | undefined>(pages).fill(READ + WRITE);
    this.random = new SeededRandom(seed);
    this.cpus = cpus;
    const options: Partial<VmmOptions> = {
      residentLimit,
      interleaving: { yieldPoint: () => this.others() },
      swap: [new MemorySwap(8192)],
      largePages: large ? "always" : "never",
      collapseMissing: 400,
    };
    this.rig = rigOf(options, 64, cpus);
    this.space = spaceOf(this.rig.vmm);
    this.at = Number(this.space.map({ bytes: pages * PAGE_SIZE, alignment: large ? PAGE_2M : PAGE_SIZE }));
    for (let cpu = 0; cpu < cpus; cpu++) {
      this.space.activate(cpu);
      this.rig.cpus[cpu]?.setCpl(3);
    }
  }

  pick(bound: number): number {
    return this.random.uint32() % bound;
  }

  /** At a yield point: somebody else may take a step. */
  others(): void {
    if (this.busy.size >= this.cpus || this.pick(2) !== 0) return;
    const cpu = this.pick(this.cpus);
    if (this.busy.has(cpu)) return;
    this.switches++;
    this.step(cpu);
  }

  /** One step of a processor. */
  step(cpu: number): void {
    const before = this.rig.current;
    this.rig.current = cpu;
    this.busy.add(cpu);
    if (this.pick(10) < 8) this.touch(cpu);
    else this.operate();
    this.busy.delete(cpu);
    this.rig.current = before;
  }

  touch(cpu: number): void {
    const processor = this.rig.cpus[cpu];
    if (processor === undefined) throw new Error("no processor");
    const page = this.pick(Math.floor(this.course.pages / this.cpus)) * this.cpus + cpu;
    const address = this.at + page * PAGE_SIZE + 16;
    const contested = (): boolean => this.underWay.some(([start, end]) => page >= start && page < end);
    const before = this.known[page];
    const wasContested = contested();
    if (this.pick(2) === 0) {
      const value = this.pick(1000000000) + 1;
      this.known[page] = "any"; // Until the store is over, others may see either.
      const done = processor.store32(address, value);
      if (wasContested || contested()) {
        this.contestedStores.add(page);
        return;
      }
      const may = this.rights[page] === READ + WRITE;
      if (this.changed(page)) return;
      expect(done).toBe(may);
      this.known[page] = done ? value : (before ?? 0);
    } else {
      const got = processor.load32(address);
      if (wasContested || contested() || this.changed(page)) return;
      if (this.rights[page] === undefined) expect(got).toBe(-1);
      else if (before !== "any") expect(got).toBe(before);
    }
  }

  /** Pages stored to while an operation on them was under way: the store came before or after it. */
  readonly contestedStores: Set<number> = new Set();

  /** Whether an operation on this page began and ended since the current step began. */
  readonly touched: Set<number> = new Set();
  changed(page: number): boolean {
    if (!this.touched.has(page)) return false;
    this.known[page] = "any";
    return true;
  }

  operate(): void {
    const { pages, longest, large } = this.course;
    if (large && this.pick(3) === 0) {
      if (this.pick(2) === 0) this.rig.vmm.reclaim(this.pick(longest));
      else this.rig.vmm.collapser.step(2000);
      return;
    }
    const start = this.pick(pages);
    const end = start + 1 + this.pick(Math.min(longest, pages - start));
    const address = this.at + start * PAGE_SIZE;
    const bytes = (end - start) * PAGE_SIZE;
    const range: [number, number] = [start, end];
    this.underWay.push(range);
    const each = (change: (page: number) => void): void => {
      for (let page = start; page < end; page++) change(page);
    };
    const dice = this.pick(7);
    const rights = this.pick(2) === 0 ? READ : READ + WRITE;
    if (dice === 0) {
      if (this.space.unmap(address, bytes) === "ok")
        each((page) => {
          this.rights[page] = undefined;
          this.known[page] = 0;
        });
    } else if (dice === 1) {
      const mapped = this.space.map({ bytes, address, placement: "fixed" });
      if (typeof mapped === "number")
        each((page) => {
          this.rights[page] = READ + WRITE;
          this.known[page] = 0;
        });
    } else if (dice === 2 || dice === 3) {
      if (this.space.protect(address, bytes, rights) === "ok") each((page) => (this.rights[page] = rights));
    } else if (dice === 4) {
      const clone = this.space.clone();
      if (clone !== null) clone.destroy();
    } else if (dice === 5) {
      if (this.space.advise(address, bytes, "dont-need") === "ok") each((page) => (this.known[page] = 0));
    } else {
      this.space.advise(address, bytes, "page-out");
    }
    this.underWay.splice(this.underWay.indexOf(range), 1);
    each((page) => {
      if (!this.contestedStores.has(page)) return;
      this.known[page] = "any";
      if (!this.underWay.some(([from, to]) => page >= from && page < to)) this.contestedStores.delete(page);
    });
    // A store that began before this operation and ends after it, or one within it, may have won or lost.
    if (this.busy.size > 1)
      each((page) => {
        this.touched.add(page);
        this.known[page] = "any";
      });
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.touched.clear();
      this.step(this.pick(this.cpus));
      if (step % 25 === 0) this.rig.vmm.check();
    }
    this.rig.vmm.check();
    this.rig.machine.check();
  }
}
