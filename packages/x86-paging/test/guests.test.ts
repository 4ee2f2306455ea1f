import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import {
  compareTables,
  linuxPageTables,
  lint,
  MODE_4_LEVEL,
  PagingState,
  qemuMem,
  qemuTlb,
  reachableTables,
  runs,
  xv6Tree,
} from "@pagewright/x86-paging";
import { withInputs } from "@pagewright/tooling/inputs";
import { describe, expect, test } from "vitest";
import { SparseMemory } from "./support/memory.ts";

function load(dir: string): { memory: SparseMemory; states: PagingState[] } {
  const memory = new SparseMemory();
  const bytes = gunzipSync(readFileSync(join(dir, "tables.bin.gz")));
  for (let at = 0; at < bytes.length; at += 4104) {
    const words = memory.make(Number(bytes.readBigUInt64LE(at) / 4096n));
    words.forEach((_, i) => (words[i] = bytes.readUInt32LE(at + 8 + 4 * i)));
  }
  const registers = readFileSync(join(dir, "registers.txt"), "utf8");
  const states = [...registers.matchAll(/CR3=([0-9a-f]+)/g)].map(
    (match) => new PagingState({ mode: MODE_4_LEVEL, root: Math.floor(parseInt(match[1] ?? "0", 16) / 4096) }),
  );
  return { memory, states };
}

withInputs("page tables of a running Linux", (inputs) => {
  for (const guest of readdirSync(join(inputs, "guests"))) {
    const dir = join(inputs, "guests", guest);
    describe(guest, () => {
      const { memory, states } = load(dir);
      states.forEach((state, cpu) => {
        test(`processor ${cpu}: info tlb and info mem come out to the byte`, () => {
          const wanted = (kind: string): string =>
            gunzipSync(readFileSync(join(dir, `cpu${cpu}-info-${kind}.txt.gz`))).toString();
          expect([...qemuTlb(state, memory)].join("") === wanted("tlb")).toBe(true);
          expect([...qemuMem(state, memory)].join("") === wanted("mem")).toBe(true);
        });
      });

      test("the tables recorded are exactly those reachable", () => {
        const reached = new Set(states.flatMap((state) => reachableTables(state, memory).map((use) => use.pfn)));
        for (const pfn of memory.frames.keys()) expect(reached.has(pfn)).toBe(true);
      });

      test("Linux's own style covers the address space without a gap", () => {
        const [state] = states;
        if (state === undefined) throw new Error("no processor");
        let at = 0n;
        for (const line of linuxPageTables(state, memory)) {
          const match = /^0x([0-9a-f]{16})-0x([0-9a-f]{16}) /.exec(line);
          if (match === null) continue;
          const start = BigInt(`0x${match[1] ?? ""}`);
          if (start !== at && !(at === 0x8000_0000_0000n && start === 0xffff_8000_0000_0000n)) expect(start).toBe(at);
          at = BigInt(`0x${match[2] ?? ""}`);
        }
        expect(at).toBe(0n);
      });

      test("two processors' tables differ in user space, and a space does not differ from itself", () => {
        const [first, second] = states;
        if (first === undefined || second === undefined) throw new Error("two processors expected");
        expect([...compareTables(first, memory, first, memory)]).toEqual([]);
        const differences = [...compareTables(first, memory, second, memory)];
        expect(differences.length).toBeGreaterThan(0);
        const back = [...compareTables(second, memory, first, memory)];
        const pages = (list: typeof back, kind: string): number =>
          list.reduce((sum, one) => sum + (one.kind === kind ? one.pages : 0), 0);
        expect(pages(back, "mapped")).toBe(pages(differences, "unmapped"));
      });

      test("lint names the linear map and how much of RAM it exposes, and the tree shows every table once", () => {
        const [state] = states;
        if (state === undefined) throw new Error("no processor");
        const findings = lint(state, memory, { ram: [{ start: 0, end: 32768 }] });
        const linear = findings.find((finding) => finding.rule === "linear-map");
        const unmapsKernel = guest.endsWith("-pti");
        if (unmapsKernel) expect(linear).toBeUndefined();
        else expect(linear?.sentence).toMatch(/\d+ bytes of RAM \(9\d\.\d %\)/);
        expect(findings.filter((finding) => finding.rule === "loop")).toEqual([]);
        expect([...xv6Tree(state, memory)].length).toBeLessThan(40_000);
        expect([...runs(state, memory)].length).toBeGreaterThan(100);
      });
    });
  }
});
