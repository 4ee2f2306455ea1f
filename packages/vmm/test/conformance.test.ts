/** The suites of the ports on every implementation here, naive ones included. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, test } from "vitest";

import { CR4_LA57, EFER_NXE, LONG_MODE, Machine, physicalMapFromJson, type Registers } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import {
  ACCESSED,
  DIRTY,
  ManualClock,
  MemoryBacking,
  MemorySwap,
  NO_FRAME,
  PRESENT,
  PlainMemory,
  PlainTables,
  PlainTranslationSystem,
  SeededRandom,
  type EntrySink,
  type FlushSink,
  type FrameHints,
  type FrameSource,
  type Pfn,
  type TranslationTables,
  type Vpn,
} from "@pagewright/vmm";
import { BlobBacking } from "@pagewright/vmm/browser";
import { FileBacking, FileSwap } from "@pagewright/vmm/node";
import { policies } from "@pagewright/vmm/policies";
import {
  POLICY_FRAMES,
  POLICY_SLOTS,
  asyncBackingStoreSuite,
  asyncSwapStoreSuite,
  backingStoreSuite,
  compressorSuite,
  clockSuite,
  frameSourceSuite,
  frameWindowSuite,
  largeLeavesSuite,
  memoryTypesSuite,
  randomSuite,
  replacementPolicySuite,
  swapStoreSuite,
  tableStructureSuite,
  tlbControlSuite,
  translationTablesSuite,
  type ConformanceCase,
  type TablesFixture,
  type TlbFixture,
} from "@pagewright/vmm/testing";
import { rootWords, X86System } from "@pagewright/vmm/x86";
import { MODE_4_LEVEL, MODE_5_LEVEL, MODE_PAE, type PagingMode } from "@pagewright/x86-paging";

import { Lz4Block } from "../src/swap/compress/lz4-block.ts";
import { Wkdm } from "../src/swap/compress/wkdm.ts";
import { LateSwap } from "./kit/late-swap.ts";

const folder = mkdtempSync(join(tmpdir(), "pagewright-conformance-"));
let files = 0;
const newPath = (): string => join(folder, String(files++));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function run<T>(name: string, suite: readonly ConformanceCase<T>[], make: () => T): void {
  describe(name, () => {
    for (const each of suite) test(each.name, () => each.run(make));
  });
}

/** The naive tables: a Map. */
class MapTables implements TranslationTables {
  readonly root: number;
  frame: Pfn = NO_FRAME;
  readonly entries: Map<Vpn, [Pfn, number]> = new Map();
  constructor(root: number) {
    this.root = root;
  }
  map(vpn: Vpn, pfn: Pfn, attributes: number, plan: FlushSink): boolean {
    if (this.entries.has(vpn)) plan.invalidate(vpn);
    this.entries.set(vpn, [pfn, attributes + PRESENT]);
    return true;
  }
  fill(vpn: Vpn, pfn: Pfn, attributes: number): boolean {
    if (this.entries.has(vpn)) return false;
    this.entries.set(vpn, [pfn, attributes + PRESENT]);
    return true;
  }
  unmap(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void {
    for (const [vpn, [pfn, state]] of [...this.entries]) {
      if (vpn < start || vpn >= end) continue;
      this.entries.delete(vpn);
      plan.invalidate(vpn);
      sink?.entry(vpn, pfn, state);
    }
  }
  protect(start: Vpn, end: Vpn, attributes: number, plan: FlushSink): void {
    for (const [vpn, entry] of this.entries) {
      if (vpn < start || vpn >= end) continue;
      entry[1] = (entry[1] & (ACCESSED | DIRTY)) + attributes + PRESENT;
      plan.invalidate(vpn);
    }
  }
  query(vpn: Vpn): number {
    const [pfn, state] = this.entries.get(vpn) ?? [this.frame, 0];
    this.frame = pfn;
    return state;
  }
  harvest(start: Vpn, end: Vpn, bits: number, plan: FlushSink, sink: EntrySink): void {
    for (const [vpn, entry] of this.entries) {
      const [pfn, state] = entry;
      if (vpn < start || vpn >= end || (state & bits) === 0) continue;
      entry[1] = state & ~bits;
      plan.invalidate(vpn);
      sink.entry(vpn, pfn, state);
    }
  }
  destroy(plan: FlushSink): void {
    this.entries.clear();
    plan.invalidateSpace();
  }
}

function naiveTables(): TablesFixture {
  let roots = 0;
  return {
    system: { kernel: null, structure: null, create: () => new MapTables(++roots) },
    use: (tables, vpn, bits) => {
      const entry = tables instanceof MapTables ? tables.entries.get(vpn) : undefined;
      if (entry !== undefined) entry[1] |= bits;
    },
    giveTable: () => undefined,
  };
}

function plainTables(): TablesFixture {
  return {
    system: new PlainTranslationSystem(),
    use: (tables, vpn, bits) => {
      if (tables instanceof PlainTables) tables.use(vpn, bits);
    },
    giveTable: () => undefined,
  };
}

/** Frames that can be made to run out. */
class Starving implements FrameSource {
  readonly source: FrameSource;
  starved = false;
  taken = 0;
  constructor(source: FrameSource) {
    this.source = source;
  }
  take(hints?: FrameHints): Pfn {
    if (this.starved) return NO_FRAME;
    this.taken++;
    return this.source.take(hints);
  }
  give(pfn: Pfn, order?: number): void {
    this.taken--;
    this.source.give(pfn, order);
  }
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    const taken = this.starved ? 0 : this.source.takeMany(into, count, hints);
    this.taken += taken;
    return taken;
  }
  giveMany(frames: Float64Array, count: number): void {
    this.taken -= count;
    this.source.giveMany(frames, count);
  }
}

/** Registers that switch a paging mode on. */
const REGISTERS = new Map<PagingMode, Registers>([
  [MODE_4_LEVEL, LONG_MODE],
  [MODE_5_LEVEL, { ...LONG_MODE, cr4: LONG_MODE.cr4 + CR4_LA57 }],
  [MODE_PAE, { ...LONG_MODE, efer: EFER_NXE }],
]);

function x86System(mode: PagingMode = MODE_4_LEVEL): { system: X86System; frames: Starving } {
  const map = physicalMapFromJson({ entries: [{ base: "0x100000", end: "0x1ffffff", type: 1 }] });
  const machine = new Machine({ map, registers: REGISTERS.get(mode) ?? LONG_MODE });
  const frames = new Starving(new Pmm({ ranges: map.frameRanges() }));
  return {
    system: new X86System({ cpus: machine.cpus, current: () => 0, bootMemory: machine.memory, frames, mode }),
    frames,
  };
}

function x86Tables(mode?: PagingMode): TablesFixture {
  const { system, frames } = x86System(mode);
  return {
    system,
    tableFrames: () => frames.taken,
    starve: () => {
      frames.starved = true;
    },
    giveTable: (pfn) => {
      frames.give(pfn);
    },
  };
}

/** Tables of the space made last are reached through its recursive slot, those of others through windows. */
function x86Recursive(): TablesFixture {
  const map = physicalMapFromJson({ entries: [{ base: "0x100000", end: "0x1ffffff", type: 1 }] });
  const { cpus, memory } = new Machine({ map });
  const frames = new Starving(new Pmm({ ranges: map.frameRanges() }));
  const system = new X86System({ cpus, current: () => 0, bootMemory: memory, frames, recursiveSlot: 510 });
  return {
    system: {
      kernel: system.kernel,
      structure: system.structure,
      create: () => {
        const tables = system.create();
        if (tables !== null) cpus[0]?.writeCr3(...rootWords(tables.root));
        return tables;
      },
    },
    tableFrames: () => frames.taken,
    starve: () => {
      frames.starved = true;
    },
    giveTable: (pfn) => {
      frames.give(pfn);
    },
  };
}

run("TranslationTables: a Map", translationTablesSuite, naiveTables);
run("TranslationTables: in plain memory", translationTablesSuite, plainTables);
run("TranslationTables: x86 through kernel windows", translationTablesSuite, () => x86Tables());
run("LargeLeaves: in plain memory", largeLeavesSuite, plainTables);
run("LargeLeaves: x86 through kernel windows", largeLeavesSuite, () => x86Tables());
run("LargeLeaves: x86 with PAE", largeLeavesSuite, () => x86Tables(MODE_PAE));
run("LargeLeaves: x86 with five levels", largeLeavesSuite, () => x86Tables(MODE_5_LEVEL));
run("TranslationTables: x86 through a recursive slot", translationTablesSuite, x86Recursive);
run("TableStructure: x86 through a recursive slot", tableStructureSuite, x86Recursive);
run("TableStructure: in plain memory", tableStructureSuite, plainTables);
run("TableStructure: x86", tableStructureSuite, () => x86Tables());

run("BackingStore: memory", backingStoreSuite, () => new MemoryBacking(0));
run("BackingStore: a file of Node", backingStoreSuite, () => new FileBacking(newPath(), { create: true }));
run("AsyncBackingStore: a Blob", asyncBackingStoreSuite, () => {
  const content = Uint8Array.from({ length: 10_001 }, (_, at) => at % 253);
  return Promise.resolve({ store: new BlobBacking(new Blob([content])), content });
});

run("SwapStore: memory", swapStoreSuite, () => new MemorySwap(32));
run("AsyncSwapStore: memory, later", asyncSwapStoreSuite, () => Promise.resolve(new LateSwap(32)));
run("SwapStore: a file of Node", swapStoreSuite, () => new FileSwap(newPath(), 32));

run("FrameSource: plain memory", frameSourceSuite, () => new PlainMemory(1536));
run("FrameSource: pmm", frameSourceSuite, () => {
  const range = { start: 4096, end: 6144, node: 0, rank: 0, hotPluggable: false, faulty: [] };
  return new Pmm({ ranges: [range] });
});
run("FrameWindow: plain memory", frameWindowSuite, () => ({ window: new PlainMemory(4), frames: [1, 2] as const }));
run("FrameWindow: kernel windows of a processor", frameWindowSuite, () => {
  return { window: x86System().system.windows, frames: [4000, 4001] as const };
});

run("Compressor: LZ4", compressorSuite, () => new Lz4Block());
run("Compressor: WKdm", compressorSuite, () => new Wkdm());

for (const [name, make] of Object.entries(policies))
  if (name !== "opt")
    run(`ReplacementPolicy: ${name}`, replacementPolicySuite, () =>
      make({ slots: POLICY_SLOTS, frames: POLICY_FRAMES, requests: new Uint32Array(0) }),
    );

/** Processors that remember one translation each, told at once about everything. */
function naiveControl(): TlbFixture {
  const remembered: number[] = [-1, -1];
  const inside = [false, false];
  let frame = 7;
  const forget = (): void => {
    remembered.fill(-1);
  };
  const reach = (cpu: number): number => {
    if (inside[cpu] !== true) return -1;
    const known = remembered[cpu] ?? -1;
    if (known < 0) remembered[cpu] = frame;
    return known < 0 ? frame : known;
  };
  return {
    control: {
      invalidate: forget,
      shootdown: forget,
      later: () => false,
      settle: () => undefined,
      ticket: () => 0,
      quiesced: () => 0,
      activate: (_root, _asid, cpu) => {
        inside[cpu] = true;
        remembered[cpu] = -1;
      },
      retire: () => inside.fill(false),
    },
    cpus: 2,
    root: 1,
    asid: 1,
    page: 5,
    run: () => undefined,
    reach,
    repoint: () => ++frame,
  };
}

run("TlbControl and AddressSpaceSwitch, naive", tlbControlSuite, naiveControl);
run("MemoryTypes, naive", memoryTypesSuite, () => ({
  types: { effective: (_start, _frames, wanted) => wanted, flushCaches: () => undefined },
  start: 0,
  frames: 4,
}));
run("Clock, moved by hand", clockSuite, () => new ManualClock());
run("Random, from a seed", randomSuite, () => new SeededRandom(1));
