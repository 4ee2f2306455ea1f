/*
 * Workers on shared state: takes + gives per second of one worker and of two together, in bursts that stay on the page stack (16)
 * and that do not (1000, 4000). One worker, two, and two that share nothing alternate in the same run; the best of each counts. Two that share nothing say
 * what the machine gives to two threads at all: hardware threads of one core, or cores that others use too, give less than twice.
 */
import { once } from "node:events";

import { spawnTs } from "@pagewright/tooling/worker";

import { Pmm } from "../src/index.ts";
import { report } from "./report.ts";

/** Takes + gives per second of `count` workers together over half a second, on one allocator or on one each. */
async function rate(count: number, burst: number, shared: boolean): Promise<number> {
  const ranges = [{ start: 4096, end: 2 ** 20, node: 0, rank: 0, hotPluggable: false, faulty: [] }];
  const pmm = new Pmm({ ranges, shared: true, workers: 4 });
  const share = shared ? pmm.share : null;
  const control = new Int32Array(new SharedArrayBuffer(12));
  const threads = Array.from({ length: count }, (_, i) =>
    spawnTs(new URL("./threads.worker.ts", import.meta.url), { share, worker: i + 1, burst, control }),
  );
  const answers = threads.map(async (thread) => Number((await once(thread, "message"))[0]));
  while (Atomics.load(control, 0) < count) await new Promise((resolve) => setTimeout(resolve, 10));
  const start = performance.now();
  Atomics.store(control, 1, 1);
  Atomics.notify(control, 1);
  await new Promise((resolve) => setTimeout(resolve, 500));
  Atomics.store(control, 2, 1);
  const operations = (await Promise.all(answers)).reduce((total, each) => total + each, 0);
  const seconds = (performance.now() - start) / 1000;
  pmm.check();
  return operations / seconds / 1e6;
}

const bench = "pmm/threads";
for (const burst of [16, 1000, 4000]) {
  let [one, two, apart] = [0, 0, 0];
  for (let i = 0; i < 4; i += 1) {
    one = Math.max(one, await rate(1, burst, true));
    two = Math.max(two, await rate(2, burst, true));
    apart = Math.max(apart, await rate(2, burst, false));
  }
  const unit = "M take + give / s";
  const bursts = `bursts of ${burst}`;
  const ratioTo = "one worker";
  report([
    { bench, metric: `one worker, ${bursts}`, value: one, unit },
    { bench, metric: `two workers, ${bursts}`, value: two, unit, ratioTo, ratio: two / one },
    { bench, metric: `two workers that share nothing, ${bursts}`, value: apart, unit, ratioTo, ratio: apart / one },
    {
      bench,
      metric: `two workers, ${bursts}`,
      value: two,
      unit,
      ratioTo: "two that share nothing",
      ratio: two / apart,
    },
  ]);
}
