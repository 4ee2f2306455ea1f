/**
 * A pool beside a bare stack of addresses in an array, on one size: bursts of blocks taken and given back, the newest first and in the order in which they came. Each in a process of its own.
 *
 *     node --conditions=@pagewright/source --import tsx packages/heap/bench/pool.bench.ts [--json]
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { BufferMemory } from "@pagewright/heap/memory";
import { Pool } from "@pagewright/heap/pool";

const BLOCKS = 1024;
/** Slots of a power of two, and of another number. */
const SIZES = [64, 48];
const BURST = 64;

/** The least that can be done: no size, no check, nothing to grow. */
class BareStack {
  readonly #stack: Int32Array = new Int32Array(BLOCKS + 1);

  constructor(bytes: number) {
    for (let at = 1; at <= BLOCKS; at++) this.#stack[at] = (BLOCKS - at) * bytes;
    this.#stack[0] = BLOCKS;
  }
  allocate(): number {
    const count = this.#stack[0]!;
    if (count === 0) return -1;
    this.#stack[0] = count - 1;
    return this.#stack[count]!;
  }
  free(address: number): void {
    const count = this.#stack[0]! + 1;
    this.#stack[0] = count;
    this.#stack[count] = address;
  }
}

interface Subject {
  allocate(): number;
  free(address: number): void;
}

/** Takes and gives `bursts` bursts. */
function work(subject: Subject, bursts: number, held: Int32Array): void {
  for (let burst = 0; burst < bursts; burst++) {
    for (let at = 0; at < BURST; at++) held[at] = subject.allocate();
    if ((burst & 1) === 0) for (let at = 0; at < BURST; at++) subject.free(held[at]!);
    else for (let at = BURST - 1; at >= 0; at--) subject.free(held[at]!);
  }
}

/** Nanoseconds of processor time for one block taken and given back: the best of some rounds. */
function time(subject: Subject): number {
  const held = new Int32Array(BURST);
  const bursts = 2000;
  let best = Infinity;
  for (let round = 0; round < 200; round++) {
    const before = process.cpuUsage();
    work(subject, bursts, held);
    const { user, system } = process.cpuUsage(before);
    if (round >= 20) best = Math.min(best, ((user + system) * 1000) / (bursts * BURST));
  }
  return best;
}

const [, , variant, size] = process.argv;
const bytes = Number(size);
if (variant === "pool") console.log(time(new Pool(new BufferMemory(new ArrayBuffer(BLOCKS * bytes)), bytes)));
else if (variant === "stack") console.log(time(new BareStack(bytes)));
else for (const each of SIZES) compare(each);

function compare(slotBytes: number): void {
  const run = (name: string): number => {
    const args = [...process.execArgv, fileURLToPath(import.meta.url), name, String(slotBytes)];
    return Number(execFileSync(process.execPath, args, { encoding: "utf8" }));
  };
  // Interleaved, so that what else the machine does meets both.
  const samples = Array.from({ length: 5 }, () => [run("stack"), run("pool")] as const);
  const stack = Math.min(...samples.map(([ns]) => ns));
  const pool = Math.min(...samples.map(([, ns]) => ns));
  const metric = `allocate and free ${slotBytes} bytes`;
  const line = { bench: "heap/pool", metric, value: pool, unit: "ns" };
  const ratio = pool / stack;
  if (process.argv.includes("--json")) console.log(JSON.stringify({ ...line, ratioTo: "bare array stack", ratio }));
  else
    console.log(
      `a block of ${slotBytes} bytes of a pool ${pool.toFixed(2)} ns, of a bare stack ${stack.toFixed(2)} ns: ${ratio.toFixed(2)} x`,
    );
}
