import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { expect } from "vitest";
import { spawnTs } from "@pagewright/tooling/worker";
import { SharedHeap } from "@pagewright/heap";
import { seeded } from "../src/testing/case.ts";

/** All pages that can be had. */
function takePages(heap: SharedHeap): number[] {
  const pages: number[] = [];
  for (let page = heap.allocate(4096); page !== -1; page = heap.allocate(4096)) pages.push(page);
  return pages;
}

/** Ends three workers in the midst of allocating and of freeing each other's blocks, takes them over, frees everything that is live, and allocates every page. */
export async function endWorkersAtWork(seed: number): Promise<void> {
  const random = seeded(seed);
  const buffer = new SharedArrayBuffer(8 * 2 ** 20);
  const mail = new SharedArrayBuffer(3 * 1024 * 4);
  const heap = SharedHeap.create(buffer, { slots: 4 });
  const empty = takePages(heap);
  for (const page of empty) heap.free(page);
  const crew = [0, 1, 2].map((me) =>
    spawnTs(new URL("./shared-death.worker.ts", import.meta.url), { buffer, mail, me }),
  );
  const slots = await Promise.all(crew.map(async (worker) => (await once(worker, "message"))[0] as number));
  await setTimeout(5 + random() * 20);
  await Promise.all(crew.map(async (worker) => worker.terminate()));
  for (const slot of slots) heap.adopt(slot);
  heap.flush();
  heap.check();
  const live: number[] = [];
  heap.walk((address) => live.push(address));
  for (const address of live) heap.free(address);
  heap.flush();
  heap.check();
  expect(heap.stats().liveBlocks).toBe(0);
  expect(takePages(heap).length).toBe(empty.length);
}
