/*
 * Take + give of one frame with all checks, beside a bare Uint32Array push/pop in the same process; each pattern in a process
 * of its own (`--only NAME`), because patterns in one process share type feedback.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { Pmm } from "../src/index.ts";
import { bestNs, report } from "./report.ts";

/** The naive twin: a stack of numbers, no check at all. */
class BareStack {
  readonly #words: Uint32Array = new Uint32Array(1 << 20);
  #top = 0;

  push(value: number): void {
    this.#words[this.#top] = value;
    this.#top += 1;
  }

  pop(): number {
    this.#top -= 1;
    return this.#words[this.#top]!;
  }
}

const DEPTH = 4096;
const held = new Float64Array(DEPTH);
const bare = new BareStack();
for (let i = 0; i < 2 * DEPTH; i += 1) bare.push(i);
const shared = process.argv.includes("--shared");
const pmm = new Pmm({
  ranges: [{ start: 256, end: 2 ** 20, node: 0, rank: 0, hotPluggable: false, faulty: [] }],
  shared,
});
const large = { order: 9, node: -1, colour: -1, movable: 1 };

function popAndPush(n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i += 1) {
    const frame = bare.pop();
    sum += frame;
    bare.push(frame);
  }
  return sum;
}

/** Up and down by one frame, by 16, by 1000 (which refills and drains), and 2M blocks. */
const patterns: Record<string, { bare: (n: number) => number; pmm: (n: number) => number }> = {
  one: {
    bare: popAndPush,
    pmm: (n) => {
      let sum = 0;
      for (let i = 0; i < n; i += 1) {
        const frame = pmm.take();
        sum += frame;
        pmm.give(frame);
      }
      return sum;
    },
  },
  sixteen: {
    bare: (n) => {
      for (let i = 0; i < n; i += 16) {
        for (let j = 0; j < 16; j += 1) held[j] = bare.pop();
        for (let j = 0; j < 16; j += 1) bare.push(held[j]!);
      }
      return held[0]!;
    },
    pmm: (n) => {
      for (let i = 0; i < n; i += 16) {
        for (let j = 0; j < 16; j += 1) held[j] = pmm.take();
        for (let j = 0; j < 16; j += 1) pmm.give(held[j]!);
      }
      return held[0]!;
    },
  },
  thousand: {
    bare: (n) => {
      for (let i = 0; i < n; i += 1000) {
        for (let j = 0; j < 1000; j += 1) held[j] = bare.pop();
        for (let j = 0; j < 1000; j += 1) bare.push(held[j]!);
      }
      return held[0]!;
    },
    pmm: (n) => {
      for (let i = 0; i < n; i += 1000) {
        for (let j = 0; j < 1000; j += 1) held[j] = pmm.take();
        for (let j = 0; j < 1000; j += 1) pmm.give(held[j]!);
      }
      return held[0]!;
    },
  },
  block2M: {
    bare: popAndPush,
    pmm: (n) => {
      let sum = 0;
      for (let i = 0; i < n; i += 1) {
        const frame = pmm.take(large);
        sum += frame;
        pmm.give(frame, 9);
      }
      return sum;
    },
  },
};

const only = process.argv[process.argv.indexOf("--only") + 1] ?? "";
const pattern = process.argv.includes("--only") ? patterns[only] : undefined;
if (pattern === undefined) {
  for (const name of Object.keys(patterns)) {
    for (const memory of name === "block2M" ? [[]] : [[], ["--shared"]]) {
      const args = [fileURLToPath(import.meta.url), "--only", name, ...memory, ...process.argv.slice(2)];
      spawnSync(process.execPath, [...process.execArgv, ...args], { stdio: "inherit" });
    }
  }
} else {
  const floor = bestNs(100_000, 300, pattern.bare);
  const value = bestNs(only === "block2M" ? 10_000 : 100_000, 300, pattern.pmm);
  pmm.check();
  const metric = `take + give, ${only}${shared ? ", shared" : ""}`;
  report([{ bench: "pmm/frames", metric, value, unit: "ns", ratioTo: "bare push + pop", ratio: value / floor }]);
}
