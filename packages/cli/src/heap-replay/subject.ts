/** What the replay needs of an allocator under test; every allocator of `@pagewright/heap` fits. */
export interface HeapSubject {
  /** The address of a block, or −1. */
  allocate(size: number, alignment?: number, hint?: number): number;
  free(address: number): void;
  /** The block's address from now on, or −1. */
  resize(address: number, size: number): number;
}

/** Like `allocate` of a {@link HeapSubject}; the bytes read as zero. */
export type AllocateZeroed = (size: number, alignment?: number, hint?: number) => number;

/** An allocator under test with the memory that it allocates from. */
export interface Bench {
  readonly heap: HeapSubject;
  readonly allocateZeroed: AllocateZeroed;
  /** All bytes of the memory, from address 0, as they are now: a growing memory gives another array later. */
  readonly bytes: () => Uint8Array;
  /** State that the allocator keeps outside the memory, in bytes. */
  readonly metadataBytes: () => number;
  /** Calls to its range source so far. */
  readonly sourceCalls: () => number;
  /** Ends all lives at once after each timed round, where freeing block by block gives nothing back. */
  readonly endRound?: () => void;
}

/** What a user's own allocator has to have; what is missing is made from these two. */
export interface OwnAllocator {
  allocate(size: number, alignment?: number, hint?: number): number;
  free(address: number): void;
  resize?(address: number, size: number): number;
  allocateZeroed?(size: number, alignment?: number, hint?: number): number;
  usableSize?(address: number): number;
  /** The memory that its addresses are offsets in, where it is not the one that it was handed. */
  bytes?(): Uint8Array;
  /** State that it keeps outside the memory, in bytes. */
  metadataBytes?(): number;
}

/** What the module of a user's own allocator exports by default. */
export type OwnFactory = (memory: { buffer: ArrayBuffer }) => OwnAllocator | Promise<OwnAllocator>;

/** Makes a whole subject of a user's own allocator: zeroing fills, resizing moves. */
export function subjectOf(own: OwnAllocator, bytes: () => Uint8Array): Pick<Bench, "heap" | "allocateZeroed"> {
  if (isWhole(own)) return { heap: own, allocateZeroed: own.allocateZeroed.bind(own) };
  const sizes = new Map<number, number>();
  const needsSizes = own.resize === undefined && own.usableSize === undefined;
  const allocate = (size: number, alignment?: number, hint?: number): number => {
    const address = own.allocate(size, alignment, hint);
    if (needsSizes && address !== -1) sizes.set(address, size);
    return address;
  };
  const sizeOf = (address: number): number => own.usableSize?.(address) ?? sizes.get(address) ?? 0;
  const resizeByMoving = (address: number, size: number): number => {
    const to = allocate(size);
    if (to === -1) return -1;
    bytes().copyWithin(to, address, address + Math.min(sizeOf(address), size));
    own.free(address);
    return to;
  };
  const zero = (size: number, alignment?: number, hint?: number): number => {
    const address = allocate(size, alignment, hint);
    if (address !== -1) bytes().fill(0, address, address + size);
    return address;
  };
  const heap: HeapSubject = {
    allocate: needsSizes ? allocate : own.allocate.bind(own),
    free: own.free.bind(own),
    resize: own.resize?.bind(own) ?? resizeByMoving,
  };
  return { heap, allocateZeroed: own.allocateZeroed?.bind(own) ?? zero };
}

function isWhole(own: OwnAllocator): own is OwnAllocator & Required<Pick<OwnAllocator, "resize" | "allocateZeroed">> {
  return own.resize !== undefined && own.allocateZeroed !== undefined;
}
