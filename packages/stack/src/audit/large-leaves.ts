/**
 * Leaves of 2M and 1G: every frame under one holds the page that belongs at its place, so no 4K entry of anybody's and no other leaf shows part of it as
 * something else; and as many table frames are kept back as splitting all leaves takes.
 */
import type { AddressSpace } from "@pagewright/vmm";
import type { Stack } from "../stack.ts";
import { frameText, pageText } from "./findings.ts";
import type { Findings } from "./findings.ts";
import type { Leaf } from "./table-census.ts";

/** Pages under a table. */
const TABLE_PAGES = 512;

/** What is true of larger leaves, collected leaf by leaf. */
export class LargeLeafAudit {
  readonly #stack: Stack;
  readonly #findings: Findings;
  /** Tables that splitting all leaves into pages of 4K takes. */
  #tables: number = 0;

  /** An audit of a stack's leaves. */
  constructor(stack: Stack, findings: Findings) {
    this.#stack = stack;
    this.#findings = findings;
  }

  /** Looks at a leaf of a region; one of 4K is of no interest. */
  leaf(space: AddressSpace, leaf: Leaf): void {
    if (leaf.pages === 1) return;
    for (let pages = leaf.pages; pages > 1; pages /= TABLE_PAGES) this.#tables += leaf.pages / pages;
    const whole = Math.floor(leaf.pfn / leaf.pages) * leaf.pages === leaf.pfn;
    this.#findings.fact(whole, "a leaf's frames are aligned to its size", () => frameText(leaf.pfn));
    for (let at = 0; at < leaf.pages; at++) this.#page(space, leaf, at);
  }

  /** Compares what is kept back with what was found. */
  finish(): void {
    const kept = this.#stack.tables.source.deposits.length;
    this.#findings.fact(
      kept === this.#tables,
      "a table is kept back for every split that may come",
      () => `${kept} kept back, ${this.#tables} needed`,
    );
  }

  #page(space: AddressSpace, leaf: Leaf, at: number): void {
    const vpn = leaf.vpn + at;
    const where = (): string => `space ${space.asid}, ${pageText(vpn)}, ${frameText(leaf.pfn + at)}`;
    this.#findings.fact(space.regions.find(vpn) !== null, "every page under a leaf lies in a region", where);
    this.#findings.fact(
      this.#belongs(space, vpn, leaf.pfn + at),
      "a frame under a 2M or 1G leaf holds the page of its place",
      where,
    );
  }

  /** Whether the frame holds a page that is mapped at this place of the space. */
  #belongs(space: AddressSpace, vpn: number, pfn: number): boolean {
    const { frameMap, mappings } = this.#stack.vmm.core;
    const page = frameMap.pageAt(pfn);
    const sheet = space.sheets.get(vpn);
    if (page < 0 || sheet === null) return false;
    for (let mapping = mappings.first(page); mapping >= 0; mapping = mappings.next(mapping))
      if (mappings.sheetOf(mapping) === sheet.number && mappings.entryOf(mapping) === (vpn & (TABLE_PAGES - 1)))
        return true;
    return false;
  }
}
