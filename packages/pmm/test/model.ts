import { expect } from "vitest";

import {
  Balloon,
  ISA_DMA,
  NO_FRAME,
  ORDER_1G,
  ORDER_2M,
  PluggableRegion,
  Pmm,
  PmmError,
  Quarantine,
} from "../src/index.ts";
import type { EvacuationPlan, Pfn } from "../src/index.ts";
import { randomOf, range } from "./ranges.ts";

/** The region that is plugged and unplugged block by block, and the range that goes off- and online. */
const REGION = { start: 2 * 262144, blocks: 4, blockFrames: 512, node: 0 };
const GIB = 3 * 262144;

/** Where every frame is, kept in plain sets beside the allocator. */
export class Model {
  readonly pmm: Pmm;
  readonly random: () => number;
  readonly taken: Map<Pfn, number> = new Map<Pfn, number>();
  readonly grants: Map<Pfn, number> = new Map<Pfn, number>();
  readonly present: Set<Pfn> = new Set<Pfn>();
  readonly retired: Set<Pfn> = new Set<Pfn>();
  readonly dying: Set<Pfn> = new Set<Pfn>();
  readonly wired: Set<Pfn> = new Set<Pfn>();
  readonly done: Map<string, number> = new Map<string, number>();
  readonly balloons: readonly Balloon[];
  readonly quarantine: Quarantine;
  readonly region: PluggableRegion;
  readonly other: Pmm;
  now = 0;

  constructor(seed: number, colours: number, hasGroup: boolean) {
    this.random = randomOf(seed);
    const ranges = [
      range(0, 159),
      range(256, 6144, { faulty: [300, 4500] }),
      range(6200, 9000, { node: 1, rank: 1 }),
      range(262144, 262144 + 2048, { rank: 2, hotPluggable: true }),
      ...(hasGroup ? [range(GIB, GIB + 262144, { rank: 2 })] : []),
    ];
    const tables = { owners: true, counts: true };
    this.pmm = new Pmm({ ranges, spareFrames: 262144, colours, workers: 3, tables });
    this.other = new Pmm({ share: this.pmm.share, worker: 1 });
    for (const { start, end } of ranges) for (let pfn = start; pfn < end; pfn += 1) this.present.add(pfn);
    for (const { faulty } of ranges) for (const pfn of faulty) this.retired.add(pfn);
    this.balloons = [0, ORDER_2M].map((order) => {
      const onDeflate = (pfn: Pfn): void => this.given(pfn, 2 ** order);
      return new Balloon(this.pmm, { order, onDeflate });
    });
    this.quarantine = new Quarantine(this.pmm, { now: () => this.now }, { limit: 2, leakPerHour: 1 });
    this.region = new PluggableRegion(this.pmm, REGION);
  }

  pick(n: number): number {
    return Math.floor(this.random() * n);
  }

  /** Every frame of [pfn, pfn + frames) is there, not retired and nobody's, and becomes somebody's. */
  claim(pfn: Pfn, frames: number): void {
    let sound = true;
    for (let at = pfn; at < pfn + frames; at += 1) sound &&= this.present.has(at) && !this.retired.has(at);
    for (const [start, length] of this.taken) sound &&= start + length <= pfn || start >= pfn + frames;
    for (const [start, length] of this.grants) sound &&= start + length <= pfn || start >= pfn + frames;
    expect(sound).toBe(true);
  }

  /** Frames of an order's page. */
  orderOf(frames: number): number {
    return frames === 1 ? 0 : frames === 512 ? ORDER_2M : ORDER_1G;
  }

  /** One of two workers: frames are given by others than took them. */
  anyPmm(): Pmm {
    return this.pick(4) === 0 ? this.other : this.pmm;
  }

  take(): void {
    const roll = this.pick(60);
    const order = roll === 0 ? ORDER_1G : roll < 8 ? ORDER_2M : 0;
    const node = this.pick(3) - 1;
    const colour = order === 0 ? this.pick(7) - 2 : -1;
    const { colours } = this.pmm.share.layout.geometry;
    const hints = { order, node, colour: colours > 1 ? Math.min(colour, 3) : -1, movable: this.pick(2) };
    const strict = node >= 0 && this.pick(3) === 0;
    const pfn = this.anyPmm().take({ ...hints, strict, cold: this.pick(4) === 0, borrow: this.pick(20) === 0 });
    if (pfn === NO_FRAME) return;
    this.claim(pfn, 2 ** order);
    if (hints.colour >= 0) expect(pfn & 3).toBe(hints.colour);
    if (strict) expect(this.pmm.factsOf(pfn).node).toBe(node);
    this.taken.set(pfn, 2 ** order);
  }

  takeMany(): void {
    const frames = new Float64Array(this.pick(400));
    const count = this.anyPmm().takeMany(frames, frames.length, { order: 0, node: -1, colour: -1, movable: 1 });
    for (const pfn of frames.subarray(0, count)) {
      this.claim(pfn, 1);
      this.taken.set(pfn, 1);
    }
  }

  giveMany(): void {
    const frames: Pfn[] = [];
    for (const [pfn, size] of this.taken) {
      if (size === 1 && !this.wired.has(pfn) && this.random() < 0.3) frames.push(pfn);
    }
    const twice = Float64Array.of(...frames, frames[0] ?? NO_FRAME);
    expect(() => this.pmm.giveMany(twice, twice.length)).toThrow(PmmError);
    this.anyPmm().giveMany(Float64Array.from(frames), frames.length);
    for (const pfn of frames) this.given(pfn, 1);
  }

  give(): void {
    const entries = [...this.taken];
    const entry = entries[this.pick(entries.length)];
    if (entry === undefined) return;
    const [pfn, frames] = entry;
    expect(() => this.pmm.give(pfn, frames === 1 ? ORDER_2M : 0)).toThrow(PmmError);
    if (this.wired.has(pfn)) {
      expect(() => this.pmm.give(pfn, this.orderOf(frames))).toThrow("wired");
      this.unwire(pfn);
    }
    this.anyPmm().give(pfn, this.orderOf(frames));
    this.given(pfn, frames);
    expect(() => this.pmm.give(pfn)).toThrow(PmmError);
  }

  /** A page went back: its frames are free, those that were to retire are retired. */
  given(pfn: Pfn, frames: number): void {
    this.taken.delete(pfn);
    for (let at = pfn; this.dying.size > 0 && at < pfn + frames; at += 1)
      if (this.dying.delete(at)) this.retired.add(at);
  }

  /** A page becomes frames that are given one by one. */
  split(): void {
    const pages = [...this.taken].filter(([pfn, frames]) => frames === 512 && !this.wired.has(pfn));
    const [pfn] = pages[this.pick(pages.length)] ?? [];
    if (pfn === undefined) return;
    this.pmm.split(pfn, ORDER_2M);
    this.taken.delete(pfn);
    for (let at = pfn; at < pfn + 512; at += 1) this.taken.set(at, 1);
  }

  wire(): void {
    const entries = [...this.taken.keys()];
    const pfn = entries[this.pick(entries.length)];
    if (pfn === undefined) return;
    expect(this.anyPmm().wire(pfn)).toBe(!this.wired.has(pfn));
    this.wired.add(pfn);
    expect(this.pmm.factsOf(pfn).isWired).toBe(true);
    if (this.wired.size > 20) for (const each of this.wired) this.unwire(each);
  }

  unwire(pfn: Pfn): void {
    expect(this.pmm.unwire(pfn)).toBe(true);
    this.wired.delete(pfn);
  }

  /** A frame reports a corrected error; the second within an hour quarantines it. */
  corrected(): void {
    this.now += 600_000;
    const pfns = [...this.present];
    const pfn = pfns[this.pick(40) * Math.floor(pfns.length / 40)];
    if (pfn === undefined || this.retired.has(pfn)) return;
    const outcome = this.quarantine.corrected(pfn);
    if (outcome?.retired === true) this.retired.add(pfn);
    else if (outcome?.reason === "in-use") this.dying.add(pfn);
  }

  /** Moves by giving: what the region wants empty comes free, if this round is lucky. */
  resizeRegion(): void {
    const before = this.region.pluggedFrames / 512;
    const after =
      this.region.resize(this.pick(5) * 512, (moves) => {
        for (const pfn of moves) {
          const frames = this.taken.get(pfn);
          if (frames === undefined || this.wired.has(pfn) || this.pick(40) === 0) continue;
          this.pmm.give(pfn, this.orderOf(frames));
          this.given(pfn, frames);
        }
      }) / 512;
    expect(after).toBeLessThanOrEqual(Math.max(before, 4));
    for (let block = 0; block < 4; block += 1) {
      const start = REGION.start + block * 512;
      const isThere = this.pmm.useOf(start) !== "hole" || this.pmm.useOf(start + 1) !== "hole";
      for (let pfn = start; pfn < start + 512; pfn += 1) {
        if (isThere) this.present.add(pfn);
        else if (this.present.delete(pfn)) this.retired.delete(pfn);
      }
    }
  }

  /** Empties a rank as far as frames can move. */
  emptyRank(): void {
    const ranks = this.pmm.ranks();
    const answer = this.pmm.emptyRank(ranks[this.pick(ranks.length)]?.rank ?? 0);
    if (!answer.ok) {
      expect(answer.fixed.length).toBeGreaterThan(0);
      return;
    }
    this.evacuate(answer.plan, false);
  }

  request(): void {
    const wishes = [
      { frames: 1 + this.pick(16), ...ISA_DMA },
      { frames: 1 + this.pick(100), alignment: 4 },
      { frames: 1 + this.pick(1500), below: 8192, above: 4096 },
    ];
    const wish = wishes[this.pick(wishes.length)] ?? { frames: 1 };
    const answer = this.pmm.request(wish);
    if (answer.ok) {
      this.claim(answer.start, answer.frames);
      this.grants.set(answer.start, answer.frames);
      return;
    }
    if (answer.plan !== undefined && this.pick(4) === 0) this.evacuate(answer.plan, true);
  }

  release(): void {
    const entries = [...this.grants];
    const entry = entries[this.pick(entries.length)];
    if (entry === undefined) return;
    this.pmm.release(entry[0], entry[1]);
    this.grants.delete(entry[0]);
    for (let at = entry[0]; at < entry[0] + entry[1]; at += 1) if (this.dying.delete(at)) this.retired.add(at);
  }

  retire(): void {
    const pfns = [...this.present];
    const pfn = pfns[this.pick(pfns.length)];
    if (pfn === undefined || this.retired.has(pfn)) return;
    const outcome = this.pmm.retire(pfn);
    if (outcome.retired) this.retired.add(pfn);
    else if (outcome.reason === "in-use") this.dying.add(pfn);
  }

  /** Moves what a plan names and commits it, or cancels it half-way. */
  evacuate(plan: EvacuationPlan, isGrant: boolean): void {
    const moves = plan.begin();
    for (const pfn of moves) {
      const frames = this.taken.get(pfn);
      if (frames === undefined || this.dying.size > 0 || this.wired.has(pfn) || this.pick(10) === 0) continue;
      this.pmm.give(pfn, this.orderOf(frames));
      this.given(pfn, frames);
    }
    if (plan.commit()) {
      if (isGrant) this.grants.set(plan.start, plan.frames);
    } else {
      plan.cancel();
    }
  }

  hotPlug(): void {
    const start = 262144 + this.pick(4) * 512;
    if (this.present.has(start)) {
      const answer = this.pmm.offline({ start, end: start + 512 });
      if (!answer.ok) {
        expect(answer.fixed.length).toBeGreaterThan(0);
        return;
      }
      const { plan } = answer;
      for (const pfn of plan.begin()) {
        const frames = this.taken.get(pfn);
        if (frames === undefined || this.wired.has(pfn) || this.pick(20) === 0) continue;
        this.pmm.give(pfn, this.orderOf(frames));
        this.given(pfn, frames);
      }
      if (!plan.commit()) {
        plan.cancel();
        return;
      }
      for (let pfn = start; pfn < start + 512; pfn += 1) {
        this.present.delete(pfn);
        this.retired.delete(pfn);
      }
    } else {
      this.pmm.addRange(range(start, start + 512, { rank: 2 }));
      for (let pfn = start; pfn < start + 512; pfn += 1) this.present.add(pfn);
    }
  }

  /** One operation at random; how often each was done is counted. */
  step(): void {
    const actions: Record<string, [number, () => void]> = {
      take: [12, () => this.take()],
      give: [10, () => this.give()],
      takeMany: [1, () => this.takeMany()],
      giveMany: [2, () => this.giveMany()],
      split: [1, () => this.split()],
      wire: [2, () => this.wire()],
      request: [3, () => this.request()],
      release: [2, () => this.release()],
      retire: [1, () => this.retire()],
      corrected: [1, () => this.corrected()],
      hotPlug: [1, () => this.hotPlug()],
      region: [1, () => this.resizeRegion()],
      emptyRank: [1, () => this.emptyRank()],
      balloon: [1, () => this.balloons[this.pick(2)]?.resize(this.pick(2000))],
      drain: [1, () => this.anyPmm().drain()],
    };
    let left = this.pick(Object.values(actions).reduce((sum, [weight]) => sum + weight, 0));
    for (const [name, [weight, action]] of Object.entries(actions)) {
      left -= weight;
      if (left >= 0) continue;
      this.done.set(name, (this.done.get(name) ?? 0) + 1);
      action();
      return;
    }
  }

  /** Gives everything back, then takes everything there is. */
  finish(): void {
    for (const balloon of this.balloons) balloon.resize(0);
    for (const balloon of this.balloons) balloon.check();
    this.quarantine.check();
    for (const pfn of this.wired) this.unwire(pfn);
    for (const [pfn, frames] of this.taken) {
      this.anyPmm().give(pfn, this.orderOf(frames));
      this.given(pfn, frames);
    }
    this.other.drain();
    while (this.grants.size > 0) this.release();
    this.pmm.check();
    expect(this.pmm.retiredFrames()).toEqual([...this.retired].sort((a, b) => a - b));
    const seen = new Set<Pfn>();
    let twice = false;
    for (;;) {
      const pfn = this.pmm.take({ order: 0, node: -1, colour: -1, movable: 1, borrow: true });
      if (pfn === NO_FRAME) break;
      twice ||= seen.has(pfn);
      seen.add(pfn);
    }
    const wanted = [...this.present].filter((pfn) => !this.retired.has(pfn));
    const missing = wanted.filter((pfn) => !seen.has(pfn)).map((pfn) => `${pfn} ${this.pmm.useOf(pfn)}`);
    expect(twice).toBe(false);
    expect(missing).toEqual([]);
    expect(seen.size).toBe(wanted.length);
    this.pmm.check();
  }
}

/** One story: random operations, then everything comes back and is taken once. */
export function story(seed: number, colours: number, hasGroup: boolean, turns: number): void {
  const model = new Model(seed, colours, hasGroup);
  for (let turn = 0; turn < turns; turn += 1) {
    model.step();
    if (turn % 100 === 0) model.pmm.check();
  }
  model.finish();
  expect(model.done.size).toBe(15);
}
