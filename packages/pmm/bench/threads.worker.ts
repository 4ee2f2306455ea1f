import { parentPort, workerData } from "node:worker_threads";

import { Pmm } from "../src/index.ts";
import type { PmmShare } from "../src/index.ts";

/** Takes and gives bursts until told to stop, from shared state or, without, from an allocator of its own; answers with the number of operations. */
interface Task {
  readonly share: PmmShare | null;
  readonly worker: number;
  readonly burst: number;
  readonly control: Int32Array;
}

const { share, worker, burst, control } = workerData as Task;
const ranges = [{ start: 4096, end: 2 ** 20, node: 0, rank: 0, hotPluggable: false, faulty: [] }];
const pmm = share === null ? new Pmm({ ranges, workers: 4 }) : new Pmm({ share, worker });
const held = new Float64Array(burst);

function round(): void {
  for (let i = 0; i < burst; i += 1) held[i] = pmm.take();
  for (let i = 0; i < burst; i += 1) pmm.give(held[i]!);
}

for (let i = 0; i < 20_000 / burst; i += 1) round();
Atomics.add(control, 0, 1);
Atomics.notify(control, 0);
Atomics.wait(control, 1, 0);
let rounds = 0;
while (Atomics.load(control, 2) === 0) {
  for (let i = 0; i < 10_000 / burst; i += 1) round();
  rounds += Math.ceil(10_000 / burst);
}
pmm.drain();
parentPort?.postMessage(rounds * burst);
