import { expect, test } from "vitest";

import { BlobBacking } from "@pagewright/vmm/browser";

const CONTENT = Uint8Array.from({ length: 9000 }, (_, at) => (at * 13) & 255);

test("a Blob's pages are its bytes, and zero beyond its end", async () => {
  const store = new BlobBacking(new Blob([CONTENT]));
  expect(store.size()).toBe(9000);
  const page = new Uint8Array(4096);
  await store.readLater(4096, page);
  expect(page).toEqual(CONTENT.slice(4096, 8192));
  await store.readLater(8192, page);
  expect(page.slice(0, 808)).toEqual(CONTENT.slice(8192));
  expect(page.slice(808).every((byte) => byte === 0)).toBe(true);
  await store.readLater(12_288, page.fill(1));
  expect(page.every((byte) => byte === 0)).toBe(true);
  expect(store.stats()).toEqual({ reads: 3, readBytes: 4096 + 808 });
});

test("an offset that is no byte offset is the caller's bug", async () => {
  const store = new BlobBacking(new Blob([CONTENT]));
  for (const offset of [-4096, 1.5, Number.POSITIVE_INFINITY])
    await expect(store.readLater(offset, new Uint8Array(1))).rejects.toMatchObject({ code: "out-of-range" });
});

test("a Blob whose file is gone rejects and leaves the target as it was", async () => {
  const blob = new Blob([CONTENT]);
  Object.defineProperty(blob, "slice", {
    value: () => ({ arrayBuffer: () => Promise.reject(new DOMException("gone", "NotReadableError")) }),
  });
  const into = new Uint8Array(16).fill(5);
  await expect(new BlobBacking(blob).readLater(0, into)).rejects.toMatchObject({ code: "store-changed" });
  expect(into.every((byte) => byte === 5)).toBe(true);
});
