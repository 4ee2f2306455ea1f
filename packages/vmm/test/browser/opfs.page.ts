/** Runs inside a dedicated worker of a real browser: the stores over a real origin-private file. Posts one line per claim. */
import { PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";
import { BlobBacking, HttpBacking, OpfsBacking, OpfsSwap, openOpfsFile } from "@pagewright/vmm/browser";
import { backingStoreSuite, swapStoreSuite, type ConformanceCase } from "@pagewright/vmm/testing";

const failures: string[] = [];
let claims = 0;

function claim(holds: boolean, sentence: string): void {
  claims++;
  if (!holds) failures.push(sentence);
}

function pageOf(byte: number): Uint8Array {
  return new Uint8Array(4096).fill(byte);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

async function backing(): Promise<void> {
  const page = pageOf(0);
  const store = new OpfsBacking(await openOpfsFile("some/folder/file"));
  claim(store.resize(0) === "ok" && store.size() === 0, "a file can be emptied");
  claim(store.resize(3 * 4096 + 100) === "ok", "a file grows");
  claim(store.read(4096, page) === "ok" && same(page, pageOf(0)), "new bytes read as zero");
  claim(store.write(4096, pageOf(7)) === "ok", "a page is written");
  claim(store.read(4096, page) === "ok" && same(page, pageOf(7)), "a page is read back");
  claim(store.write(3 * 4096, new Uint8Array(100).fill(9)) === "ok", "the last page is written up to the end");
  claim(store.read(3 * 4096, page) === "ok" && page[99] === 9 && page[100] === 0, "its tail reads as zero");
  claim(store.sync() === "ok", "sync succeeds");
  store.check();
  try {
    await openOpfsFile("some/folder/file");
    claim(false, "a file that is open cannot be opened again");
  } catch (thrown) {
    claim(thrown instanceof DOMException && thrown.name === "NoModificationAllowedError", "it says that it is open");
  }
  store.close();
  const again = new OpfsBacking(await openOpfsFile("some/folder/file", { create: false }));
  claim(again.size() === 3 * 4096 + 100, "the size is kept");
  claim(again.read(4096, page) === "ok" && same(page, pageOf(7)), "the bytes are kept");
  again.close();
  try {
    await openOpfsFile("absent", { create: false });
    claim(false, "an absent file is not found");
  } catch (thrown) {
    claim(thrown instanceof DOMException && thrown.name === "NotFoundError", "an absent file is named as such");
  }
}

async function swap(): Promise<void> {
  const page = pageOf(0);
  const store = new OpfsSwap(await openOpfsFile("swap"), 64);
  claim(store.read(0, page) === "failed", "an unwritten slot cannot be read");
  for (let slot = 63; slot >= 0; slot -= 3) claim(store.write(slot, pageOf(slot)) === "ok", `slot ${slot} is written`);
  for (let slot = 0; slot < 64; slot += 3)
    claim(store.read(slot, page) === "ok" && same(page, pageOf(slot)), `slot ${slot} is read back`);
  store.discard(0);
  claim(store.read(0, page) === "failed", "a discarded slot cannot be read");
  store.check();
  store.close();
}

/** Runs a suite; every case gets files of its own, opened beforehand because opening has to wait. */
async function suite<T>(
  name: string,
  cases: readonly ConformanceCase<T>[],
  open: (path: string) => Promise<T>,
): Promise<void> {
  for (const [at, each] of cases.entries()) {
    const subject = await open(`${name}-${String(at)}`);
    try {
      await each.run(() => subject);
      claim(true, each.name);
    } catch (thrown) {
      claim(false, `${name}: ${each.name}: ${String(thrown)}`);
    }
  }
}

/** The manager itself: more pages than frames, and a mapped file, both over origin-private files. */
async function manager(): Promise<void> {
  const memory = new PlainMemory(64);
  const swap = new OpfsSwap(await openOpfsFile("manager-swap"), 256);
  const backing = new OpfsBacking(await openOpfsFile("manager-file"));
  backing.resize(10 * 4096);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [swap], residentLimit: 16 });
  const file = vmm.openFile(backing);
  const space = vmm.createSpace();
  const own = space?.map({ bytes: 64 * 4096 });
  const mapped = space?.map({ bytes: 10 * 4096, object: file, shared: true });
  if (space === null || typeof own !== "number" || typeof mapped !== "number") throw new Error("not mapped");
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < 64; page++) bytes.store32(own + page * 4096, page * 3);
  for (let page = 0; page < 10; page++) bytes.store32(mapped + page * 4096, page * 7);
  let right = 0;
  for (let page = 0; page < 64; page++) if (bytes.load32(own + page * 4096) === page * 3) right++;
  claim(right === 64 && vmm.stats.swapOuts > 40, "64 pages live in 16 frames and a swap file");
  claim(space.sync(mapped, 10 * 4096) === "ok", "a mapped file is written back");
  const page = pageOf(1);
  claim(backing.read(9 * 4096, page) === "ok" && page[0] === 63, "and the file has it");
  vmm.check();
  space.destroy();
  file.close();
  swap.check();
  swap.close();
  backing.close();
}

async function later(): Promise<void> {
  const page = pageOf(0);
  const http = await HttpBacking.open(new URL("/data", self.location.href));
  claim(http.size() === 10_000, "the size of the file on the server is known");
  await http.readLater(8192, page);
  claim(page[0] === 8192 % 251 && page[10_000 - 8192 - 1] === 9999 % 251, "its bytes come by range");
  claim(page[10_000 - 8192] === 0, "beyond its end is zero");
  const blob = new BlobBacking(new Blob([pageOf(1), pageOf(2)] as BlobPart[]));
  await blob.readLater(4096, page);
  claim(same(page, pageOf(2)), "a Blob gives its pages");
}

async function main(): Promise<void> {
  claim(self.crossOriginIsolated, "the page is cross-origin isolated");
  try {
    await backing();
    await swap();
    await suite("backing", backingStoreSuite, async (path) => new OpfsBacking(await openOpfsFile(path)));
    await suite("swap-suite", swapStoreSuite, async (path) => new OpfsSwap(await openOpfsFile(path), 32));
    await manager();
    await later();
  } catch (thrown) {
    failures.push(`thrown: ${String(thrown)}`);
  }
  self.postMessage({ claims, failures });
}

void main();
