import { expect, test } from "vitest";

import { Balloon, ISA_DMA, NO_FRAME, ORDER_2M, Pmm, PmmError } from "../src/index.ts";
import type { EvacuationPlan, Pfn } from "../src/index.ts";
import { randomOf, range } from "./ranges.ts";

/** Where every frame is, kept in plain sets beside the allocator. */
class Model {
  readonly pmm: Pmm;
  readonly random: () => number;
  readonly taken = new Map<Pfn, number>();
  readonly grants = new Map<Pfn, number>();
  readonly present = new Set<Pfn>();
  readonly retired = new Set<Pfn>();
  readonly dying = new Set<Pfn>();
  readonly balloon: Balloon;
  plans: EvacuationPlan[] = [];

  constructor(seed: number, colours: number) {
    this.random = randomOf(seed);
    const ranges = [
      range(0, 159),
      range(256, 6144, { faulty: [300, 4500] }),
      range(6200, 9000, { node: 1, rank: 1 }),
      range(262144, 262144 + 2048, { rank: 2, hotPluggable: true }),
    ];
    this.pmm = new Pmm({ ranges, spareFrames: 262144, colours, workers: 2 });
    for (const { start, end } of ranges) for (let pfn = start; pfn < end; pfn += 1) this.present.add(pfn);
    for (const { faulty } of ranges) for (const pfn of faulty) this.retired.add(pfn);
    this.balloon = new Balloon(this.pmm, { order: 0 });
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

  take(): void {
    const order = this.pick(8) === 0 ? ORDER_2M : 0;
    const node = this.pick(3) - 1;
    const colour = order === 0 && this.pick(2) === 0 ? this.pick(4) : -1;
    const hasColours = this.pmm.share.layout.geometry.colours > 1;
    const hints = { order, node, colour: hasColours ? colour : -1, movable: this.pick(2) };
    const pfn = this.pmm.take({ ...hints, cold: this.pick(4) === 0, borrow: this.pick(20) === 0 });
    if (pfn === NO_FRAME) return;
    this.claim(pfn, 2 ** order);
    if (hasColours && colour >= 0) expect(pfn & 3).toBe(colour);
    this.taken.set(pfn, 2 ** order);
  }

  give(): void {
    const entries = [...this.taken];
    const entry = entries[this.pick(entries.length)];
    if (entry === undefined) return;
    const [pfn, frames] = entry;
    expect(() => this.pmm.give(pfn, frames === 1 ? ORDER_2M : 0)).toThrow(PmmError);
    this.pmm.give(pfn, frames === 1 ? 0 : ORDER_2M);
    this.taken.delete(pfn);
    for (let at = pfn; at < pfn + frames; at += 1) if (this.dying.delete(at)) this.retired.add(at);
    expect(() => this.pmm.give(pfn)).toThrow(PmmError);
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
    else this.dying.add(pfn);
  }

  /** Moves what a plan names and commits it, or cancels it half-way. */
  evacuate(plan: EvacuationPlan, isGrant: boolean): void {
    const moves = plan.begin();
    for (const pfn of moves) {
      const frames = this.taken.get(pfn);
      if (frames === undefined || this.dying.size > 0 || this.pick(10) === 0) continue;
      this.pmm.give(pfn, frames === 1 ? 0 : ORDER_2M);
      this.taken.delete(pfn);
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
        if (frames === undefined || this.pick(20) === 0) continue;
        this.pmm.give(pfn, frames === 1 ? 0 : ORDER_2M);
        this.taken.delete(pfn);
        for (let at = pfn; at < pfn + frames; at += 1) if (this.dying.delete(at)) this.retired.add(at);
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

  step(): void {
    const actions = [
      ...Array.from({ length: 12 }, () => () => this.take()),
      ...Array.from({ length: 10 }, () => () => this.give()),
      () => this.request(),
      () => this.request(),
      () => this.release(),
      () => this.release(),
      () => (this.pick(10) === 0 ? this.retire() : undefined),
      () => this.hotPlug(),
      () => this.balloon.resize(this.pick(300)),
      () => this.pmm.drain(),
    ];
    actions[this.pick(actions.length)]?.();
  }

  /** Gives everything back, then takes everything there is. */
  finish(): void {
    this.balloon.resize(0);
    while (this.taken.size > 0) this.give();
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

for (const [seed, colours] of [
  [1, 1],
  [2, 1],
  [3, 4],
  [4, 4],
] as const) {
  test(`any sequence of operations keeps every frame in one place (seed ${seed}, ${colours} colours)`, () => {
    const model = new Model(seed, colours);
    for (let turn = 0; turn < 500; turn += 1) {
      model.step();
      if (turn % 100 === 0) model.pmm.check();
    }
    model.finish();
  });
}
