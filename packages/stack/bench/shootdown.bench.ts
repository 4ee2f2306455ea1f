/**
 * What invalidation costs in virtual time, by the machine's cost table (interrupt 1000 ns, entry and return 250, INVLPG 30, flush 50, memory 80), in three
 * ways:
 *
 * - everybody: each processor that was ever in the space is interrupted, whatever it does now
 * - holders: those that run in the space; idle ones and other contexts catch up when they come back (PCID generations)
 * - lazily: nobody, where the manual allows; frames wait until all have passed a quiescent point (LATR)
 *
 * Processors take turns by virtual time: the one that is furthest behind does its next step. A timer ticks every millisecond.
 */
import { physicalMapFromJson } from "@pagewright/machine";
import { createStack } from "@pagewright/stack";
import type { Stack } from "@pagewright/stack";
import { MemorySwap, WRITE } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";

const PAGE = 4096;
const CPUS = 4;
const TICK_NS = 1_000_000;

type Way = "everybody" | "holders" | "lazily";

/** One step of a processor; false: it has done its share. */
type Step = (cpu: number) => boolean;

interface Outcome {
  readonly interrupts: number;
  readonly microseconds: number;
}

function stackFor(way: Way, residentLimit: number): Stack {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 64 * 2 ** 20, type: 1 }] });
  const stack = createStack({
    map,
    cpus: CPUS,
    timing: { cache: { bytes: 2 ** 21, ways: 16 } },
    lazyShootdown: way === "lazily",
    residentLimit,
    swap: [new MemorySwap(65536)],
  });
  if (way === "everybody") interruptEverybody(stack);
  return stack;
}

/** Interrupts processors too that hold nothing, or need not know now. */
function interruptEverybody({ control, machine }: Stack): void {
  const visited = new Map<number, Set<number>>();
  const activate = control.activate.bind(control);
  control.activate = (root, asid, cpu) => {
    const seen = visited.get(asid) ?? new Set();
    visited.set(asid, seen.add(cpu));
    activate(root, asid, cpu);
  };
  const shootdown = control.shootdown.bind(control);
  control.shootdown = (asid, vpns, count, freesTables) => {
    const told = new Set<number>();
    const { call } = control;
    let from = -1;
    control.call = (sender, targets, work) => {
      from = sender;
      for (const target of targets) told.add(target);
      call(sender, targets, work);
    };
    shootdown(asid, vpns, count, freesTables);
    control.call = call;
    const others = [...(visited.get(asid) ?? [])].filter((cpu) => !told.has(cpu) && !isHere(cpu));
    control.stats.interrupts += others.length;
    if (others.length > 0)
      call(from < 0 ? running : from, others, (cpu) => {
        if (count < 0) machine.cpus[cpu]?.flushTlb();
        else for (let at = 0; at < count; at++) machine.cpus[cpu]?.invlpg(vpns[at]! * PAGE);
      });
  };
}

/** The processor that does its step now. */
let running = 0;
const isHere = (cpu: number): boolean => cpu === running;

function race(stack: Stack, step: Step): Outcome {
  const { clock } = stack.machine;
  clock.times.fill(0);
  const before = stack.control.stats.interrupts;
  const ticked = new Float64Array(CPUS);
  const done = new Array<boolean>(CPUS).fill(false);
  const ends = new Float64Array(CPUS);
  while (done.includes(false)) {
    let next = -1;
    for (let cpu = 0; cpu < CPUS; cpu++)
      if (done[cpu] !== true && (next < 0 || clock.times[cpu]! < clock.times[next]!)) next = cpu;
    running = next;
    if (clock.times[next]! - ticked[next]! > TICK_NS) {
      ticked[next] = clock.times[next]!;
      stack.as(next, () => {
        stack.tick(next);
        stack.vmm.background(8);
      });
    }
    if (!stack.as(next, () => step(next))) {
      done[next] = true;
      ends[next] = clock.times[next]!;
      stack.rest(next);
    }
  }
  return { interrupts: stack.control.stats.interrupts - before, microseconds: Math.max(...ends) / 1000 };
}

function spaceWith(stack: Stack, pages: number): [AddressSpace, number] {
  const space = stack.vmm.createSpace();
  const at = space?.map({ bytes: pages * PAGE });
  if (space === null || typeof at !== "number") throw new Error("no memory");
  for (let page = 0; page < pages; page++) space.fault(at + page * PAGE, WRITE);
  return [space, at];
}

/** A server: four threads map a buffer, use it beside their working set, and unmap it, over and over. */
function unmapHeavy(way: Way): Outcome {
  const stack = stackFor(way, Infinity);
  const [space, base] = spaceWith(stack, 256);
  const rounds = new Int32Array(CPUS);
  for (let cpu = 0; cpu < CPUS; cpu++) stack.enter(space, cpu);
  return race(stack, (number) => {
    const cpu = stack.enter(space, number);
    const buffer = Number(space.map({ bytes: 8 * PAGE }));
    for (let page = 0; page < 8; page++) cpu.store32(buffer + page * PAGE, page);
    for (let use = 0; use < 200; use++) cpu.load32(base + ((use * 7 + number * 64) & 255) * PAGE);
    space.unmap(buffer, 8 * PAGE);
    return ++rounds[number]! < 250;
  });
}

/** Eight programs on four processors that change places, idle between, and give memory back; frames run short, so that pages leave too. */
function multiProcess(way: Way): Outcome {
  const stack = stackFor(way, 780);
  const programs = Array.from({ length: 8 }, () => spaceWith(stack, 100));
  const rounds = new Int32Array(CPUS);
  return race(stack, (number) => {
    const turn = rounds[number]!;
    if (turn % 5 === 4) {
      stack.rest(number);
      stack.machine.clock.spend(number, 20_000);
    } else {
      const [space, base] = programs[(turn + number * 3) & 7] ?? [];
      if (space === undefined || base === undefined) return false;
      const cpu = stack.enter(space, number);
      for (let use = 0; use < 300; use++) cpu.load32(base + ((use * 11 + turn) % 90) * PAGE);
      const buffer = Number(space.map({ bytes: 12 * PAGE }));
      for (let page = 0; page < 12; page++) cpu.store32(buffer + page * PAGE, page);
      space.unmap(buffer, 12 * PAGE);
    }
    return ++rounds[number]! < 300;
  });
}

for (const [metric, workload] of [
  ["munmap-heavy", unmapHeavy],
  ["multi-process", multiProcess],
] as const) {
  const eager = workload("everybody");
  for (const way of ["everybody", "holders", "lazily"] as const) {
    const { interrupts, microseconds } = way === "everybody" ? eager : workload(way);
    figure(`${metric}, ${way}: interrupts`, interrupts, "interrupts", eager.interrupts);
    figure(`${metric}, ${way}: virtual time`, microseconds, "us", eager.microseconds);
  }
}

function figure(metric: string, value: number, unit: string, beside: number): void {
  const ratio = value / beside;
  const line = { bench: "stack/shootdown", metric, value, unit, ratioTo: "everybody", ratio };
  const text = `${metric} ${value.toFixed(0)} ${unit} (${ratio.toFixed(3)} x everybody)`;
  process.stdout.write(`${process.argv.includes("--json") ? JSON.stringify(line) : text}\n`);
}
