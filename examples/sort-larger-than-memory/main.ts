/**
 * Sorts a file of 2 MiB in place while no more than 128 KiB of it are in memory at any time: the program sees one array, and the page cache
 * brings and writes back what it touches.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { PlainMemory, SeededRandom, SpaceMemory, Vmm, type VirtAddr } from "@pagewright/vmm";
import { FileBacking } from "@pagewright/vmm/node";

const FILE_BYTES = 2 * 2 ** 20;
const KEYS = FILE_BYTES / 4;
const FRAMES = 32;
/** Keys that are sorted at once, in a copy: an eighth of what may be in memory. */
const RUN_KEYS = 4096;

const folder = mkdtempSync(join(tmpdir(), "pagewright-sort-"));
const path = join(folder, "keys");
try {
  const random = new SeededRandom(2024);
  writeFileSync(
    path,
    Uint32Array.from({ length: KEYS }, () => random.uint32()),
  );
  const before = sumOf(path);

  const memory = new PlainMemory(FRAMES + 8);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: FRAMES });
  const backing = new FileBacking(path);
  const file = vmm.openFile(backing);
  const space = vmm.createSpace();
  const array = space?.map({ bytes: FILE_BYTES, object: file, shared: true }) ?? "no-memory";
  if (space === null || typeof array === "string") throw new Error("the file cannot be mapped");

  let most = 0;
  sort(new SpaceMemory(space), array, 0, KEYS, () => (most = Math.max(most, vmm.residentPages)));

  const synced = space.sync(array, FILE_BYTES);
  vmm.check();
  space.destroy();
  file.close();
  backing.close();

  const keys = new Uint32Array(readFileSync(path).buffer);
  console.log(`${KEYS} keys in ${FILE_BYTES / 1024} KiB, at most ${most * 4} KiB of them in memory at a time`);
  console.log(`written back: ${synced}`);
  console.log(`in order: ${keys.every((key, at) => at === 0 || (keys[at - 1] ?? 0) <= key)}`);
  console.log(`the same keys as before: ${sumOf(path) === before}`);
} finally {
  rmSync(folder, { recursive: true });
}

/** Quicksort (Hoare, 1961) down to runs that are sorted in a copy. Both ends of a partition move page by page: sequential access. */
function sort(memory: SpaceMemory, array: VirtAddr, start: number, end: number, watch: () => void): void {
  watch();
  if (end - start <= RUN_KEYS) {
    const bytes = new Uint8Array((end - start) * 4);
    memory.copyOut(array + start * 4, bytes);
    new Uint32Array(bytes.buffer).sort();
    memory.copyIn(array + start * 4, bytes);
    return;
  }
  const pivot = memory.load32(array + Math.floor((start + end) / 2) * 4);
  let low = start;
  let high = end - 1;
  while (low <= high) {
    let lower = memory.load32(array + low * 4);
    while (lower < pivot) lower = memory.load32(array + ++low * 4);
    let upper = memory.load32(array + high * 4);
    while (upper > pivot) upper = memory.load32(array + --high * 4);
    if (low > high) break;
    memory.store32(array + low++ * 4, upper);
    memory.store32(array + high-- * 4, lower);
  }
  sort(memory, array, start, high + 1, watch);
  sort(memory, array, low, end, watch);
}

/** The sum of all keys: exact, as it stays below 2^53. */
function sumOf(name: string): number {
  return new Uint32Array(readFileSync(name).buffer).reduce((sum, key) => sum + key, 0);
}
