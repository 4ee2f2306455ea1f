/** What backing stores and swap stores do. */
import type { AsyncBackingStore, AsyncSwapStore, BackingStore, SwapStore } from "../ports.ts";
import { claim, pageOf, same, sameBytes, type ConformanceCase } from "./case.ts";

/** Claims about a `BackingStore` that begins empty and can grow to 64 KiB. */
export const backingStoreSuite: readonly ConformanceCase<BackingStore>[] = [
  {
    name: "an empty store has size 0 and reads as zero",
    run(make): void {
      const store = make();
      const page = pageOf(1);
      same(store.size(), 0, "size");
      same(store.read(0, page), "ok", "reading beyond the end");
      sameBytes(page, pageOf(0), "what lies beyond the end");
    },
  },
  {
    name: "new bytes read as zero, and as what was written after that",
    run(make): void {
      const store = make();
      const page = pageOf(1);
      same(store.resize(3 * 4096), "ok", "growing");
      same(store.size(), 3 * 4096, "size");
      store.read(4096, page);
      sameBytes(page, pageOf(0), "new bytes");
      same(store.write(4096, pageOf(7)), "ok", "writing");
      same(store.write(5000, new Uint8Array(10).fill(9)), "ok", "writing within a page");
      store.read(4096, page);
      const expected = pageOf(7);
      expected.fill(9, 5000 - 4096, 5010 - 4096);
      sameBytes(page, expected, "what was written");
      store.read(0, page);
      sameBytes(page, pageOf(0), "its neighbour");
      same(store.sync(), "ok", "making it durable");
    },
  },
  {
    name: "a read across the end gets the bytes before it, then zeroes",
    run(make): void {
      const store = make();
      store.resize(5000);
      store.write(4096, new Uint8Array(904).fill(5));
      const page = pageOf(1);
      same(store.read(4096, page), "ok", "reading across the end");
      const expected = pageOf(0);
      expected.fill(5, 0, 904);
      sameBytes(page, expected, "the last page");
    },
  },
  {
    name: "bytes that a smaller size cut off are zero when it grows again",
    run(make): void {
      const store = make();
      store.resize(8192);
      store.write(0, pageOf(3));
      store.write(4096, pageOf(4));
      same(store.resize(100), "ok", "shrinking");
      same(store.size(), 100, "size");
      same(store.resize(8192), "ok", "growing again");
      const page = pageOf(1);
      store.read(0, page);
      const expected = pageOf(0);
      expected.fill(3, 0, 100);
      sameBytes(page, expected, "the first page");
      store.read(4096, page);
      sameBytes(page, pageOf(0), "the second page");
    },
  },
];

/** An asynchronous store and what it holds. */
export interface AsyncBackingFixture {
  /** The store. */
  readonly store: AsyncBackingStore;
  /** Its content: more than a page, no multiple of one. */
  readonly content: Uint8Array;
}

/** Claims about an `AsyncBackingStore`. */
export const asyncBackingStoreSuite: readonly ConformanceCase<Promise<AsyncBackingFixture>>[] = [
  {
    name: "its size is that of its content, and every page is what it holds, zero beyond the end",
    async run(make): Promise<void> {
      const { store, content } = await make();
      same(store.size(), content.length, "size");
      for (let offset = 0; offset < content.length + 4096; offset += 4096) {
        const page = pageOf(1);
        await store.readLater(offset, page);
        const expected = pageOf(0);
        expected.set(content.subarray(offset, offset + 4096));
        sameBytes(page, expected, `page at ${offset}`);
      }
    },
  },
  {
    name: "reads may overlap in time",
    async run(make): Promise<void> {
      const { store, content } = await make();
      const offsets = Array.from({ length: 8 }, (_, at) => Math.floor((content.length * at) / 9));
      const reads = offsets.map(async (offset) => {
        const into = new Uint8Array(16);
        await store.readLater(offset, into);
        return into;
      });
      for (const [at, bytes] of (await Promise.all(reads)).entries()) {
        const offset = offsets[at] ?? 0;
        sameBytes(bytes, content.slice(offset, offset + 16), `bytes at ${offset}`);
      }
    },
  },
];

/** Claims about a `SwapStore` with at least 16 slots. */
export const swapStoreSuite: readonly ConformanceCase<SwapStore>[] = [
  {
    name: "every slot gives back the page that was last written to it",
    run(make): void {
      const store = make();
      claim(Number.isInteger(store.slots) && store.slots >= 16, "there are 16 slots");
      for (let slot = 15; slot >= 0; slot--) same(store.write(slot, pageOf(slot + 1)), "ok", `writing slot ${slot}`);
      same(store.write(3, pageOf(99)), "ok", "writing a slot again");
      for (let slot = 0; slot < 16; slot++) {
        const page = pageOf(0);
        same(store.read(slot, page), "ok", `reading slot ${slot}`);
        sameBytes(page, pageOf(slot === 3 ? 99 : slot + 1), `slot ${slot}`);
      }
    },
  },
  {
    name: "a discarded slot can be written again",
    run(make): void {
      const store = make();
      store.write(2, pageOf(1));
      store.discard?.(2);
      same(store.write(2, pageOf(8)), "ok", "writing a discarded slot");
      const page = pageOf(0);
      same(store.read(2, page), "ok", "reading it");
      sameBytes(page, pageOf(8), "its page");
    },
  },
  {
    name: "a page that was written does not change with the array that it came from",
    run(make): void {
      const store = make();
      const page = pageOf(5);
      store.write(0, page);
      page.fill(6);
      const into = pageOf(0);
      store.read(0, into);
      sameBytes(into, pageOf(5), "the stored page");
    },
  },
  {
    name: "the page that is to give way is one that the store holds, and another one when it has gone",
    run(make): void {
      const store = make();
      const slots = Array.from({ length: 16 }, (_, slot) => slot);
      const held = new Set(slots.filter((slot) => store.write(slot, mixedPage(slot)) === "ok"));
      for (let slot = store.giveWay?.() ?? -1; slot >= 0; slot = store.giveWay?.() ?? -1) {
        claim(held.delete(slot), `slot ${slot} holds a page`);
        const page = pageOf(0);
        same(store.read(slot, page), "ok", `reading slot ${slot}`);
        sameBytes(page, mixedPage(slot), `slot ${slot}`);
        store.discard?.(slot);
      }
    },
  },
];

/** A page of which no two halves are alike, so that it takes room in every store. */
function mixedPage(slot: number): Uint8Array {
  return Uint8Array.from({ length: 4096 }, (_, at) => (at < 2000 ? (at * at * (slot + 3)) >>> 5 : 0));
}

/** Claims about an `AsyncSwapStore` with at least 16 slots. */
export const asyncSwapStoreSuite: readonly ConformanceCase<Promise<AsyncSwapStore>>[] = [
  {
    name: "every slot gives back the page that was last acknowledged for it, however many transfers overlap",
    async run(make): Promise<void> {
      const store = await make();
      claim(Number.isInteger(store.slots) && store.slots >= 16, "there are 16 slots");
      claim((store.depth ?? 1) >= 1, "a write may be under way");
      const slots = Array.from({ length: 16 }, (_, slot) => slot);
      for (const outcome of await Promise.all(slots.map((slot) => store.writeLater(slot, pageOf(slot + 1)))))
        same(outcome, "ok", "a write");
      same(await store.writeLater(3, pageOf(99)), "ok", "writing a slot again");
      await Promise.all(
        slots.map(async (slot) => {
          const page = pageOf(0);
          same(await store.readLater(slot, page), "ok", `reading slot ${slot}`);
          sameBytes(page, pageOf(slot === 3 ? 99 : slot + 1), `slot ${slot}`);
        }),
      );
    },
  },
  {
    name: "a discarded slot can be written again once that has settled",
    async run(make): Promise<void> {
      const store = await make();
      await store.writeLater(2, pageOf(1));
      await store.discardLater?.(2);
      same(await store.writeLater(2, pageOf(8)), "ok", "writing a discarded slot");
      const page = pageOf(0);
      same(await store.readLater(2, page), "ok", "reading it");
      sameBytes(page, pageOf(8), "its page");
    },
  },
  {
    name: "a page that was acknowledged does not change with the array that it came from",
    async run(make): Promise<void> {
      const store = await make();
      const page = pageOf(5);
      await store.writeLater(0, page);
      page.fill(6);
      const into = pageOf(0);
      await store.readLater(0, into);
      sameBytes(into, pageOf(5), "the stored page");
    },
  },
  {
    name: "a slot that was never written is not acknowledged as read",
    async run(make): Promise<void> {
      const store = await make();
      const outcome = await store.readLater(7, pageOf(0)).catch(() => "failed");
      claim(outcome !== "ok", "reading what was never written");
    },
  },
];
