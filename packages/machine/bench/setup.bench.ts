/**
 * What a machine of 1.5 TiB with 8 nodes costs its host: time and memory, in a process of its own, garbage collected before.
 * `resident set` is the growth of the process's resident set (`Rss` of /proc/self/smaps_rollup where there is one), `heap of
 * V8` what is left after a collection, both of sixteen machines held at once, for one; `host frames in use` are the frames
 * touched. Reserved host memory that nobody touched costs address space only.
 *
 *   node --expose-gc --conditions=@pagewright/source --import tsx bench/setup.bench.ts [--json]
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { firmwareMapOf, FRAME_BYTES, GIB, Machine, MIB, PhysicalMap } from "@pagewright/machine";
import type { RawEntry } from "@pagewright/machine";

/** What one run in a fresh process found. */
interface SetupFigures {
  /** Milliseconds of the first machine that the process makes, its code not yet compiled. */
  readonly cold: number;
  /** Milliseconds of the fastest of ten. */
  readonly warm: number;
  /** MiB that the resident set grew by while one machine was alive. */
  readonly resident: number;
  /** MiB of V8's heap that it holds. */
  readonly heap: number;
  /** KiB of host frames in use. */
  readonly committed: number;
}

const NODES = 8;
const NODE_BYTES = 192 * GIB;

/** Makes the machine and touches one word on each node, as a boot loader would. */
function largeMachine(): Machine {
  const raw: RawEntry[] = [{ base: 0n, length: BigInt(NODES * NODE_BYTES), type: 1 }];
  const affinity = Array.from({ length: NODES }, (_, node) => ({
    node,
    base: node * NODE_BYTES,
    end: (node + 1) * NODE_BYTES,
    hotPluggable: false,
    nonVolatile: false,
  }));
  const machine = new Machine({ map: new PhysicalMap(firmwareMapOf(raw, { affinity })), cpus: NODES });
  for (let node = 0; node < NODES; node++) machine.memory.write(node * NODE_BYTES, 4, node);
  return machine;
}

function residentBytes(): number {
  try {
    const rollup = readFileSync("/proc/self/smaps_rollup", "utf8");
    return Number(/^Rss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? NaN) * 1024;
  } catch {
    return process.memoryUsage.rss();
  }
}

function milliseconds(run: () => unknown): number {
  const start = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

/** Machines that are held while memory is measured: one costs less than V8 gives back to the host meanwhile. */
const HELD = 16;

/** Measures in this process: the time of its first machine, the memory of sixteen for one, the time of more. */
function measure(): SetupFigures {
  const cold = milliseconds(largeMachine);
  for (let round = 0; round < 4; round++) globalThis.gc?.();
  const before = residentBytes();
  const heapBefore = process.memoryUsage().heapUsed;
  const machines = Array.from({ length: HELD }, largeMachine);
  const resident = (residentBytes() - before) / MIB / HELD;
  globalThis.gc?.();
  const heap = (process.memoryUsage().heapUsed - heapBefore) / MIB / HELD;
  const committed = Math.max(...machines.map(({ memory }) => memory.stats().committedFrames * FRAME_BYTES)) / 1024;
  const warm = Math.min(...Array.from({ length: 10 }, () => milliseconds(largeMachine)));
  return { cold, warm, resident, heap, committed };
}

if (process.argv.includes("--child")) process.stdout.write(JSON.stringify(measure()));
else {
  const child = spawnSync(
    process.execPath,
    ["--expose-gc", ...process.execArgv.filter((word) => word !== "--expose-gc"), import.meta.filename, "--child"],
    { encoding: "utf8" },
  );
  if (child.status !== 0) throw new Error(child.stderr);
  const { cold, warm, resident, heap, committed } = JSON.parse(child.stdout) as SetupFigures;
  const print = (metric: string, value: number, unit: string, target: number): void => {
    const figure = {
      bench: "machine/setup",
      metric,
      value,
      unit,
      ratioTo: `target of ${target} ${unit}`,
      ratio: value / target,
    };
    if (process.argv.includes("--json")) console.log(JSON.stringify(figure));
    else console.log(`1.5 TiB with 8 nodes, ${metric}: ${value.toFixed(2)} ${unit} (target ${target} ${unit})`);
  };
  print("first set-up of a process", cold, "ms", 50);
  print("set-up", warm, "ms", 50);
  print("resident set", resident, "MiB", 32);
  print("heap of V8", heap, "MiB", 32);
  print("host frames in use", committed, "KiB", 32 * 1024);
}
