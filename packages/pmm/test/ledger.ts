import { expect } from "vitest";

import { colourOf, NO_FRAME, ORDER_1G, ORDER_2M, Pmm } from "../src/index.ts";
import type { HeldCount, FrameCount, OrderName, Pfn, Traffic, TrafficRow } from "../src/index.ts";
import { randomOf, range } from "./ranges.ts";

const GIB = 262_144;
const RANGES = [range(0, 159), range(256, 6144), range(8192, 12_288, { node: 1 }), range(GIB, 2 * GIB, { node: 1 })];
const CLIENTS = ["net", "disk", "gpu"];

/** What is taken: its frames, how it was asked for, whose it is. */
interface Holding {
  readonly frames: number;
  readonly order: OrderName;
  owner: string;
  isWired: boolean;
}

/** What the statistics should say: every take and give written down frame by frame, beside two workers that do them. */
export class Ledger {
  readonly pmm: Pmm;
  readonly #workers: readonly Pmm[];
  readonly #colours: number;
  readonly #random: () => number;
  readonly #held = new Map<Pfn, Holding>();
  readonly #retired = new Map<Pfn, string>();
  readonly #dying = new Set<Pfn>();
  /** By "kind name", frames taken and given. */
  readonly #sums = new Map<string, [taken: number, given: number]>();

  constructor(seed: number, colours: number) {
    this.#random = randomOf(seed);
    this.#colours = colours;
    const options = { ranges: RANGES, colours, workers: 2, tables: { owners: true }, clients: CLIENTS };
    this.pmm = new Pmm(options);
    this.#workers = [this.pmm, new Pmm({ share: this.pmm.share, worker: 1 })];
  }

  #pick(n: number): number {
    return Math.floor(this.#random() * n);
  }

  #worker(): Pmm {
    return this.#workers[this.#pick(2)] ?? this.pmm;
  }

  #note(pfn: Pfn, frames: number, order: OrderName, owner: string, column: 0 | 1): void {
    for (let at = pfn; at < pfn + frames; at += 1) {
      const names = [
        `zones ${zoneOf(at)}`,
        `nodes ${nodeOf(at)}`,
        `orders ${order}`,
        `colours ${colourOf(at, this.#colours)}`,
      ];
      if (owner !== "") names.push(`clients ${owner}`);
      for (const name of names) {
        const sum = this.#sums.get(name) ?? [0, 0];
        sum[column] += 1;
        this.#sums.set(name, sum);
      }
    }
  }

  #taken(pfn: Pfn, frames: number, order: OrderName, owner: string): void {
    if (pfn === NO_FRAME) return;
    this.#held.set(pfn, { frames, order, owner, isWired: false });
    this.#note(pfn, frames, order, owner, 0);
  }

  #given(pfn: Pfn, { frames, order, owner }: Holding): void {
    this.#held.delete(pfn);
    this.#note(pfn, frames, order, owner, 1);
    for (let at = pfn; at < pfn + frames; at += 1) if (this.#dying.delete(at)) this.#retired.set(at, owner);
  }

  #any(): [Pfn, Holding] | undefined {
    return [...this.#held][this.#pick(this.#held.size)];
  }

  take(order: number = this.#pick(20) === 0 ? ORDER_2M : 0): void {
    const owner = ["", ...CLIENTS][this.#pick(4)] ?? "";
    const colour = order === 0 && this.#colours > 1 ? this.#pick(this.#colours + 2) - 2 : -1;
    const hints = {
      order,
      node: order === ORDER_1G ? 1 : this.#pick(3) - 1,
      colour,
      movable: this.#pick(2),
      strict: true,
      borrow: true,
    };
    const client = owner === "" ? 0 : this.pmm.client(owner);
    const pfn = this.#worker().take({ ...hints, cold: this.#pick(9) === 0, owner: client });
    this.#taken(pfn, 2 ** order, nameOf(order), owner);
  }

  takeMany(): void {
    const frames = new Float64Array(this.#pick(1500));
    const owner = this.pmm.client("disk");
    const hints = { order: 0, node: this.#pick(2), colour: -1, movable: 1, strict: true, borrow: true, owner };
    const count = this.#worker().takeMany(frames, frames.length, hints);
    for (const pfn of frames.subarray(0, count)) this.#taken(pfn, 1, "4K", "disk");
  }

  give(): void {
    const [pfn, holding] = this.#any() ?? [];
    if (pfn !== undefined && holding?.isWired === false) this.#give(pfn, holding);
  }

  #give(pfn: Pfn, holding: Holding): void {
    if (holding.order === "run") this.pmm.release(pfn, holding.frames);
    else this.#worker().give(pfn, Math.log2(holding.frames));
    this.#given(pfn, holding);
  }

  giveMany(): void {
    const some = [...this.#held].filter(([, { order, isWired }]) => order === "4K" && !isWired && this.#pick(3) > 0);
    this.#worker().giveMany(
      Float64Array.from(some, ([pfn]) => pfn),
      some.length,
    );
    for (const [pfn, holding] of some) this.#given(pfn, holding);
  }

  request(): void {
    const answer = this.pmm.request({ frames: 1 + this.#pick(40), ...(this.#pick(2) === 0 ? { below: 4096 } : {}) });
    if (answer.ok) this.#taken(answer.start, answer.frames, "run", "");
  }

  /** A page becomes frames of its client: neither taken nor given. */
  split(): void {
    const [pfn, holding] = [...this.#held].find(([, { order, isWired }]) => order === "2M" && !isWired) ?? [];
    if (pfn === undefined || holding === undefined) return;
    this.pmm.split(pfn, ORDER_2M);
    for (let at = pfn; at < pfn + 512; at += 1) this.#held.set(at, { ...holding, frames: 1, order: "4K" });
  }

  retire(): void {
    const [pfn, holding] = this.#any() ?? [];
    if (pfn === undefined || holding?.order !== "4K") return;
    expect(this.pmm.retire(pfn).retired).toBe(false);
    this.#dying.add(pfn);
  }

  wire(): void {
    const [pfn, holding] = this.#any() ?? [];
    if (pfn === undefined || holding === undefined || holding.order === "run") return;
    holding.isWired = !holding.isWired;
    expect(holding.isWired ? this.pmm.wire(pfn) : this.pmm.unwire(pfn)).toBe(true);
  }

  handOver(): void {
    const [pfn, holding] = this.#any() ?? [];
    if (pfn === undefined || holding === undefined || holding.order === "run") return;
    holding.owner = "gpu";
    this.pmm.setOwner(pfn, this.pmm.client("gpu"));
  }

  /** Gives everything back, then takes everything there is; returns whether that is all but what retired. */
  finish(): boolean {
    for (const [pfn, holding] of this.#held) {
      if (holding.isWired) this.pmm.unwire(pfn);
      this.#give(pfn, holding);
    }
    expect(this.pmm.traffic()).toEqual(this.traffic());
    for (const worker of this.#workers) worker.drain();
    this.pmm.check();
    let left = RANGES.reduce((sum, { start, end }) => sum + end - start, -this.#retired.size);
    const hints = { order: 0, node: -1, colour: -1, movable: 1, borrow: true };
    while (this.pmm.take(hints) !== NO_FRAME) left -= 1;
    return left === 0;
  }

  /** One operation at random. */
  step(): void {
    const rare = [
      () => this.takeMany(),
      () => this.giveMany(),
      () => this.request(),
      () => this.request(),
      () => this.split(),
      () => this.retire(),
      () => this.wire(),
      () => this.handOver(),
      () => this.#worker().drain(),
    ];
    const roll = this.#pick(60);
    if (roll < rare.length) rare[roll]?.();
    else if (roll < 38) this.take();
    else this.give();
  }

  /** What `traffic` should say. */
  traffic(): Traffic {
    const row = (kind: string, name: string): TrafficRow => {
      const [takenFrames, givenFrames] = this.#sums.get(`${kind} ${name}`) ?? [0, 0];
      return { name, takenFrames, givenFrames };
    };
    return {
      zones: ["normal/0", "normal/1", "low/0"].map((name) => row("zones", name)),
      nodes: ["0", "1"].map((name) => row("nodes", name)),
      orders: ["4K", "2M", "1G", "run"].map((name) => row("orders", name)),
      colours: Array.from({ length: this.#colours }, (_, colour) => row("colours", String(colour))),
      clients: CLIENTS.map((name) => row("clients", name)),
    };
  }

  /** What `census` should say once nothing is on page stacks; whole blocks are free as 2M, be their group whole or not. */
  count(): Record<string, FrameCount | HeldCount> {
    for (const worker of this.#workers) worker.drain();
    const rows: Record<string, FrameCount> = {};
    const add = (kind: string, name: string | number, state: keyof FrameCount): void => {
      const found = (rows[`${kind} ${name}`] ??= { free: 0, used: 0, wired: 0, retired: 0 });
      found[state] += 1;
    };
    const note = (pfn: Pfn, order: OrderName, owner: string, state: keyof FrameCount): void => {
      add("zones", zoneOf(pfn), state);
      add("nodes", nodeOf(pfn), state);
      add("orders", order, state);
      add("colours", colourOf(pfn, this.#colours), state);
      if (owner !== "") add("clients", owner, state);
    };
    const busy = new Set<Pfn>();
    for (const [pfn, { frames, order, owner, isWired }] of this.#held) {
      for (let at = pfn; at < pfn + frames; at += 1) {
        busy.add(at);
        note(at, order, owner, "used");
        if (isWired) note(at, order, owner, "wired");
      }
    }
    for (const [pfn, owner] of this.#retired) {
      busy.add(pfn);
      note(pfn, "4K", owner, "retired");
    }
    for (const { start, end } of RANGES) {
      for (let block = Math.floor(start / 512) * 512; block < end; block += 512) {
        const from = Math.max(start, block);
        const to = Math.min(end, block + 512);
        const free = Array.from({ length: to - from }, (_, i) => from + i).filter((pfn) => !busy.has(pfn));
        for (const pfn of free) note(pfn, free.length === 512 ? "2M" : "4K", "", "free");
      }
    }
    return rows;
  }
}

function nameOf(order: number): OrderName {
  return order === 0 ? "4K" : order === ORDER_2M ? "2M" : "1G";
}

function nodeOf(pfn: Pfn): number {
  return pfn < 8192 ? 0 : 1;
}

function zoneOf(pfn: Pfn): string {
  return pfn < 4096 ? "low/0" : `normal/${nodeOf(pfn)}`;
}
