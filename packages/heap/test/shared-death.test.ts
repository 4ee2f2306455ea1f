import { expect, test } from "vitest";
import { SharedHeap } from "@pagewright/heap";
import { SharedLayout } from "../src/shared-layout.ts";
import { endWorkersAtWork } from "./shared-death.ts";

test("workers that are ended in the midst of their work leave a heap that is whole when they have been taken over", async () => {
  await endWorkersAtWork(1);
}, 60_000);

test("what a worker had in its hands when it ended is free again, whatever it was about to do with it", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer, { slots: 2 });
  const dead = SharedHeap.attach(buffer);
  const pages = (): number => {
    const all: number[] = [];
    for (let page = heap.allocate(4096); page !== -1; page = heap.allocate(4096)) all.push(page);
    for (const page of all) heap.free(page);
    return all.length;
  };
  const empty = pages();
  const first = dead.allocate(20_000);
  const kept = dead.allocate(20_000);
  dead.free(kept);
  // Its marks, as it would have left them: on a live run that nobody was told of, on one that it keeps, and on a free page.
  const { owners, base } = SharedLayout.open(buffer, 0);
  for (const address of [first, kept, base + 4096 * owners.indexOf(0)])
    owners[(address - base) / 4096] = -1 - dead.slot;
  heap.adopt(dead.slot);
  heap.check();
  expect(pages()).toBe(empty);
  expect(heap.stats().liveBlocks).toBe(0);
});
