/**
 * Loads and stores through the TLB beside the bare typed-array loop over the same stream of float64 byte addresses, over 16
 * and 1,024 scattered pages; bulk fill and compare of the same pages beside those of plain bytes in a row.
 *
 *   node --conditions=@pagewright/source --import tsx bench/access.bench.ts [--json]
 */
import { spawnSync } from "node:child_process";
import { firmwareMapOf, Machine, MIB, PhysicalMap } from "@pagewright/machine";
import type { Cpu, VirtAddr } from "@pagewright/machine";

const ACCESSES = 1 << 13;
const ROUNDS = 32;
const SAMPLES = 200;

let seed = 20_260_101;
function random(below: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}

/**
 * The least time per access of each of two loops, in ns. Samples are short and taken in turns, so that other work on the host
 * touches both alike.
 */
function leastOf(first: () => number, second: () => number): readonly [number, number] {
  const least = [Infinity, Infinity];
  for (let sample = 0; sample < SAMPLES; sample++)
    [first, second].forEach((run, at) => {
      const start = process.hrtime.bigint();
      run();
      const time = Number(process.hrtime.bigint() - start) / (ACCESSES * ROUNDS);
      least[at] = Math.min(least[at] ?? Infinity, time);
    });
  return [least[0] ?? 0, least[1] ?? 0];
}

/** 2M-aligned base of the mapped pages: the lower half, as user memory is. */
const BASE: VirtAddr = 0x40000000;

function mapped(pages: number): { cpu: Cpu; words: Uint32Array; hosts: Int32Array } {
  const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(256 * MIB), type: 1 }]));
  const machine = new Machine({ map });
  const cpu = machine.cpus[0];
  if (cpu === undefined) throw new Error("no CPU");
  const { memory } = machine;
  memory.write(0x1000, 4, 0x2007);
  memory.write(0x2008, 4, 0x3007);
  for (let table = 0; table * 512 < pages; table++) memory.write(0x3000 + table * 8, 4, (16 + table) * 4096 + 7);
  const order = Array.from({ length: pages }, (_, i) => i);
  for (let i = pages - 1; i > 0; i--) {
    const j = random(i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  const hosts = new Int32Array(pages);
  order.forEach((frame, page) => {
    memory.write(16 * 4096 + page * 8, 4, (4096 + frame * 7) * 4096 + 0x67);
  });
  cpu.writeCr3(0x1000);
  for (let page = 0; page < pages; page++) {
    cpu.store32(BASE + page * 4096, page);
    hosts[page] = memory.writableBase(4096 + (order[page] ?? 0) * 7);
  }
  return { cpu, words: cpu.words, hosts };
}

const figures: unknown[] = [];
function figure(metric: string, value: number, bare: number): void {
  figures.push({
    bench: "machine/access",
    metric,
    value,
    unit: "ns",
    ratioTo: "bare typed-array loop",
    ratio: value / bare,
  });
  if (!process.argv.includes("--json"))
    console.log(`${metric}: ${value.toFixed(2)} ns, bare ${bare.toFixed(2)} ns: ${(value / bare).toFixed(2)} ×`);
}

/** One process per number of pages: the second in one process would run on code that the first has shaped. */
const PAGES = Number(process.env["BENCH_PAGES"] ?? 0);
if (PAGES === 0) {
  for (const count of [16, 1024]) {
    const args = [...process.execArgv, ...process.argv.slice(1)];
    spawnSync(process.execPath, args, { stdio: "inherit", env: { ...process.env, BENCH_PAGES: String(count) } });
  }
  process.exit(0);
}

const { cpu, words, hosts } = mapped(PAGES);
const addresses = new Float64Array(ACCESSES);
const places = new Float64Array(ACCESSES);
for (let i = 0; i < ACCESSES; i++) {
  const page = random(PAGES);
  const offset = random(1024);
  addresses[i] = BASE + page * 4096 + offset * 4;
  places[i] = ((hosts[page] ?? 0) + offset) * 4;
}
const [bareLoad, load] = leastOf(
  () => {
    let sum = 0;
    for (let round = 0; round < ROUNDS; round++)
      for (let i = 0; i < ACCESSES; i++) sum = (sum + words[places[i]! >>> 2]!) | 0;
    return sum;
  },
  () => {
    let sum = 0;
    for (let round = 0; round < ROUNDS; round++)
      for (let i = 0; i < ACCESSES; i++) sum = (sum + cpu.load32(addresses[i]!)) | 0;
    return sum;
  },
);
const [bareStore, store] = leastOf(
  () => {
    for (let round = 0; round < ROUNDS; round++) for (let i = 0; i < ACCESSES; i++) words[places[i]! >>> 2] = i;
    return 0;
  },
  () => {
    let done = 0;
    for (let round = 0; round < ROUNDS; round++)
      for (let i = 0; i < ACCESSES; i++) if (cpu.store32(addresses[i]!, i)) done++;
    return done;
  },
);
figure(`load32 over ${PAGES} pages`, load, bareLoad);
figure(`store32 over ${PAGES} pages`, store, bareStore);

/** Bulk operations take so long that one of them is a sample; as many are taken as it needs for all code to be compiled. */
function bulkFigure(metric: string, peer: string, through: () => unknown, bare: () => unknown): void {
  const least = [Infinity, Infinity];
  for (let sample = 0; sample < SAMPLES * Math.max(1, 512 / PAGES); sample++)
    [through, bare].forEach((run, at) => {
      const start = process.hrtime.bigint();
      run();
      least[at] = Math.min(least[at] ?? Infinity, Number(process.hrtime.bigint() - start) / PAGES);
    });
  const [value = 0, beside = 0] = least;
  figures.push({ bench: "machine/access", metric, value, unit: "ns a page", ratioTo: peer, ratio: value / beside });
  if (!process.argv.includes("--json"))
    console.log(
      `${metric}: ${value.toFixed(0)} ns a page, ${peer} ${beside.toFixed(0)} ns: ${(value / beside).toFixed(2)} ×`,
    );
}
const same = new Uint8Array(PAGES * 4096);
const other = new Uint8Array(PAGES * 4096);
bulkFigure(
  `fill over ${PAGES} pages`,
  "Uint8Array.fill",
  () => cpu.fill(BASE, same.length, 5),
  () => same.fill(5),
);
other.fill(5);
if (cpu.bulk.compare(BASE, same) !== -1) throw new Error("what was filled is not there");
bulkFigure(
  `compare over ${PAGES} pages`,
  "Buffer.compare",
  () => cpu.bulk.compare(BASE, same),
  () => Buffer.compare(other, same),
);
const odd = new Uint8Array(same.length + 1).fill(5).subarray(1);
bulkFigure(
  `compare over ${PAGES} pages with bytes at an odd place`,
  "Buffer.compare",
  () => cpu.bulk.compare(BASE, odd),
  () => Buffer.compare(other, odd),
);
if (process.argv.includes("--json")) for (const one of figures) console.log(JSON.stringify(one));
