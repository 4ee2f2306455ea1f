/**
 * What automatic NUMA balancing saves, by the machine's cost table (local memory 80 ns, the other node's 168, cache 10, page fault 250): two nodes, two processors
 * on each.
 *
 * - moved threads: one thread fills all memory, then one on the other node uses half of it, over and over
 * - ping-pong: both nodes use the same pages in turn; moving them would only cost
 */
import { physicalMapFromJson, uniformDistances } from "@pagewright/machine";
import { createStack } from "@pagewright/stack";
import type { Stack } from "@pagewright/stack";
import type { AddressSpace } from "@pagewright/vmm";

const PAGE = 4096;
const PAGES = 512;
/** Rounds of a workload; after each, one step of background work. */
const ROUNDS = 120;
/** Budget of a step. */
const BUDGET = 64;

interface Outcome {
  readonly remote: number;
  readonly microseconds: number;
  readonly moved: number;
}

function numaStack(): { stack: Stack; space: AddressSpace; base: number } {
  const half = 32 * 2 ** 20;
  const map = physicalMapFromJson({
    entries: [{ base: 0, length: 2 * half, type: 1 }],
    srat: [
      { base: 0, length: half, node: 0 },
      { base: half, length: half, node: 1 },
    ],
  });
  const cache = { bytes: 2 ** 18, ways: 16 };
  const timing = { cache, distances: uniformDistances(2), cpuNodes: [0, 0, 1, 1] };
  const stack = createStack({ map, cpus: 4, timing });
  const space = stack.vmm.createSpace();
  if (space === null) throw new Error("no memory");
  space.placement = { policy: "local" };
  const base = Number(space.map({ bytes: PAGES * PAGE }));
  const first = stack.enter(space, 0);
  for (let page = 0; page < PAGES; page++) first.store32(base + page * PAGE, page);
  return { stack, space, base };
}

function measure({ stack }: { stack: Stack }, balanced: boolean, round: (number: number) => void): Outcome {
  const sum = (field: "remoteAccesses" | "nanoseconds"): number =>
    stack.machine.meters.reduce((total, meter) => total + meter.stats()[field], 0);
  const [remote, time] = [sum("remoteAccesses"), sum("nanoseconds")];
  for (let number = 0; number < ROUNDS; number++) {
    round(number);
    if (balanced) stack.as(2, () => stack.vmm.background(BUDGET));
  }
  const moved = stack.vmm.balancing()?.moved ?? 0;
  return { remote: sum("remoteAccesses") - remote, microseconds: (sum("nanoseconds") - time) / 1000, moved };
}

function movedThreads(balanced: boolean): Outcome {
  const made = numaStack();
  const { stack, space, base } = made;
  return measure(made, balanced, (number) => {
    const cpu = stack.enter(space, 2);
    for (let page = 0; page < PAGES / 2; page++)
      for (let line = 0; line < 8; line++) cpu.load32(base + page * PAGE + (((line + number) * 7) & 63) * 64);
  });
}

function pingPong(balanced: boolean): Outcome {
  const made = numaStack();
  const { stack, space, base } = made;
  return measure(made, balanced, (number) => {
    const cpu = stack.enter(space, number % 4 < 2 ? 0 : 2);
    for (let page = 0; page < 128; page++)
      for (let line = 0; line < 8; line++) cpu.load32(base + page * PAGE + (((line + number) * 7) & 63) * 64);
  });
}

for (const [metric, workload] of [
  ["moved threads", movedThreads],
  ["ping-pong", pingPong],
] as const) {
  const still = workload(false);
  const balanced = workload(true);
  figure(`${metric}: remote accesses with balancing`, balanced.remote, "accesses", still.remote);
  figure(`${metric}: virtual time with balancing`, balanced.microseconds, "us", still.microseconds);
  figure(`${metric}: pages moved`, balanced.moved, "pages", PAGES);
}

function figure(metric: string, value: number, unit: string, beside: number): void {
  const ratioTo = unit === "pages" ? "all pages" : "without";
  const ratio = value / beside;
  const line = { bench: "stack/numa", metric, value, unit, ratioTo, ratio };
  const text = `${metric} ${value.toFixed(0)} ${unit} (${ratio.toFixed(3)} x ${ratioTo})`;
  process.stdout.write(`${process.argv.includes("--json") ? JSON.stringify(line) : text}\n`);
}
