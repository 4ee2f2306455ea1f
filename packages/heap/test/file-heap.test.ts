import { copyFileSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileHeap } from "@pagewright/heap/node";
import { endProcesses } from "./file-heap-crash.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pagewright-heap-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const BYTES = 64 * 4096;

test("a closed file opens with every block at its address, and goes on from there", () => {
  const path = join(folder, "heap");
  const first = FileHeap.open(path, { bytes: BYTES });
  const block = first.heap.allocate(100);
  first.root = block;
  new Int32Array(first.buffer)[block / 4] = 42;
  expect(first.checkpoint()).toBeGreaterThan(0);
  expect(first.checkpoint()).toBe(0);
  new Int32Array(first.buffer)[block / 4] = 43;
  first.close();
  const again = FileHeap.open(path, { bytes: BYTES });
  expect(new Int32Array(again.buffer)[again.root / 4]).toBe(42);
  again.heap.check();
  expect(again.heap.stats().liveBlocks).toBe(1);
  again.heap.free(block);
  expect(again.heap.allocate(100_000)).not.toBe(-1);
  again.close();
});

test("a crash anywhere in a checkpoint leaves the state before or after it", () => {
  const path = join(folder, "heap");
  const heap = FileHeap.open(path, { bytes: BYTES });
  const block = heap.heap.allocate(9000);
  heap.root = block;
  heap.checkpoint();
  const before = readFileSync(path);
  const words = new Int32Array(heap.buffer);
  words.fill(7, block / 4, block / 4 + 2000);
  heap.checkpoint();
  heap.close();
  const after = readFileSync(path);
  // The journal as it stood when it was sealed: what differs between the two files.
  const changed = Array.from({ length: after.length / 4096 }, (_, page) => page).filter(
    (page) => !after.subarray(page * 4096, page * 4096 + 4096).equals(before.subarray(page * 4096, page * 4096 + 4096)),
  );
  expect(changed.length).toBeGreaterThan(1);
  const entries = changed.map((page) => {
    const entry = Buffer.alloc(4100);
    entry.writeUInt32LE(page);
    after.copy(entry, 4, page * 4096, page * 4096 + 4096);
    return entry;
  });
  const journal = Buffer.concat(entries);
  let sum = 0x811c9dc5;
  for (const byte of journal) sum = Math.imul(sum ^ byte, 0x01000193);
  const seal = Buffer.alloc(12);
  seal.write("SEAL");
  seal.writeUInt32LE(changed.length, 4);
  seal.writeUInt32LE(sum >>> 0, 8);
  const whole = Buffer.concat([before, journal, seal]);
  for (const length of [
    before.length,
    before.length + 1,
    before.length + 4100,
    whole.length - 12,
    whole.length - 1,
    whole.length,
  ]) {
    const copy = join(folder, `crash-${String(length)}`);
    writeFileSync(copy, whole.subarray(0, length));
    const opened = FileHeap.open(copy, { bytes: BYTES });
    const seen = new Int32Array(opened.buffer).subarray(block / 4, block / 4 + 2000);
    expect(seen.every((word) => word === (length === whole.length ? 7 : 0))).toBe(true);
    opened.heap.check();
    opened.close();
    expect(statSync(copy).size).toBe(before.length);
  }
});

test("a process that is ended at any moment leaves its last checkpoint", async () => {
  await endProcesses(2);
}, 60_000);

test("another file, and a file cut short, are refused", () => {
  const path = join(folder, "heap");
  FileHeap.open(path, { bytes: BYTES }).close();
  copyFileSync(path, join(folder, "short"));
  truncateSync(join(folder, "short"), 8192);
  expect(() => FileHeap.open(join(folder, "short"), { bytes: BYTES })).toThrow(
    expect.objectContaining({ code: "bad-format" }),
  );
  writeFileSync(join(folder, "other"), "hello");
  expect(() => FileHeap.open(join(folder, "other"), { bytes: BYTES })).toThrow(
    expect.objectContaining({ code: "bad-format" }),
  );
});

test("a file of another version, or with a header of another length, is refused, and so is a heap of no pages or of 2 GiB", () => {
  const path = join(folder, "heap");
  FileHeap.open(path, { bytes: BYTES }).close();
  const whole = readFileSync(path);
  for (const [at, value] of [
    [4, 2],
    [8, -4096],
    [8, 100],
    [8, BYTES - 4096],
    [8, BYTES + 4096],
  ] as const) {
    const changed = Buffer.from(whole);
    changed.writeInt32LE(value, at);
    writeFileSync(path, changed);
    expect(() => FileHeap.open(path, { bytes: BYTES })).toThrow(expect.objectContaining({ code: "bad-format" }));
  }
  for (const bytes of [0, -4096, 100, NaN, 2 ** 31, 2 ** 40])
    expect(() => FileHeap.open(join(folder, "new"), { bytes })).toThrow(
      expect.objectContaining({ code: "bad-option" }),
    );
});
