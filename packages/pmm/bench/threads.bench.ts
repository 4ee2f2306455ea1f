/*
 * Workers on shared state: takes + gives per second of one worker and of two together, in bursts that stay on the page stack (16)
 * and that do not (1000). One and two workers alternate in the same run; the best of each counts. On a busy machine two workers do not get
 * two processors: the rate by processor time says what they would do there.
 */
import { once } from "node:events";

import { spawnTs } from "@pagewright/tooling/worker";

import { Pmm } from "../src/index.ts";
import { report } from "./report.ts";

interface Rate {
  /** Takes + gives per second of wall time, all workers together. */
  readonly wall: number;
  /** Takes + gives per second of processor time. */
  readonly cpu: number;
}

/** The rates of `count` workers together over half a second. */
async function rate(count: number, burst: number): Promise<Rate> {
  const ranges = [{ start: 4096, end: 2 ** 20, node: 0, rank: 0, hotPluggable: false, faulty: [] }];
  const pmm = new Pmm({ ranges, shared: true, workers: 4 });
  const control = new Int32Array(new SharedArrayBuffer(12));
  const threads = Array.from({ length: count }, (_, i) =>
    spawnTs(new URL("./threads.worker.ts", import.meta.url), { share: pmm.share, worker: i + 1, burst, control }),
  );
  const answers = threads.map(async (thread) => Number((await once(thread, "message"))[0]));
  while (Atomics.load(control, 0) < count) await new Promise((resolve) => setTimeout(resolve, 10));
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  Atomics.store(control, 1, 1);
  Atomics.notify(control, 1);
  await new Promise((resolve) => setTimeout(resolve, 500));
  Atomics.store(control, 2, 1);
  const operations = (await Promise.all(answers)).reduce((total, each) => total + each, 0);
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  pmm.check();
  return { wall: operations / seconds, cpu: operations / ((user + system) / 1e6) };
}

const bench = "pmm/threads";
for (const burst of [16, 1000]) {
  const best = [0, 0, 0, 0];
  for (let i = 0; i < 3; i += 1) {
    const one = await rate(1, burst);
    const two = await rate(2, burst);
    for (const [k, value] of [one.wall, two.wall, one.cpu, two.cpu].entries()) best[k] = Math.max(best[k] ?? 0, value);
  }
  const [oneWall = NaN, twoWall = NaN, oneCpu = NaN, twoCpu = NaN] = best.map((value) => value / 1e6);
  const unit = "M take + give / s";
  const ratioTo = "one worker";
  const bursts = `bursts of ${burst}`;
  report([
    { bench, metric: `one worker, ${bursts}`, value: oneWall, unit },
    { bench, metric: `two workers, ${bursts}`, value: twoWall, unit, ratioTo, ratio: twoWall / oneWall },
    {
      bench,
      metric: `two workers by processor time, ${bursts}`,
      value: 2 * twoCpu,
      unit,
      ratioTo,
      ratio: (2 * twoCpu) / oneCpu,
    },
  ]);
}
