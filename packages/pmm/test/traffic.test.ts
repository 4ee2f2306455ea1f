import { expect, test } from "vitest";

import { ORDER_1G, Pmm, Rates } from "../src/index.ts";
import type { FrameCount, HeldCount } from "../src/index.ts";
import { Ledger } from "./ledger.ts";
import { range } from "./ranges.ts";

/** The census' rows under the ledger's names; frames of whole groups under 2M as the ledger has them. */
function rowsOf(pmm: Pmm): Record<string, FrameCount | HeldCount> {
  const { zones, nodes, orders, colours, clients } = pmm.census();
  const rows: Record<string, FrameCount | HeldCount> = {};
  const free1G = orders["1G"].free;
  const whole = { "2M": { ...orders["2M"], free: orders["2M"].free + free1G }, "1G": { ...orders["1G"], free: 0 } };
  for (const [kind, table] of Object.entries({ zones, nodes, orders: { ...orders, ...whole }, colours })) {
    for (const [name, row] of Object.entries(table)) if (isUsed(row)) rows[`${kind} ${name}`] = row;
  }
  for (const [name, row] of Object.entries(clients)) rows[`clients ${name}`] = { free: 0, ...row };
  return rows;
}

function isUsed({ free, used, retired }: FrameCount): boolean {
  return free + used + retired > 0;
}

for (const colours of [1, 4]) {
  test(`traffic and states equal a naive recount by zone, node, order, colour (of ${colours}) and client`, () => {
    const ledger = new Ledger(0x7a_f1 + colours, colours);
    const { pmm } = ledger;
    ledger.take(ORDER_1G);
    for (let turn = 0; turn < 800; turn += 1) {
      ledger.step();
      if (turn % 20 === 0) expect(pmm.traffic()).toEqual(ledger.traffic());
      if (turn % 400 < 399) continue;
      const counted = ledger.count();
      expect(rowsOf(pmm)).toEqual(counted);
    }
    expect(ledger.finish()).toBe(true);
    for (const { givenFrames } of ledger.traffic().orders) expect(givenFrames).toBeGreaterThan(0);
    pmm.check();
  });
}

test("the stats of a node are the sums of its zones", () => {
  const pmm = new Pmm({ ranges: [range(0, 159), range(4096, 6144), range(8192, 12_288, { node: 1, faulty: [8200] })] });
  pmm.take();
  pmm.request({ frames: 16, below: 4096 });
  const [first, second] = pmm.stats().nodes;
  expect(first).toMatchObject({ node: 0, frames: 159 + 2048, usedFrames: 17, takenFrames: 17, givenFrames: 0 });
  expect(first?.freeFrames).toBe(159 + 2048 - 17);
  expect(second).toMatchObject({ node: 1, frames: 4096, usedFrames: 0, retiredFrames: 1, takenFrames: 0 });
});

test("fragmentation is that of everything, of a zone, or of a node", () => {
  const pmm = new Pmm({ ranges: [range(0, 159), range(4096, 6144), range(8192, 12_288, { node: 1 })] });
  expect(pmm.orders(1).fragmentation).toBe(0);
  expect(pmm.orders("normal/0").fragmentation).toBe(0);
  expect(pmm.orders("low/0").fragmentation).toBe(1);
  expect(pmm.orders(0).fragmentation).toBe(159 / (159 + 2048));
  expect(pmm.orders().fragmentation).toBe(159 / (159 + 2048 + 4096));
});

test("rates are what happened between two reads, per second, for every kind", () => {
  let now = 0;
  const pmm = new Pmm({
    ranges: [range(4096, 8192)],
    shared: true,
    workers: 2,
    colours: 2,
    tables: { owners: true },
    clients: ["net"],
  });
  const other = new Pmm({ share: pmm.share, worker: 1 });
  const rates = new Rates(pmm, { now: () => now });
  const disk = other.client("disk");
  const frames = Array.from({ length: 6 }, () => pmm.take({ order: 0, node: -1, colour: 1, movable: 1, owner: disk }));
  const page = pmm.take({ order: 9, node: -1, colour: -1, movable: 1, owner: pmm.client("net") });
  for (const pfn of frames.slice(0, 2)) other.give(pfn);
  now = 2000;
  const row = (name: string, takenPerSecond: number, givenPerSecond: number): object => ({
    name,
    takenPerSecond,
    givenPerSecond,
  });
  expect(rates.read()).toEqual({
    zones: [row("normal", 259, 1)],
    nodes: [row("0", 259, 1)],
    orders: [row("4K", 3, 1), row("2M", 256, 0), row("1G", 0, 0), row("run", 0, 0)],
    colours: [row("0", 128, 0), row("1", 131, 1)],
    clients: [row("net", 256, 0), row(`client ${disk}`, 3, 1)],
  });
  pmm.give(page, 9);
  expect(rates.read().orders[1]).toEqual(row("2M", 0, 0));
  now = 3000;
  expect(pmm.recover(1)).toBeGreaterThan(0);
  expect(rates.read().orders).toEqual([row("4K", 0, 0), row("2M", 0, 512), row("1G", 0, 0), row("run", 0, 0)]);
  pmm.check();
});
