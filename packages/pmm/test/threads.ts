import { once } from "node:events";

import { spawnTs } from "@pagewright/tooling/worker";
import { expect } from "vitest";

import { NO_FRAME, Pmm } from "../src/index.ts";
import { randomOf, range } from "./ranges.ts";

/** Real threads for `rounds` rounds, some of which die at a random moment; then every frame is accounted for. */
export async function stress(seed: number, rounds: number, roundMs: number): Promise<void> {
  const random = randomOf(seed);
  const pmm = new Pmm({ ranges: [range(0, 159), range(256, 4096 + 8 * 512 + 77)], shared: true, workers: 4 });
  const mailboxes = new Int32Array(new SharedArrayBuffer(4 * 700));
  const total = pmm.stats().totalFrames;
  for (let round = 0; round < rounds; round += 1) {
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const threads = [1, 2, 3].map((worker) =>
      spawnTs(new URL("./stress.worker.ts", import.meta.url), {
        share: pmm.share,
        worker,
        seed: seed * 1000 + round * 10 + worker,
        mailboxes,
        stop,
      }),
    );
    await Promise.all(threads.map((thread) => once(thread, "message")));
    const victim = Math.floor(random() * 3);
    await new Promise((resolve) => setTimeout(resolve, roundMs * (0.5 + random())));
    await threads[victim]?.terminate();
    pmm.recover(victim + 1);
    await new Promise((resolve) => setTimeout(resolve, roundMs));
    Atomics.store(stop, 0, 1);
    await Promise.all(threads.filter((_, index) => index !== victim).map((thread) => once(thread, "exit")));
    pmm.check();
  }
  giveBackAll(pmm);
  expect(pmm.stats().freeFrames).toBe(total);
  pmm.check();
  let taken = 0;
  while (pmm.take({ order: 0, node: -1, colour: -1, movable: 1, borrow: true }) !== NO_FRAME) taken += 1;
  expect(taken).toBe(total);
}

/** Gives back what is in mailboxes, and what dead workers had taken for themselves. */
function giveBackAll(pmm: Pmm): void {
  for (let pfn = 0; pfn < 4096 + 9 * 512; pfn += 1) {
    const use = pmm.useOf(pfn);
    if (use === "taken") pmm.give(pfn);
    else if (use === "taken-2M") pmm.give(pfn, 9);
  }
}
