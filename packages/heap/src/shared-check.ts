import { requireInvariant } from "./allocator.ts";
import {
  COLLECTING,
  HEIR,
  HINT,
  IN_USE,
  PAGE,
  PAGE_COUNT,
  PUT,
  RING,
  RUN_SIZES,
  RUN_WORDS,
  SENT,
  STATE,
  TAKEN,
} from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";
import { PAGE_BLOCKS } from "./shared-remote.ts";
import type { RemoteFrees } from "./shared-remote.ts";
import { keeperOf, KEPT_RUN, keptRun, LIVE_RUN, pagesOf } from "./shared-runs.ts";
import type { KeptRuns } from "./shared-runs.ts";
import { checkSlabs, SLAB_WORDS } from "./slabs.ts";

/** Walks all state of a shared heap, while nobody works. @throws HeapError `corrupt`. */
export function checkShared(layout: SharedLayout, runs: KeptRuns, remote: RemoteFrees): void {
  const { words, first, slots, pages } = layout;
  requireInvariant(layout.isIntact, first, "a heap starts with its header");
  requireInvariant(words[first + HINT]! >= 0 && words[first + HINT]! <= pages, first, "a search begins at a page");
  for (let slot = 0; slot < slots; slot++) checkSlot(layout, slot);
  const kept = checkKept(layout, runs);
  checkPages(layout, remote, kept);
  for (let slot = 0; slot < slots; slot++) {
    const own: number[] = [];
    for (let page = 1; page < pages; page++) if (layout.owners[page] === slot + 1) own.push(page * SLAB_WORDS);
    checkSlabs(layout.records, layout.magazines(slot), own);
  }
}

/** State, heir, and the rings to all others. */
function checkSlot(layout: SharedLayout, slot: number): void {
  const { words, slots } = layout;
  const start = layout.slot(slot);
  const heir = words[start + HEIR]!;
  requireInvariant(words[start + STATE]! >>> 0 <= 2, slot, "a slot has a worker, had one or never did");
  requireInvariant(heir >= 0 && (heir & ~COLLECTING) <= slots, slot, "a slot's heir is a slot");
  for (let to = 0; to < slots; to++) {
    const ring = layout.outgoing(slot, to);
    const put = (words[ring + PUT]! - words[ring + TAKEN]!) >>> 0;
    const sent = (words[ring + SENT]! - words[ring + TAKEN]!) >>> 0;
    requireInvariant(sent <= put && put <= RING, slot, "a ring has no more blocks than there is room");
    const count = words[ring + PAGE_COUNT]! >>> 0;
    requireInvariant(
      count < PAGE_BLOCKS && count > 0 === (words[ring + PAGE] !== 0),
      slot,
      "a page is there for what found the ring full",
    );
  }
}

/** @returns the pages of the runs that are kept. */
function checkKept({ words, pages, records, slots }: SharedLayout, runs: KeptRuns): Set<number> {
  const kept = new Set<number>();
  for (let slot = 0; slot < slots; slot++)
    for (let count = 1; count <= RUN_SIZES; count++)
      for (let at = 0; at < RUN_WORDS; at++) {
        const page = words[runs.firstWord(slot, count) + at]!;
        if (page === 0) continue;
        requireInvariant(
          page > 0 && page < pages && records[page * SLAB_WORDS] === keptRun(count, slot) && !kept.has(page),
          page,
          "a run that is kept says so, and is kept once",
        );
        kept.add(page);
      }
  return kept;
}

/** The byte and the record of each page. */
function checkPages(layout: SharedLayout, remote: RemoteFrees, kept: Set<number>): void {
  const { owners, records, pages, slots } = layout;
  const full = new Set<number>();
  remote.walkPages((page) => {
    requireInvariant(page > 0 && page < pages && !full.has(page), page, "a page of frees is in one place");
    full.add(page);
  });
  for (let page = 1; page < pages;) {
    const byte = owners[page]!;
    const record = records[page * SLAB_WORDS]!;
    if (byte === IN_USE && record > 0) {
      const count = pagesOf(record);
      const state = record & 3;
      const isRun = state === LIVE_RUN ? keeperOf(record) === 0 : state === KEPT_RUN && kept.delete(page);
      requireInvariant(isRun && count > 0 && page + count <= pages, page, "a run is live or kept");
      for (let tail = page + 1; tail < page + count; tail++)
        requireInvariant(
          owners[tail] === IN_USE && records[tail * SLAB_WORDS] === 0,
          tail,
          "the pages of a run belong to nothing else",
        );
      page += count;
      continue;
    }
    const isSlab = byte > 0 && byte <= slots && record < 0;
    const isOther = record === 0 && (byte === 0 || (byte === IN_USE && full.delete(page)));
    requireInvariant(isSlab || isOther, page, "a page is free, a slab, part of a run or full of blocks");
    page++;
  }
  requireInvariant(full.size === 0 && kept.size === 0, full.size, "what is kept or full is there");
}
