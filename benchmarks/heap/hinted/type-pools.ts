/** A pool for each type that a replay tells of (`pagewright heap --hints type`), and a general heap for everything else. */
import { BufferMemory, GeneralHeap, Pool } from "@pagewright/heap";
import type { Allocator, RangeSource } from "@pagewright/heap";

const PAGE = 4096;
/** Types stand above the two bits of lifetimes. */
const TYPE_SHIFT = 2;
/** A block of a type whose blocks are larger has a range of its own in any heap. */
const LARGEST = 1024;

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): object {
  const memory = new BufferMemory(buffer);
  const pools: (Pool | null)[] = [];
  /** The type whose pool a page belongs to; 0 is the general heap's. */
  const typeOf = new Uint8Array(buffer.byteLength / PAGE);
  const heap = new GeneralHeap(memory);
  const sourceFor = (type: number): RangeSource => ({
    reserve: (bytes) => {
      const address = heap.allocate(Math.ceil(bytes / PAGE) * PAGE, PAGE);
      if (address !== -1) typeOf.fill(type, address / PAGE, Math.ceil((address + bytes) / PAGE));
      return address;
    },
    release: (address, bytes) => {
      typeOf.fill(0, address / PAGE, Math.ceil((address + bytes) / PAGE));
      heap.free(address);
    },
  });
  const poolFor = (type: number, size: number): Pool | null => {
    if (size > LARGEST || size === 0) return null;
    const slotBytes = Math.ceil(size / 8) * 8;
    return new Pool(sourceFor(type), slotBytes, Math.max(Math.floor(PAGE / slotBytes), 1));
  };
  const allocate = (size: number, alignment = 0, hint = 0): number => {
    const type = hint >>> TYPE_SHIFT;
    if (type === 0 || alignment !== 0) return heap.allocate(size, alignment);
    const pool = (pools[type] ??= poolFor(type, size));
    return pool === null || size > pool.slotBytes ? heap.allocate(size) : pool.allocate(size);
  };
  const ownerOf = (address: number): Allocator => pools[typeOf[address >>> 12]!] ?? heap;
  return {
    allocate,
    free: (address: number): void => ownerOf(address).free(address),
    usableSize: (address: number): number => ownerOf(address).usableSize(address),
    resize: (address: number, size: number): number => {
      const owner = ownerOf(address);
      if (owner === heap) return heap.resize(address, size);
      const usable = owner.usableSize(address);
      if (size <= usable) return address;
      const to = heap.allocate(size);
      if (to === -1) return to;
      memory.copy(address, to, usable);
      owner.free(address);
      return to;
    },
    metadataBytes: () =>
      pools.reduce((sum, pool) => sum + (pool?.stats().metadataBytes ?? 0), heap.stats().metadataBytes + typeOf.length),
  };
}
