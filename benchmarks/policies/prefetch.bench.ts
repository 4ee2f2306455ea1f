/**
 * What fetching ahead is worth: faults that wait for a store, and pages moved between stores and frames, of recorded programs run by a manager with everything on
 * and with prefetch and fault-around off. Pages that a program stores to are private memory with swap behind it, the others are pages of a file.
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/policies/prefetch.bench.ts [--json] [part of a trace's name]
 */
import { MemoryBacking, MemorySwap, PlainMemory, READ, SpaceMemory, Vmm, WRITE } from "@pagewright/vmm";
import type { VmmOptions } from "@pagewright/vmm";
import { decodePageTrace, readInput, STORE } from "pagewright";
import type { PageTrace } from "pagewright";
import { recordedTraces } from "../../packages/cli/bench/traces.ts";

const PAGE = 4096;
const PERCENTS = [10, 25, 50, 75];
const MODES: Readonly<Record<string, Partial<VmmOptions>>> = { off: { readAhead: 0, faultAround: 1 }, on: {} };

interface Run {
  readonly waits: number;
  readonly moved: number;
  readonly ahead: number;
  readonly hits: number;
  readonly waste: number;
}

/** Maps runs of neighbouring pages with the same use; returns the address of each page. */
function mapAll(vmm: Vmm, trace: PageTrace): { memory: SpaceMemory; addresses: Float64Array } {
  const space = vmm.createSpace();
  if (space === null) throw new Error("no space");
  const { vpns, records } = trace;
  const stored = new Uint8Array(vpns.length);
  for (const record of records) if ((record & 3) === STORE) stored[record >>> 2] = 1;
  const file = vmm.openFile(new MemoryBacking(vpns.length * PAGE));
  const addresses = new Float64Array(vpns.length);
  for (let first = 0, end: number; first < vpns.length; first = end) {
    for (end = first + 1; end < vpns.length; end++)
      if (stored[end] !== stored[first] || vpns[end]! !== vpns[first]! + end - first) break;
    const bytes = (end - first) * PAGE;
    const source =
      stored[first] === 1 ? { rights: READ + WRITE } : { rights: READ, object: file, offset: first * PAGE };
    const at = space.map({ bytes, address: vpns[first]! * PAGE, ...source });
    if (typeof at === "string") throw new Error(`not mapped: ${at}`);
    for (let page = first; page < end; page++) addresses[page] = at + (page - first) * PAGE;
  }
  return { memory: new SpaceMemory(space), addresses };
}

function run(trace: PageTrace, frames: number, options: Partial<VmmOptions>): Run {
  const memory = new PlainMemory(frames + 4096);
  const swap = [new MemorySwap(trace.vpns.length)];
  const vmm = new Vmm({ frames: memory, window: memory, swap, residentLimit: frames, ...options });
  const program = mapAll(vmm, trace);
  let last = -1;
  for (const record of trace.records) {
    const request = (record >>> 2) * 2 + ((record & 3) === STORE ? 1 : 0);
    if (request === last) continue;
    last = request;
    const address = program.addresses[record >>> 2]!;
    const done = (request & 1) === 1 ? program.memory.store32(address, 1) : program.memory.load32(address) >= 0;
    if (!done) throw new Error(`an access failed: ${program.memory.fault}`);
  }
  const { majorFaults, swapIns, swapOuts, fileReads, fetchedAhead, prefetchHits, prefetchWaste } = vmm.stats;
  const moved = swapIns + swapOuts + fileReads;
  return { waits: majorFaults, moved, ahead: fetchedAhead, hits: prefetchHits, waste: prefetchWaste };
}

const sums = { cells: 0, logWaits: 0, logMoved: 0 };
for (const path of recordedTraces(process.argv.slice(2).find((word) => !word.startsWith("--")) ?? ".window.")) {
  const trace = decodePageTrace(readInput(path), path);
  for (const percent of PERCENTS) {
    const frames = Math.floor((trace.vpns.length * percent) / 100);
    const runs = Object.entries(MODES).map(([mode, options]) => [mode, run(trace, frames, options)] as const);
    const [off, on] = runs.map(([, result]) => result);
    if (off === undefined || on === undefined) throw new Error("two modes");
    sums.cells++;
    sums.logWaits += Math.log(on.waits / off.waits);
    sums.logMoved += Math.log(on.moved / off.moved);
    const mib = (pages: number): string => `${((pages * PAGE) / 2 ** 20).toFixed(1)} MiB`;
    console.log(
      `${trace.name.padEnd(14)} ${String(percent).padStart(2)} %  waits ${off.waits} → ${on.waits}, moved ${mib(off.moved)} → ${mib(on.moved)}`
        + `; ${on.ahead} ahead, ${on.hits} used, ${on.waste} wasted`,
    );
  }
}
const waits = Math.exp(sums.logWaits / sums.cells);
const moved = Math.exp(sums.logMoved / sums.cells);
console.log(
  `geometric mean of ${sums.cells} cells: ${waits.toFixed(3)} × the waits, ${moved.toFixed(3)} × the bytes moved`,
);
if (process.argv.includes("--json"))
  for (const [metric, value] of [
    ["faults that wait for a store, everything on", waits],
    ["bytes moved, everything on", moved],
  ] as const) {
    const ratio = Number(value.toFixed(3));
    console.log(
      JSON.stringify({
        bench: "prefetch",
        metric,
        value: ratio,
        unit: "ratio",
        ratioTo: "prefetch and fault-around off",
        ratio,
      }),
    );
  }
