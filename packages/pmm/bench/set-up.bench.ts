/* 1.5 TiB on 8 nodes: time to set up, size of the state, and ISA requests at their worst: fragmented, full, and granted. */
import { ISA_DMA, NO_FRAME, ORDER_1G, Pmm } from "../src/index.ts";
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

/** Gives and wires at random what was taken of a low zone, half of which can go free at most; returns what is still taken. */
function disorder(low: Pmm, random: () => number): number[] {
  const held: number[] = [];
  const wishes = { order: 0, node: -1, colour: -1, movable: 1, borrow: true };
  for (let pfn = low.take(wishes); pfn !== NO_FRAME; pfn = low.take(wishes)) held.push(pfn);
  const wired = random() ** 2;
  const given = random();
  return held.filter((pfn) => {
    if (random() < wired) return low.wire(pfn);
    if ((pfn & 1) === 1 || random() >= given) return true;
    low.give(pfn);
    return false;
  });
}

/** The slowest kind of refusal in 80 low zones in disorder, in µs: each kind by its median, which no pause of the machine is in. */
function worstRefusal(): number {
  let seed = 1;
  const random = (): number => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const low = new Pmm({ ranges: [{ start: 0, end: 4096, node: 0, rank: 0, hotPluggable: false, faulty: [] }] });
  const times = new Float64Array(301);
  let worst = 0;
  for (let turn = 0; turn < 80; turn += 1) {
    const held = disorder(low, random);
    for (const frames of [2, 3, 8, 9, 16]) {
      for (let i = 0; i < times.length; i += 1) {
        const start = performance.now();
        if (low.request({ frames, ...ISA_DMA }).ok) throw new Error("No run is free");
        times[i] = (performance.now() - start) * 1000;
      }
      if (turn > 3) worst = Math.max(worst, times.toSorted()[150]!);
    }
    for (const pfn of held) {
      low.unwire(pfn);
      low.give(pfn);
    }
  }
  low.check();
  return worst;
}
report([{ bench, metric: "ISA request refused, the slowest disorder's median", value: worstRefusal(), unit: "µs" }]);
