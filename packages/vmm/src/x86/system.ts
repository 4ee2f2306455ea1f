/**
 * x86 page tables for all spaces: boots the kernel half with its windows, and makes roots that share it.
 *
 * ```
 *  4-level root   0 ─────────── 255 │ 256 ── 510 │ 511
 *                 a space's own     │ empty      │ kernel: one table for all spaces: kernel regions, then windows at the end
 * ```
 * The kernel's entry of the root is made at boot and never changes, so that no root has to be brought up to date. The table behind it is never empty: the
 * windows live there.
 */
import {
  MODE_4_LEVEL,
  Mapper,
  TableShares,
  attributes,
  installRecursiveSlot,
  levelOf,
  type PagingMode,
  type TableFrames,
  type TableMemory,
} from "@pagewright/x86-paging";

import { VmmError } from "../errors.ts";
import type { AddressLayout, FrameSource, TranslationSystem } from "../ports.ts";
import { NO_FRAME, PAGE_SIZE, TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import { AttributeMap, LINUX_PAT } from "./attributes.ts";
import type { KernelCpu } from "./kernel-cpu.ts";
import { X86LargeLeaves } from "./large-leaves.ts";
import { RecursiveTables } from "./recursive-tables.ts";
import { X86Structure } from "./structure.ts";
import { TableSource } from "./table-source.ts";
import { X86Tables } from "./tables.ts";
import { CpuWindows, KernelWindows, SELF_PAGE } from "./windows.ts";

/** What the system is made of. */
export interface X86SystemOptions {
  /** Processors, by number; their paging is switched to the kernel's tables here. */
  readonly cpus: readonly KernelCpu[];
  /** Which processor runs now. */
  readonly current: () => number;
  /** Words of physical memory as firmware leaves it, before paging: used at boot only. */
  readonly bootMemory: TableMemory;
  /** Where table frames come from. */
  readonly frames: FrameSource;
  /** 4-level paging by default; PAE for 32-bit kernels. */
  readonly mode?: PagingMode;
  /** Where roots come from, where CR3 cannot hold every frame: PAE needs them below 4 GiB. */
  readonly rootFrames?: TableFrames;
  /** PAT index of each memory type; what Linux programs by default. */
  readonly patIndex?: readonly number[];
  /** CR4.SMEP or CR4.SMAP is on. */
  readonly supervisorGuards?: boolean;
  /** Root entry through which tables of the running space are reached, between the halves' own: 256 to 510 in 4-level paging. Absent: windows alone. */
  readonly recursiveSlot?: number;
}

/** Memory of tables: as firmware leaves it until the windows stand, through the windows, or a recursive slot beside them, from then on. */
class BootableMemory implements TableMemory {
  target: TableMemory;
  windows: KernelWindows | null = null;
  recursive: RecursiveTables | null = null;

  constructor(target: TableMemory) {
    this.target = target;
  }

  /** Whoever still shows the frame stops. */
  forget(pfn: Pfn): void {
    if (this.windows !== null) this.windows.forget(pfn);
    this.recursive?.forget();
  }

  /** Makes a frame that is in no table yet read as zero. */
  zero(pfn: Pfn): void {
    const memory = this.windows ?? this.target;
    const words = memory.words(pfn);
    const base = memory.base(pfn);
    words.fill(0, base, base + PAGE_SIZE / 4);
  }

  words(pfn: Pfn): Uint32Array {
    return this.target.words(pfn);
  }

  base(pfn: Pfn): number {
    return this.target.base(pfn);
  }
}

/** The tables of all spaces. */
export class X86System implements TranslationSystem {
  /** See {@link TranslationSystem.structure}. */
  readonly structure: X86Structure = new X86Structure();
  /** See {@link TranslationSystem.large}. */
  readonly large: X86LargeLeaves;
  /** See {@link TranslationSystem.layout}. */
  readonly layout: AddressLayout;
  /** Tables of the kernel half. */
  readonly kernel: X86Tables;
  /** The only way to frames. */
  readonly windows: KernelWindows;
  /** The way to the running space's tables through a slot of its root, null where there is none. */
  readonly recursive: RecursiveTables | null;
  /** Frames of tables. */
  readonly source: TableSource;
  readonly #mode: PagingMode;
  readonly #memory: BootableMemory;
  readonly #attributes: AttributeMap;
  readonly #guards: boolean;
  /** How often tables that several roots use are referred to. */
  readonly shares: TableShares = new TableShares();

  /** Boots: kernel root, windows of all processors, paging switched over. Throws `port-contract` if no frames are there. */
  constructor(options: X86SystemOptions) {
    const mode = options.mode ?? MODE_4_LEVEL;
    if (mode.entryWords !== 2)
      throw new VmmError("bad-argument", "Windows need 8-byte entries: 4-level or PAE paging.");
    this.#mode = mode;
    this.#guards = options.supervisorGuards ?? false;
    const memory = new BootableMemory(options.bootMemory);
    this.#memory = memory;
    this.#attributes = new AttributeMap(options.patIndex ?? LINUX_PAT, true);
    this.layout = layoutOf(mode, options.cpus.length);
    this.source = new TableSource(
      options.frames,
      (pfn) => {
        memory.zero(pfn);
      },
      (pfn) => memory.forget(pfn),
      options.rootFrames ?? null,
    );
    this.large = new X86LargeLeaves(mode, this.source);
    const kernel = this.#newMapper();
    if (kernel === null) throw new VmmError("port-contract", "There is no frame for the kernel's root.");
    this.kernel = new X86Tables(kernel, this.#attributes, this.source, () => undefined);
    const windows = options.cpus.map((cpu, at) =>
      this.#bootWindows(kernel, cpu, this.layout.kernelHigh + at * TABLE_PAGES),
    );
    this.windows = new KernelWindows(windows, options.current);
    for (const cpu of options.cpus) cpu.writeCr3(...rootWords(kernel.root));
    memory.target = this.windows;
    memory.windows = this.windows;
    this.recursive = options.recursiveSlot === undefined ? null : this.#bootSlot(options.recursiveSlot, options);
  }

  /** Lets the kernel's root refer to itself, and tables be reached that way. */
  #bootSlot(slot: number, { cpus, current }: X86SystemOptions): RecursiveTables {
    const top = levelOf(this.#mode, this.#mode.depth);
    const { editor } = this.kernel.mapper;
    const start = slot * top.pages;
    if (start < this.layout.userHigh || start + top.pages > editor.rawOf(this.layout.kernelLow))
      throw new VmmError("bad-argument", "A recursive slot lies between the halves' own entries.", { slot });
    const recursive = new RecursiveTables(this.#mode, slot, cpus, current, this.windows);
    installRecursiveSlot(this.kernel.mapper, slot);
    this.#memory.recursive = recursive;
    this.#memory.target = recursive;
    this.source.isRecursive = true;
    return recursive;
  }

  /** See {@link TranslationSystem.create}. */
  create(): X86Tables | null {
    const mapper = this.#newMapper();
    if (mapper === null) return null;
    const { entries } = levelOf(this.#mode, this.#mode.depth);
    const first = this.#firstKernelEntry(entries);
    const shared = this.#entries(this.kernel.root, first, entries);
    this.#write(mapper.root, first, shared);
    const { recursive } = this;
    if (recursive !== null) installRecursiveSlot(mapper, recursive.slot);
    return new X86Tables(mapper, this.#attributes, this.source, (root) => {
      this.#write(root, first, new Uint32Array(shared.length));
      if (recursive !== null) this.#write(root, recursive.slot, new Uint32Array(2));
    });
  }

  /** Frames that hold tables now, the kernel's included. */
  get tableFrames(): number {
    return this.source.taken;
  }

  /** A mapper over an empty root, null: no frame. */
  #newMapper(): Mapper | null {
    const root = this.source.takeRoot();
    if (root === NO_FRAME) return null;
    return new Mapper(
      {
        mode: this.#mode,
        memory: this.#memory,
        frames: this.source,
        shares: this.shares,
        supervisorGuards: this.#guards,
      },
      root,
    );
  }

  /** Makes a leaf table for a processor's windows and lets it map itself. */
  #bootWindows(kernel: Mapper, cpu: KernelCpu, base: Vpn): CpuWindows {
    const self = base + SELF_PAGE;
    const packed = attributes({ write: true, global: true });
    const made = kernel.map(self, 1, kernel.root, packed, { level: 1 });
    if (!made.ok)
      throw new VmmError("port-contract", "There is no frame for the windows' tables.", { reason: made.reason });
    const { editor } = kernel;
    const raw = editor.rawOf(self);
    let table = kernel.root;
    for (let n = this.#mode.depth; n > 1; n--) {
      const level = editor.level(n);
      editor.read(table, Math.floor(raw / level.pages) & (level.entries - 1));
      table = editor.tableFrame(level);
    }
    editor.replace(table, SELF_PAGE, 0, 0);
    editor.writeLeaf(table, SELF_PAGE, editor.level(1), table, packed + 192);
    return new CpuWindows(cpu, base, true);
  }

  #firstKernelEntry(entries: number): number {
    const raw = this.kernel.mapper.editor.rawOf(this.layout.kernelLow);
    return Math.floor(raw / levelOf(this.#mode, this.#mode.depth).pages) & (entries - 1);
  }

  #entries(root: Pfn, first: number, end: number): Uint32Array {
    const words = this.#memory.words(root);
    const base = this.#memory.base(root);
    return words.slice(base + first * 2, base + end * 2);
  }

  #write(root: Pfn, first: number, entries: Uint32Array): void {
    const words = this.#memory.words(root);
    words.set(entries, this.#memory.base(root) + first * 2);
  }
}

/** What goes into CR3 for a root, as low and high words. */
export function rootWords(root: Pfn): [number, number] {
  const address = root * PAGE_SIZE;
  return [address >>> 0, Math.floor(address / 4294967296)];
}

/** The kernel has the last entry of the root; its windows, one leaf table per processor, are at the end of it. */
function layoutOf(mode: PagingMode, cpus: number): AddressLayout {
  const windows = cpus * TABLE_PAGES;
  const top = levelOf(mode, mode.depth);
  if (mode.definition.extension === "sign") {
    const half = (top.pages * top.entries) / 2;
    return { userLow: 16, userHigh: half - 1, kernelLow: -top.pages, kernelHigh: -TABLE_PAGES - windows };
  }
  const end = top.pages * top.entries;
  return {
    userLow: 16,
    userHigh: end - top.pages,
    kernelLow: end - top.pages,
    kernelHigh: end - TABLE_PAGES - windows,
  };
}
