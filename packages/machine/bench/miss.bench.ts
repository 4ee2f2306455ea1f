/**
 * What a TLB miss with its walk costs, and what bulk copies reach of TypedArray.set.
 *
 *   node --conditions=@pagewright/source --import tsx bench/miss.bench.ts [--json]
 */
import { firmwareMapOf, Machine, MIB, PhysicalMap, PLAIN_64X4_TLB, ROOMY_TLB } from "@pagewright/machine";
import type { Cpu, TlbGeometry } from "@pagewright/machine";

/** Sixteen times what the first-level TLBs below hold, yet little enough for the host's own caches. */
const PAGES = 1024;
const ROUNDS = 10;
const SAMPLES = 300;
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

function mapped(tlb: TlbGeometry): Cpu {
  const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(512 * MIB), type: 1 }]));
  const machine = new Machine({ map, tlb });
  const cpu = machine.cpus[0];
  if (cpu === undefined) throw new Error("no CPU");
  const { memory } = machine;
  memory.write(0x1000, 4, 0x2007);
  memory.write(0x2000, 4, 0x3007);
  for (let table = 0; table * 512 < PAGES; table++) memory.write(0x3000 + table * 8, 4, (16 + table) * 4096 + 7);
  for (let page = 0; page < PAGES; page++) memory.write(16 * 4096 + page * 8, 4, (65536 + page) * 4096 + 0x67);
  cpu.writeCr3(0x1000);
  for (let page = 0; page < PAGES; page++) cpu.store32(page * 4096, page);
  return cpu;
}

const CACHED_TLB: TlbGeometry = {
  ...PLAIN_64X4_TLB,
  name: "64x4, PD cached",
  structures: { pml4: 4, pdpt: 4, pd: 32 },
};
for (const tlb of [PLAIN_64X4_TLB, CACHED_TLB]) {
  const cpu = mapped(tlb);
  const addresses = Float64Array.from({ length: PAGES }, (_, i) => {
    const page = (i * 7919) & (PAGES - 1);
    return page * 4096 + ((page * 68) & 0xffc);
  });
  const before = cpu.stats().dataMisses;
  const time = seconds(() => {
    for (let round = 0; round < ROUNDS; round++) for (let i = 0; i < PAGES; i++) cpu.load32(addresses[i]!);
  });
  const missed = (cpu.stats().dataMisses - before) / SAMPLES / ROUNDS / PAGES;
  const each = (time / ROUNDS / PAGES) * 1e9;
  figure(
    `load32 missing the ${tlb.name} TLB (${Math.round(missed * 100)} % misses)`,
    each,
    "ns",
    "target of 80 ns",
    each / 80,
  );
}

{
  const cpu = mapped(ROOMY_TLB);
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
if (process.argv.includes("--json")) for (const one of figures) console.log(JSON.stringify(one));
