import { parentPort, workerData } from "node:worker_threads";

import { NO_FRAME, Pmm } from "../src/index.ts";
import type { PmmShare } from "../src/index.ts";
import { randomOf } from "./ranges.ts";

/** Takes and gives frames and blocks and hands them to other workers through mailboxes, until told to stop. */
interface Task {
  readonly share: PmmShare;
  readonly worker: number;
  readonly seed: number;
  readonly mailboxes: Int32Array;
  readonly stop: Int32Array;
}

const { share, worker, seed, mailboxes, stop } = workerData as Task;
const pmm = new Pmm({ share, worker });
const random = randomOf(seed);
parentPort?.postMessage("ready");

const large = { order: 9, node: -1, colour: -1, movable: 1 };
while (Atomics.load(stop, 0) === 0) {
  const box = Math.floor(random() * mailboxes.length);
  const isLarge = random() < 0.02;
  const pfn = random() < 0.5 ? NO_FRAME : isLarge ? pmm.take(large) : pmm.take();
  const posted = pfn === NO_FRAME ? 0 : (pfn + 1) * 2 + Number(isLarge);
  const old = Atomics.exchange(mailboxes, box, posted);
  if (old !== 0) pmm.give(Math.floor(old / 2) - 1, old & 1 ? 9 : 0);
}
pmm.drain();
parentPort?.postMessage("done");
