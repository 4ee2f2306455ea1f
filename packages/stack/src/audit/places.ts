/** Every frame is in exactly one place. */
import { BufferObject } from "@pagewright/vmm";
import type { Pfn } from "@pagewright/x86-paging";
import type { Stack } from "../stack.ts";
import { frameText } from "./findings.ts";
import type { Findings } from "./findings.ts";
import { isManaged } from "./translations.ts";
import type { Translations } from "./translations.ts";

/** Compares where the layers say that frames are with the ledger and with the leaves that reach them. */
export function auditPlaces(stack: Stack, translations: Translations, findings: Findings): void {
  const places = new Places(stack, findings);
  for (const table of translations.tables.keys()) places.put(table, "a page table");
  for (const pfn of stack.tables.source.deposits) places.put(pfn, "a table frame kept back for a split");
  for (const pfn of stack.vmm.core.keeper.stockFrames()) places.put(pfn, "the stock of zeroed frames");
  putQuarantine(stack, translations, places, findings);
  putBuffers(stack, places);
  for (const pfn of stack.lent) places.put(pfn, "the balloon");
  for (const pfn of stack.vmm.core.standIns) places.put(pfn, "a stand-in of a transfer");
  for (const pfn of stack.poolFrames.held) places.put(pfn, "the compressed pool");
  if (stack.vmm.faults.zeroFramePfn >= 0) places.put(stack.vmm.faults.zeroFramePfn, "the shared frame of zeroes");
  putPages(stack, translations, places, findings);
  const { tableFrames } = stack.tables;
  const found = translations.tables.size;
  findings.fact(tableFrames === found, "page tables are counted", () => `${tableFrames} counted, ${found} found`);
  places.compareWithLedger();
}

/** A resident page's frame is reached by as many leaves as the page has mappings. */
function putPages(stack: Stack, translations: Translations, places: Places, findings: Findings): void {
  const { pages, mappings } = stack.vmm.core;
  for (let page = 0; page < pages.capacity; page++) {
    if (!pages.isResident(page)) continue;
    const pfn = pages.frameOf(page);
    places.put(pfn, "a page of the memory manager");
    const leaves = translations.pageLeaves.get(pfn) ?? 0;
    const counted = mappings.countOf(page);
    findings.fact(
      leaves === counted,
      "every mapping is counted",
      () => `${frameText(pfn)}: ${leaves} leaves, ${counted} mappings`,
    );
  }
}

/** Frames whose stale translations may still be in TLBs: tables must not reach them any more. */
function putQuarantine(stack: Stack, translations: Translations, places: Places, findings: Findings): void {
  for (const pfn of stack.vmm.core.quarantine?.frames() ?? []) {
    places.put(pfn, "the quarantine");
    findings.fact(!translations.pageLeaves.has(pfn), "no table reaches a quarantined frame", () => frameText(pfn));
  }
}

/** Runs of frames that devices were given. */
function putBuffers(stack: Stack, places: Places): void {
  for (const object of stack.vmm.core.objects.values())
    if (object instanceof BufferObject)
      for (let at = 0; at < object.frames; at++) places.put(object.start + at, "a device's buffer");
}

class Places {
  readonly #places: Map<Pfn, string> = new Map();
  readonly #stack: Stack;
  readonly #findings: Findings;

  constructor(stack: Stack, findings: Findings) {
    this.#stack = stack;
    this.#findings = findings;
  }

  put(pfn: Pfn, place: string): void {
    const other = this.#places.get(pfn);
    this.#findings.fact(
      other === undefined,
      "every frame is in one place only",
      () => `${frameText(pfn)} is ${other ?? ""} and ${place}`,
    );
    this.#places.set(pfn, place);
    const { ledger } = this.#stack;
    const out = !isManaged(this.#stack, pfn) || ledger.isOut(pfn);
    this.#findings.fact(out, "a frame in use is not free", () => `${frameText(pfn)} is ${place}`);
  }

  compareWithLedger(): void {
    const { ledger, pmm } = this.#stack;
    ledger.forEachOut((pfn) => {
      this.#findings.fact(
        this.#places.has(pfn),
        "no frame is lost",
        () => `${frameText(pfn)} is handed out and nowhere`,
      );
    });
    const { usedFrames } = pmm.stats();
    this.#findings.fact(
      usedFrames === ledger.out,
      "frames in use are counted",
      () => `${usedFrames} used, ${ledger.out} handed out`,
    );
  }
}
