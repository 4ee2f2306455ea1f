/**
 * What a TLB miss with its walk costs, and what bulk copies reach of TypedArray.set.
 *
 *   node --conditions=@pagewright/source --import tsx bench/miss.bench.ts [--json]
 */
import { spawnSync } from "node:child_process";

import {
  firmwareMapOf,
  Machine,
  MIB,
  PhysicalMap,
  PLAIN_64X4_TLB,
  ROOMY_TLB,
  SKYLAKE_TLB,
  ZEN2_TLB,
} from "@pagewright/machine";
import type { Cpu, TlbGeometry } from "@pagewright/machine";

const ROUNDS = 20;
const SAMPLES = 600;
const figures: unknown[] = [];

function figure(metric: string, value: number, unit: string, ratioTo: string, ratio: number): void {
  figures.push({ bench: "machine/miss", metric, value, unit, ratioTo, ratio });
  if (!process.argv.includes("--json"))
    console.log(`${metric}: ${value.toFixed(1)} ${unit} (${ratio.toFixed(2)} × ${ratioTo})`);
}

function seconds(run: () => void): number {
  let least = Infinity;
  for (let sample = 0; sample < SAMPLES; sample++) {
    const start = process.hrtime.bigint();
    run();
    least = Math.min(least, Number(process.hrtime.bigint() - start) / 1e9);
  }
  return least;
}

/** A CPU that has 4K pages `vpns`, each used once, so that entries have A and D set. Tables are taken from frame 2 on, pages from frame 65536 on. */
function mapped(tlb: TlbGeometry, vpns: readonly number[]): Cpu {
  const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(512 * MIB), type: 1 }]));
  const machine = new Machine({ map, tlb });
  const cpu = machine.cpus[0];
  if (cpu === undefined) throw new Error("no CPU");
  const { memory } = machine;
  let tables = 2;
  vpns.forEach((vpn, at) => {
    let table = 1;
    for (let level = 3; level > 0; level--) {
      const entry = table * 4096 + (Math.floor(vpn / 512 ** level) & 511) * 8;
      if (memory.read(entry, 4) === 0) memory.write(entry, 4, tables++ * 4096 + 7);
      table = Math.floor(memory.read(entry, 4) / 4096);
    }
    memory.write(table * 4096 + (vpn & 511) * 8, 4, (65536 + at) * 4096 + 7);
  });
  cpu.writeCr3(0x1000);
  for (const vpn of vpns) cpu.store32(vpn * 4096, vpn);
  return cpu;
}

/**
 * Groups of 16 pages, `stride` pages from group to group: the pages of all groups meet in 16 sets of a TLB whose sets divide the stride, and there
 * are more of them than ways, so that every access misses every level. Few enough pages for the host's own caches.
 */
function scattered(groups: number, stride: number): number[] {
  return Array.from({ length: 16 * groups }, (_, at) => (at & 15) + Math.floor(at / 16) * stride);
}

const CACHED_TLB: TlbGeometry = {
  ...PLAIN_64X4_TLB,
  name: "64x4 with structure caches",
  structures: { pml4: 4, pdpt: 4, pd: 32 },
};
const WALKS: readonly (readonly [TlbGeometry, string, readonly number[]])[] = [
  [PLAIN_64X4_TLB, "from the root", scattered(16, 16)],
  [CACHED_TLB, "from a cached PD entry", scattered(16, 16)],
  [SKYLAKE_TLB, "from a cached PD entry", scattered(32, 128)],
  [ZEN2_TLB, "from a cached PD entry", scattered(32, 128)],
  [ROOMY_TLB, "from a cached PD entry", scattered(8, 2048)],
  [SKYLAKE_TLB, "from a cached PDPT entry", scattered(32, 4096)],
  [SKYLAKE_TLB, "from a cached PML4 entry", scattered(32, 512 * 512)],
];

/** Measures one row of WALKS. */
function measureWalk([tlb, from, vpns]: (typeof WALKS)[number]): void {
  const cpu = mapped(tlb, vpns);
  // An odd step visits every page before any comes again, in an order that no host can guess.
  const addresses = Float64Array.from(vpns, (_, at) => {
    const vpn = vpns[(at * 7919) % vpns.length] ?? 0;
    return vpn * 4096 + ((vpn * 68) & 0xffc);
  });
  const before = cpu.stats();
  const time = seconds(() => {
    for (let round = 0; round < ROUNDS; round++)
      for (let at = 0; at < addresses.length; at++) cpu.load32(addresses[at]!);
  });
  const after = cpu.stats();
  const loads = SAMPLES * ROUNDS * addresses.length;
  const missed = Math.round(((after.dataMisses - before.dataMisses) / loads) * 100);
  const reads = (after.walkReads - before.walkReads) / loads;
  const each = (time / ROUNDS / addresses.length) * 1e9;
  const metric = `load32 missing the ${tlb.name} TLB, walk ${from} (${missed} % misses, ${reads.toFixed(1)} entries read)`;
  figure(metric, each, "ns", "target of 80 ns", each / 80);
}

/** A load that faults, a handler that makes the page present and nothing else, the load tried again: what a CPU adds to an operating system's fault. */
function measureFault(): void {
  const vpns = scattered(16, 16);
  const cpu = mapped(ROOMY_TLB, vpns);
  const { memory } = cpu;
  const leaves = new Map(vpns.map((vpn) => [vpn, leafOf(memory, vpn)]));
  const at = Int32Array.from(
    vpns,
    (vpn) => memory.place(Math.floor((leaves.get(vpn) ?? 0) / 4096)) - 1 + (vpn & 511) * 2,
  );
  cpu.faultHandler = {
    pageFault: (_cpu, va): boolean => {
      const entry = at[Math.floor(va / 4096)]!;
      cpu.words[entry] = cpu.words[entry]! | 1;
      return true;
    },
  };
  let least = Infinity;
  for (let sample = 0; sample < SAMPLES; sample++) {
    for (const entry of at) cpu.words[entry] = cpu.words[entry]! & ~1;
    cpu.flushTlb();
    const start = process.hrtime.bigint();
    for (let page = 0; page < vpns.length; page++) cpu.load32(page * 4096);
    least = Math.min(least, Number(process.hrtime.bigint() - start) / vpns.length);
  }
  if (cpu.stats().pageFaults < SAMPLES * vpns.length) throw new Error("pages did not fault");
  figure("load32 that faults once: two walks and the delivery", least, "ns", "target of 80 ns for a walk", least / 80);
}

/** The address of the 4K leaf entry of `vpn` in tables whose root is frame 1. */
function leafOf(memory: Cpu["memory"], vpn: number): number {
  let table = 1;
  for (let level = 3; level > 0; level--)
    table = Math.floor(memory.read(table * 4096 + (Math.floor(vpn / 512 ** level) & 511) * 8, 4) / 4096);
  return table * 4096 + (vpn & 511) * 8;
}

function measureCopy(): void {
  const cpu = mapped(ROOMY_TLB, scattered(64, 16));
  const bytes = new Uint8Array(2 * MIB).fill(7);
  const target = new Uint8Array(2 * MIB);
  const bare = seconds(() => {
    target.set(bytes);
  });
  const through = seconds(() => {
    cpu.copyIn(64 * 4096, bytes);
  });
  figure("bulk copy of 2 MiB through translation", 2 / 1024 / through, "GiB/s", "TypedArray.set", bare / through);
}

/** Every measurement runs in a process of its own: in one they would share type feedback. */
const MEASUREMENTS: readonly (() => void)[] = [
  ...WALKS.map((walk) => (): void => {
    measureWalk(walk);
  }),
  measureFault,
  measureCopy,
];
const marker = "--measurement=";
const chosen = process.argv.find((word) => word.startsWith(marker));
if (chosen === undefined)
  MEASUREMENTS.forEach((_, at) => {
    const words = [...process.execArgv, ...process.argv.slice(1), `${marker}${at}`];
    if (spawnSync(process.execPath, words, { stdio: "inherit" }).status !== 0) process.exitCode = 1;
  });
else MEASUREMENTS[Number(chosen.slice(marker.length))]?.();
if (process.argv.includes("--json")) for (const one of figures) console.log(JSON.stringify(one));
