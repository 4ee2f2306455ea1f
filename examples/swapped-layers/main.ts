/**
 * A virtual memory manager with nothing of ours below it: `@pagewright/vmm` asks for two things, frames and a way to their bytes.
 * Here both are thirty lines: frames are the elements of a Set, their bytes a list of arrays. Page tables are the manager's own, in
 * memory, and there is no processor: `SpaceMemory` loads and stores.
 */
import { MemorySwap, SpaceMemory, Vmm } from "@pagewright/vmm";
import type { FrameSource, FrameWindow, Pfn } from "@pagewright/vmm";

class NaiveMemory implements FrameSource, FrameWindow {
  readonly free: Set<Pfn> = new Set();
  readonly #bytes: Uint8Array[] = [];

  constructor(frames: number) {
    for (let pfn: Pfn = 0; pfn < frames; pfn++) {
      this.free.add(pfn);
      this.#bytes.push(new Uint8Array(4096).fill(0xee));
    }
  }

  take(): Pfn {
    const [pfn] = this.free;
    if (pfn === undefined) return -1;
    this.free.delete(pfn);
    return pfn;
  }

  give(pfn: Pfn): void {
    if (this.free.has(pfn)) throw new Error(`frame ${pfn} is free already`);
    this.free.add(pfn);
  }

  takeMany(into: Float64Array, count: number): number {
    for (let at = 0; at < count; at++) {
      const pfn = this.take();
      if (pfn < 0) return at;
      into[at] = pfn;
    }
    return count;
  }

  giveMany(frames: Float64Array, count: number): void {
    for (const pfn of frames.subarray(0, count)) this.give(pfn);
  }

  read(pfn: Pfn, offset: number, into: Uint8Array): void {
    into.set(this.bytesOf(pfn).subarray(offset, offset + into.length));
  }

  write(pfn: Pfn, offset: number, from: Uint8Array): void {
    this.bytesOf(pfn).set(from, offset);
  }

  copy(from: Pfn, to: Pfn): void {
    this.bytesOf(to).set(this.bytesOf(from));
  }

  zero(pfn: Pfn): void {
    this.bytesOf(pfn).fill(0);
  }

  bytesOf(pfn: Pfn): Uint8Array {
    const bytes = this.#bytes[pfn];
    if (bytes === undefined) throw new Error(`there is no frame ${pfn}`);
    return bytes;
  }
}

const memory = new NaiveMemory(32);
const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(1000)] });
const space = vmm.createSpace();
const address = space?.map({ bytes: 100 * 4096 });
if (space === null || typeof address !== "number") throw new Error("no memory");

// A hundred pages in thirty-two frames.
const bytes = new SpaceMemory(space);
for (let page = 0; page < 100; page++) bytes.store32(address + page * 4096, page * page);
const right = Array.from({ length: 100 }, (_, page) => bytes.load32(address + page * 4096) === page * page);
console.log(`100 pages in ${vmm.residentPages} frames, all as they were stored: ${right.every(Boolean)}`);
console.log(`new memory reads as zero, though free frames do not: ${bytes.load32(address + 5 * 4096 + 8) === 0}`);

// A copy of the space shares everything until one side stores.
const clone = space.clone();
if (clone === null) throw new Error("no memory for a clone");
const copy = new SpaceMemory(clone);
copy.store32(address, 4711);
console.log(`the copy has ${copy.load32(address)}, the original ${bytes.load32(address)}`);
clone.destroy();
space.destroy();
vmm.check();
vmm.close();
console.log(`all frames came back: ${memory.free.size}`);
