import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MIB, PLAIN_64X4_TLB } from "@pagewright/machine";
import { expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";
import { readPageTrace } from "./page-trace.ts";

type Reference = Record<string, Record<"dtlb64x4" | "itlb64x4", { readonly misses: number }>>;

/** Registers a test for each window trace that `wanted` chooses: its TLB misses equal the reference. */
export function testTraceMisses(dir: string, wanted: (name: string) => boolean): void {
  const text = readFileSync(join(dir, "page-traces-reference.json"), "utf8");
  const { traces } = JSON.parse(text) as { readonly traces: Reference };
  for (const [name, expected] of Object.entries(traces)) {
    if (!name.endsWith(".window") || !wanted(name)) continue;
    test(`${name}: a 64-entry, 16-set, 4-way LRU TLB misses as often as the reference`, () => {
      const trace = readPageTrace(join(dir, "page-traces", `${name}.pgt.gz`));
      const machine = ramMachine(512 * MIB, { tlb: PLAIN_64X4_TLB });
      const cpu = cpuOf(machine);
      const tables = new Tables(machine, 1);
      trace.pages.forEach((vpn, page) => tables.map(vpn * 4096, 32768 + page, 7));
      tables.activate(cpu);
      const addresses = trace.pages.map((vpn) => vpn * 4096);
      trace.kinds.forEach((kind, record) => {
        const va = addresses[trace.pageOf[record] ?? 0] ?? 0;
        if (kind === 0) cpu.fetch32(va);
        else if (kind === 1) cpu.load32(va);
        else cpu.store32(va, record);
      });
      const { dataMisses, codeMisses, pageFaults } = cpu.stats();
      expect({ dataMisses, codeMisses, pageFaults }).toEqual({
        dataMisses: expected.dtlb64x4.misses,
        codeMisses: expected.itlb64x4.misses,
        pageFaults: 0,
      });
      machine.check();
    });
  }
}
