/** Everything that tables and TLBs reach, and what must be true of it. */
import { memoryTypeOf, levelOf, RIGHT_EXECUTE, RIGHT_USER, RIGHT_WRITE, tableFrameOf } from "@pagewright/x86-paging";
import type { PagingMode, Pfn } from "@pagewright/x86-paging";
import { EXECUTE, WRITE } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";
import type { Stack } from "../stack.ts";
import { frameText, pageText } from "./findings.ts";
import type { Findings } from "./findings.ts";
import { LargeLeafAudit } from "./large-leaves.ts";
import { TableCensus } from "./table-census.ts";
import type { Leaf } from "./table-census.ts";

/** Bits 5 and 6 of an entry: processors set them in their own root's copy, bit 6 where they come through a recursive slot. */
const USED_BITS = 0x60;

/** What the census of all spaces found. */
export interface Translations {
  /** Tables of all spaces and of the kernel half. */
  readonly tables: ReadonlyMap<Pfn, number>;
  /** How many leaves in regions, of users and of the kernel, reach each frame. */
  readonly pageLeaves: ReadonlyMap<Pfn, number>;
}

/** Walks the tables of every space, checks every leaf, and returns what they reach. */
export function auditTranslations(stack: Stack, mode: PagingMode, findings: Findings): Translations {
  const audit = new TranslationAudit(stack, mode, findings);
  for (const space of stack.vmm.core.spaces.values()) if (space !== stack.vmm.kernel) audit.userHalf(space);
  audit.kernelHalf();
  return audit;
}

/**
 * Checks that no TLB of any processor holds a translation to a frame that is not handed out, and that the processor could use before it has to drop it.
 */
export function auditTlbs(stack: Stack, findings: Findings): void {
  for (const cpu of stack.machine.cpus)
    cpu.mmu.tlb.forEach((vpn, pages, frame, pcid) => {
      for (let at = 0; at < pages; at++) {
        if (!stack.control.mayUse(cpu.id, pcid, vpn + at)) continue;
        const pfn: Pfn = frame + at;
        const isFree = isManaged(stack, pfn) && !stack.ledger.isOut(pfn);
        findings.fact(
          !isFree,
          "no TLB reaches a free frame",
          () => `processor ${cpu.id}, ${pageText(vpn + at)}, ${frameText(pfn)}`,
        );
      }
    });
}

/** Returns whether the frame is RAM that the frame allocator manages. */
export function isManaged(stack: Stack, pfn: Pfn): boolean {
  return stack.managed.some(({ start, end }) => pfn >= start && pfn < end);
}

class TranslationAudit implements Translations {
  readonly pageLeaves: Map<Pfn, number> = new Map();
  readonly #windowLeaves: Leaf[] = [];
  readonly #types: Map<Pfn, number> = new Map();
  readonly #stack: Stack;
  readonly #mode: PagingMode;
  readonly #findings: Findings;
  readonly #census: TableCensus;
  readonly #half: number;
  readonly #large: LargeLeafAudit;

  constructor(stack: Stack, mode: PagingMode, findings: Findings) {
    this.#stack = stack;
    this.#mode = mode;
    this.#findings = findings;
    this.#census = new TableCensus(stack.machine.memory, mode);
    this.#half = levelOf(mode, mode.depth).entries / 2;
    this.#large = new LargeLeafAudit(stack, findings);
  }

  get tables(): ReadonlyMap<Pfn, number> {
    return this.#census.tables;
  }

  userHalf(space: AddressSpace): void {
    this.#census.walk(
      space.tables.root,
      (leaf) => {
        this.#anyLeaf(leaf);
        this.#userLeaf(space, leaf);
      },
      0,
      this.#half,
    );
  }

  /** The upper half belongs to all spaces: walked once, from the kernel's own root, which all other roots have to agree with. */
  kernelHalf(): void {
    const { kernel } = this.#stack.vmm;
    if (kernel === null) return;
    this.#census.walk(
      kernel.tables.root,
      (leaf) => {
        this.#anyLeaf(leaf);
        this.#kernelLeaf(kernel, leaf);
      },
      this.#half,
    );
    for (const leaf of this.#windowLeaves) this.#windowLeaf(kernel, leaf);
    this.#large.finish();
    this.#countReferences();
    for (const space of this.#stack.vmm.core.spaces.values()) {
      this.#sameUpperHalf(kernel.tables.root, space);
      this.#ownSlot(space);
    }
  }

  #kernelLeaf(kernel: AddressSpace, leaf: Leaf): void {
    const where = (): string => pageText(leaf.vpn);
    this.#findings.fact((leaf.rights & RIGHT_USER) === 0, "user mode reaches nothing of the kernel half", where);
    const both = RIGHT_WRITE | RIGHT_EXECUTE;
    this.#findings.fact((leaf.rights & both) !== both, "W and X meet nowhere in the kernel half", where);
    if (kernel.regions.find(leaf.vpn) === null) this.#windowLeaves.push(leaf);
    else {
      this.#countPages(leaf);
      this.#large.leaf(kernel, leaf);
    }
  }

  /** As many entries lead to a table as the tables' own count of sharers says. */
  #countReferences(): void {
    const { shares } = this.#stack.tables;
    for (const [table, found] of this.tables)
      this.#findings.fact(
        found === shares.count(table),
        "shared tables are counted",
        () => `${frameText(table)}: ${found} references, ${shares.count(table)} counted`,
      );
  }

  /** Beside its regions the kernel half maps windows, and these show page tables or, for the length of one copy, a frame in use. */
  #windowLeaf(kernel: AddressSpace, leaf: Leaf): void {
    const where = (): string => `${pageText(leaf.vpn)}, ${frameText(leaf.pfn)}`;
    this.#findings.fact(leaf.vpn >= kernel.high, "the kernel half maps its regions and its windows alone", where);
    this.#findings.fact(this.tables.has(leaf.pfn), "a window at rest shows a page table", where);
  }

  /** A space's recursive slot leads to its own root, out of reach of user mode: nothing but its tables, and the kernel's, can be seen through it. */
  #ownSlot(space: AddressSpace): void {
    const { recursive } = this.#stack.tables;
    if (recursive === null) return;
    const { memory } = this.#stack.machine;
    const { root } = space.tables;
    const at = memory.base(root) + recursive.slot * 2;
    const low = memory.words(root)[at]!;
    const found = tableFrameOf(levelOf(this.#mode, this.#mode.depth), low, memory.words(root)[at + 1]!);
    this.#findings.fact(
      found === root && (low & this.#mode.userMask) === 0,
      "a recursive slot leads to its own root",
      () => `space ${space.asid}, ${frameText(found)}`,
    );
  }

  #sameUpperHalf(kernelRoot: Pfn, space: AddressSpace): void {
    const { memory } = this.#stack.machine;
    const words = memory.words(kernelRoot);
    const kernel = memory.base(kernelRoot);
    const own = memory.base(space.tables.root);
    const slot = this.#stack.tables.recursive?.slot ?? -1;
    for (let index = this.#half; index < this.#half * 2; index++) {
      if (index === slot) continue;
      const low = (words[kernel + index * 2]! ^ words[own + index * 2]!) & ~USED_BITS;
      const high = words[kernel + index * 2 + 1]! ^ words[own + index * 2 + 1]!;
      this.#findings.fact(
        low === 0 && high === 0,
        "all spaces have the kernel half in common",
        () => `space ${space.asid}, entry ${index}`,
      );
    }
  }

  /** What holds for every leaf, page by page: the frame is handed out, and its memory type is the same everywhere. */
  #anyLeaf(leaf: Leaf): void {
    const type = memoryTypeOf(this.#mode, levelOf(this.#mode, leaf.level), leaf.low);
    for (let at = 0; at < leaf.pages; at++) {
      const pfn: Pfn = leaf.pfn + at;
      const where = (): string => `${pageText(leaf.vpn + at)}, ${frameText(pfn)}`;
      const isFree = isManaged(this.#stack, pfn) && !this.#stack.ledger.isOut(pfn);
      this.#findings.fact(!isFree, "no table reaches a free frame", where);
      const known = this.#types.get(pfn) ?? type;
      this.#types.set(pfn, known);
      this.#findings.fact(known === type, "all mappings of a frame have one memory type", where);
    }
  }

  #userLeaf(space: AddressSpace, leaf: Leaf): void {
    const region = space.regions.find(leaf.vpn);
    const where = (): string => `space ${space.asid}, ${pageText(leaf.vpn)}`;
    this.#findings.fact(region !== null, "every translation lies in a region", where);
    const both = RIGHT_WRITE | RIGHT_EXECUTE;
    const askedFor = region !== null && (region.rights & (WRITE | EXECUTE)) === WRITE + EXECUTE;
    this.#findings.fact((leaf.rights & both) !== both || askedFor, "W and X meet only where asked for", where);
    this.#countPages(leaf);
    this.#large.leaf(space, leaf);
    for (let at = 0; at < leaf.pages; at++) {
      const pfn: Pfn = leaf.pfn + at;
      const foreign = this.#stack.ledger.isOut(pfn) && !this.#stack.ledger.isReplaced(pfn);
      this.#findings.fact(!foreign, "no frame shows another owner's bytes", () => `${where()}, ${frameText(pfn)}`);
    }
  }

  /** An entry that several spaces reach through one table is one mapping: it counts when its table is met first. */
  #countPages(leaf: Leaf): void {
    if ((this.tables.get(leaf.table) ?? 0) > 1) return;
    for (let pfn: Pfn = leaf.pfn; pfn < leaf.pfn + leaf.pages; pfn++)
      this.pageLeaves.set(pfn, (this.pageLeaves.get(pfn) ?? 0) + 1);
  }
}
