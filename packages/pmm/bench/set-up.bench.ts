/* 1.5 TiB on 8 nodes: time to set up, size of the state, and ISA requests at their worst: fragmented, full, and granted. */
import { ISA_DMA, ORDER_1G, Pmm } from "../src/index.ts";
import { report } from "./report.ts";

const PER_NODE = (1.5 * 2 ** 28) / 8;
const ranges = Array.from({ length: 8 }, (_, node) => ({
  start: node * PER_NODE,
  end: (node + 1) * PER_NODE,
  node,
  rank: 0,
  hotPluggable: false,
  faulty: [],
}));
const bench = "pmm/set-up";
for (const shared of [false, true]) {
  const start = performance.now();
  const pmm = new Pmm({ ranges, shared });
  const value = performance.now() - start;
  const { stateBytes, totalFrames } = pmm.stats();
  const percent = (stateBytes / (totalFrames * 4096)) * 100;
  const where = shared ? ", shared" : "";
  report([
    { bench, metric: `1.5 TiB, 8 nodes${where}`, value, unit: "ms" },
    { bench, metric: `state of the RAM${where}`, value: percent, unit: "%" },
  ]);
}

const pmm = new Pmm({ ranges });
/** The 50th and 99.9th percentile and the worst of many timed requests, in µs. */
function latency(metric: string, action: () => void): void {
  for (let i = 0; i < 3000; i += 1) action();
  const times = Float64Array.from({ length: 10_000 }, () => {
    const start = performance.now();
    action();
    return (performance.now() - start) * 1000;
  }).sort();
  report([
    { bench, metric: `${metric}, median`, value: times[5000]!, unit: "µs" },
    { bench, metric: `${metric}, 99.9 %`, value: times[9990]!, unit: "µs" },
  ]);
}

const granted: number[] = [];
for (let grant = pmm.request({ frames: 1, ...ISA_DMA }); grant.ok; grant = pmm.request({ frames: 1, ...ISA_DMA })) {
  granted.push(grant.start);
}
latency("ISA request refused, low zone full", () => pmm.request({ frames: 2, ...ISA_DMA }));
for (const start of granted) if ((start & 1) === 0) pmm.release(start, 1);
latency("ISA request refused, every other frame free", () => pmm.request({ frames: 2, ...ISA_DMA }));
pmm.release(granted.at(-1) ?? 0, 1);
latency("ISA request granted at the far end, and released", () => {
  const grant = pmm.request({ frames: 2, ...ISA_DMA });
  if (grant.ok) pmm.release(grant.start, 2);
});
latency("1G take + give", () => pmm.give(pmm.take({ order: ORDER_1G, node: -1, colour: -1, movable: 1 }), ORDER_1G));
pmm.check();
