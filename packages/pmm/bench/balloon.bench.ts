/* Inflating and deflating a balloon by 4 GiB in frames and in 2M blocks, and block-wise unplug and plug: GiB/s of each. */
import { Balloon, ORDER_2M, PluggableRegion, Pmm } from "../src/index.ts";
import { report } from "./report.ts";

const GIB = 2 ** 18;
const bench = "pmm/balloon";

/** GiB/s of the fastest of some runs, each of `gib` GiB. */
function throughput(gib: number, run: () => void): number {
  let best = Infinity;
  for (let i = 0; i < 10; i += 1) {
    const start = performance.now();
    run();
    best = Math.min(best, performance.now() - start);
  }
  return (gib * 1000) / best;
}

const ranges = [{ start: GIB, end: 9 * GIB, node: 0, rank: 0, hotPluggable: false, faulty: [] }];
const rates = [0, ORDER_2M].map((order) => {
  const pmm = new Pmm({ ranges });
  const balloon = new Balloon(pmm, { order });
  const rate = throughput(8, () => {
    balloon.resize(4 * GIB);
    balloon.resize(0);
  });
  pmm.check();
  return rate;
});
const pmm = new Pmm({ ranges, spareFrames: 4 * GIB });
const region = new PluggableRegion(pmm, { start: 16 * GIB, blocks: 2048, blockFrames: 512, node: 0 });
const plugged = throughput(8, () => {
  region.resize(4 * GIB);
  region.resize(0);
});
pmm.check();
const frames = rates[0] ?? NaN;
for (const [metric, value] of [
  ["4K balloon", frames],
  ["2M balloon", rates[1] ?? NaN],
  ["2M blocks plugged and unplugged", plugged],
] as const) {
  report([{ bench, metric, value, unit: "GiB/s", ratioTo: "4K balloon", ratio: value / frames }]);
}
