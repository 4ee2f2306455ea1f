/**
 * What it costs that a machine can be observed: TLB hits and faults with the event stream off and on, and the bytes of V8's heap that hits and misses
 * leave behind, which are none.
 *
 *   node --expose-gc --conditions=@pagewright/source --import tsx bench/observing.bench.ts [--json]
 */
import { spawnSync } from "node:child_process";
import { PerformanceObserver } from "node:perf_hooks";
import { firmwareMapOf, Machine, MIB, PhysicalMap, PLAIN_64X4_TLB, ROOMY_TLB } from "@pagewright/machine";
import type { Cpu } from "@pagewright/machine";

const PAGES = 128;
const ROUNDS = 200;
const SAMPLES = 100;
/** Accesses of each kind during which the heap is watched. */
const WATCHED = 50_000_000;

const figures: unknown[] = [];
function figure(metric: string, value: number, unit: string, ratioTo: string, ratio: number): void {
  figures.push({ bench: "machine/observing", metric, value, unit, ratioTo, ratio });
  if (!process.argv.includes("--json"))
    console.log(`${metric}: ${value.toFixed(3)} ${unit} (${ratio.toFixed(2)} × ${ratioTo})`);
}

/** A machine whose CPU has pages 0 to 127, with a TLB of that shape. */
function mapped(tlb = ROOMY_TLB): { machine: Machine; cpu: Cpu } {
  const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(64 * MIB), type: 1 }]));
  const machine = new Machine({ map, tlb });
  const cpu = machine.cpus[0];
  if (cpu === undefined) throw new Error("no CPU");
  const { memory } = machine;
  [1, 2, 3].forEach((table) => memory.write(table * 4096, 4, (table + 1) * 4096 + 7));
  for (let page = 0; page < PAGES; page++) memory.write(4 * 4096 + page * 8, 4, (256 + page) * 4096 + 7);
  cpu.writeCr3(0x1000);
  for (let page = 0; page < PAGES; page++) cpu.store32(page * 4096, page);
  return { machine, cpu };
}

function load(cpu: Cpu, rounds: number): number {
  let sum = 0;
  for (let round = 0; round < rounds; round++)
    for (let page = 0; page < PAGES; page++) sum = (sum + cpu.load32(page * 4096 + (round & 0xff) * 4)) | 0;
  return sum;
}

function store(cpu: Cpu, rounds: number): void {
  for (let round = 0; round < rounds; round++) for (let page = 0; page < PAGES; page++) cpu.store32(page * 4096, round);
}

/** The least ns per access of a loop over all pages. */
function nsOf(run: () => unknown, accesses: number): number {
  let least = Infinity;
  for (let sample = 0; sample < SAMPLES; sample++) {
    const start = process.hrtime.bigint();
    run();
    least = Math.min(least, Number(process.hrtime.bigint() - start) / accesses);
  }
  return least;
}

/** TLB hits with nobody listening, then with a listener, in one process: the loop is the same code. */
function measureHits(): void {
  const { machine, cpu } = mapped();
  const off = nsOf(() => load(cpu, ROUNDS), ROUNDS * PAGES);
  machine.eventSink = (): void => undefined;
  const on = nsOf(() => load(cpu, ROUNDS), ROUNDS * PAGES);
  machine.eventSink = null;
  const again = nsOf(() => load(cpu, ROUNDS), ROUNDS * PAGES);
  figure("load32 that hits, event stream on", on, "ns", "event stream never on", on / off);
  figure("load32 that hits, event stream off again", again, "ns", "event stream never on", again / off);
}

/** Faults that nobody handles: the one access that makes an event. */
function measureFaults(): void {
  const { machine, cpu } = mapped();
  const fault = (): void => {
    for (let page = 0; page < PAGES; page++) cpu.load32(2 ** 30 + page * 4096);
  };
  const off = nsOf(fault, PAGES);
  let told = 0;
  machine.eventSink = (): void => {
    told++;
  };
  const on = nsOf(fault, PAGES);
  if (told !== SAMPLES * PAGES) throw new Error("not every fault was told of");
  figure("load32 that faults, event stream on", on, "ns", "event stream off", on / off);
}

/** Collections of garbage so far. */
let collections = 0;
new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({ entryTypes: ["gc"] });
const entriesSeen = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

/** Bytes by which WATCHED accesses make V8's heap larger, and how often it was collected meanwhile: never, or the bytes would tell nothing. */
async function measureHeap(what: string, run: () => unknown, warm: () => unknown): Promise<void> {
  warm();
  globalThis.gc?.();
  await entriesSeen();
  const [before, collected] = [process.memoryUsage().heapUsed, collections];
  run();
  const bytes = process.memoryUsage().heapUsed - before;
  await entriesSeen();
  const peer = "one 16-byte object an access";
  figure(`heap that 50,000,000 ${what} take`, bytes / WATCHED, "bytes an access", peer, bytes / WATCHED / 16);
  figure(
    `collections during 50,000,000 ${what}`,
    collections - collected,
    "collections",
    "one",
    collections - collected,
  );
}

async function measureHitHeap(): Promise<void> {
  const { cpu } = mapped();
  const rounds = WATCHED / PAGES;
  await measureHeap(
    "loads that hit",
    () => load(cpu, rounds),
    () => load(cpu, 20_000),
  );
  await measureHeap(
    "stores that hit",
    () => {
      store(cpu, rounds);
    },
    () => {
      store(cpu, 20_000);
    },
  );
}

async function measureMissHeap(): Promise<void> {
  const { cpu } = mapped(PLAIN_64X4_TLB);
  await measureHeap(
    "loads that miss",
    () => load(cpu, WATCHED / PAGES),
    () => load(cpu, 20_000),
  );
  if (cpu.stats().dataHits > cpu.stats().dataMisses / 1000) throw new Error("loads hit");
}

/** Every measurement runs in a process of its own: in one they would share type feedback. */
const MEASUREMENTS: readonly (() => void | Promise<void>)[] = [
  measureHits,
  measureFaults,
  measureHitHeap,
  measureMissHeap,
];
const marker = "--measurement=";
const chosen = process.argv.find((word) => word.startsWith(marker));
if (chosen === undefined)
  MEASUREMENTS.forEach((_, at) => {
    const words = ["--expose-gc", ...process.execArgv, ...process.argv.slice(1), `${marker}${at}`];
    if (spawnSync(process.execPath, words, { stdio: "inherit" }).status !== 0) process.exitCode = 1;
  });
else await MEASUREMENTS[Number(chosen.slice(marker.length))]?.();
if (process.argv.includes("--json")) for (const one of figures) console.log(JSON.stringify(one));
