/** What the facts are told with: a manager with spaces and objects, pages painted with letters, and the look of a range as text. */
import { expect, test } from "vitest";

import {
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  MemorySwap,
  type AddressSpace,
  type AnonymousObject,
  type BackingStore,
  type FaultOutcome,
  type FileObject,
  type IoOutcome,
  type MapRequest,
  type MemoryObject,
  type Refusal,
  type VirtAddr,
  type VmmErrorCode,
} from "@pagewright/vmm";

import { FACTS } from "./facts.ts";
import { FURTHER_FACTS } from "./further-facts.ts";

/** The page size, as the facts call it. */
export const P: number = PAGE_SIZE;
/** No rights. */
export const NONE = 0;

/** A file that is an array of bytes. */
class ByteFile implements BackingStore {
  bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  size(): number {
    return this.bytes.length;
  }
  read(offset: number, into: Uint8Array): IoOutcome {
    into.fill(0);
    into.set(this.bytes.subarray(offset, offset + into.length));
    return "ok";
  }
  write(offset: number, from: Uint8Array): IoOutcome {
    if (offset + from.length > this.bytes.length) return "failed";
    this.bytes.set(from, offset);
    return "ok";
  }
  sync(): IoOutcome {
    return "ok";
  }
  resize(bytes: number): IoOutcome {
    const next = new Uint8Array(bytes);
    next.set(this.bytes.subarray(0, bytes));
    this.bytes = next;
    return "ok";
  }
}

/** What every fact finds. */
export interface Kit {
  /** The manager. */
  readonly vmm: Vmm;
  /** A first space. */
  readonly space: AddressSpace;
  /** Maps pages, private and anonymous unless the request says otherwise; throws where that is refused. */
  readonly map: (pages: number, request?: Omit<MapRequest, "bytes">) => VirtAddr;
  /** A file with one page for each letter, full of it. */
  readonly file: (letters: string) => FileObject;
  /** A file with exactly this text. */
  readonly fileOf: (text: string) => FileObject;
  /** Shared memory. */
  readonly shared: (pages: number) => AnonymousObject;
  /** What the store behind a file holds: the first byte of each page, `.` for zero. */
  readonly bytesOf: (object: FileObject) => string;
}

const files = new WeakMap<FileObject, ByteFile>();
const memories = new WeakMap<AddressSpace, SpaceMemory>();

/** A test of one fact, named by it. Afterwards the whole manager is checked. */
export function fact(id: string, body: (kit: Kit) => void): void {
  withKit(`${id} ${FACTS[id] ?? FURTHER_FACTS[id] ?? "unknown fact"}`, body);
}

/** A test of what holds in place of a fact that DIFFERENCES.md lists. */
export function different(id: string, claim: string, body: (kit: Kit) => void): void {
  withKit(`not ${id}: ${claim}`, body);
}

function withKit(name: string, body: (kit: Kit) => void): void {
  test(name, () => {
    const memory = new PlainMemory(512);
    const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(512)] });
    const space = newSpace(vmm);
    const open = (bytes: Uint8Array): FileObject => {
      const file = new ByteFile(bytes);
      const object = vmm.openFile(file);
      files.set(object, file);
      return object;
    };
    body({
      vmm,
      space,
      map: (pages, request = {}) => mapped(space.map({ bytes: pages * P, ...request })),
      file: (letters) => open(painted(letters)),
      fileOf: (text) => open(new TextEncoder().encode(text)),
      shared: (pages) => vmm.createAnonymous(pages * P),
      bytesOf: (object) => letters(files.get(object)?.bytes ?? new Uint8Array()),
    });
    vmm.check();
    memory.check();
  });
}

/** One more space. */
export function newSpace(vmm: Vmm): AddressSpace {
  const space = vmm.createSpace();
  if (space === null) throw new Error("no frame for a space");
  return space;
}

/** A copy of a space. */
export function fork(space: AddressSpace): AddressSpace {
  const clone = space.clone();
  if (clone === null) throw new Error("the space cannot be cloned");
  return clone;
}

/** The address of a mapping; throws where it was refused. */
export function mapped(outcome: VirtAddr | Refusal): VirtAddr {
  if (typeof outcome === "string") throw new Error(`refused: ${outcome}`);
  return outcome;
}

/** Whether an operation that answers with an address was refused. */
export function refused(outcome: VirtAddr | Refusal): boolean {
  return typeof outcome === "string";
}

/** The program's view of a space. */
export function memoryOf(space: AddressSpace): SpaceMemory {
  let memory = memories.get(space);
  if (memory === undefined) {
    memory = new SpaceMemory(space);
    memories.set(space, memory);
  }
  return memory;
}

/** Loads a byte, or says what the fault came to. */
export function load(space: AddressSpace, address: VirtAddr): number | FaultOutcome {
  const memory = memoryOf(space);
  const byte = memory.load8(address);
  return byte < 0 ? memory.fault : byte;
}

/** Stores a byte, or says what the fault came to. */
export function store(space: AddressSpace, address: VirtAddr, byte: number): "ok" | FaultOutcome {
  const memory = memoryOf(space);
  return memory.store8(address, byte) ? "ok" : memory.fault;
}

/** Stores one letter into the first byte of each page. */
export function paint(space: AddressSpace, address: VirtAddr, text: string): void {
  for (let page = 0; page < text.length; page++)
    expect(store(space, address + page * P, text.charCodeAt(page))).toBe("ok");
}

/** The first byte of each page as a letter; `.` for zero, `!` for a segmentation violation, `#` for a bus error. */
export function look(space: AddressSpace, address: VirtAddr, pages: number): string {
  let text = "";
  for (let page = 0; page < pages; page++) {
    const byte = load(space, address + page * P);
    if (typeof byte === "number") text += letterOf(byte);
    else text += byte === "bus" ? "#" : "!";
  }
  return text;
}

/** Stores one letter into an object, as `pwrite` would. */
export function poke(object: MemoryObject, offset: number, letter: string): void {
  expect(object.write(offset, Uint8Array.of(byteOf(letter)))).toBe(1);
}

/** Bytes of an object, as `pread` would give them. */
export function readText(object: MemoryObject, offset: number, length: number): string {
  const into = new Uint8Array(length);
  const count = object.read(offset, into);
  return String.fromCharCode(...into.subarray(0, Math.max(0, count)));
}

/** Bytes in the store behind a file. */
export function storedBytes(object: FileObject): number {
  return files.get(object)?.size() ?? -1;
}

/** Asserts that a call throws the package's error with this code. */
export function throwsCode(code: VmmErrorCode, call: () => unknown): void {
  expect(call).toThrow(expect.objectContaining({ code }) as Error);
}

/** The byte of a letter. */
export function byteOf(letter: string): number {
  return letter.charCodeAt(0);
}

function letterOf(byte: number): string {
  return byte === 0 ? "." : String.fromCharCode(byte);
}

function painted(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * P);
  for (let page = 0; page < text.length; page++) bytes.fill(text.charCodeAt(page), page * P, (page + 1) * P);
  return bytes;
}

function letters(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += P) text += letterOf(bytes[at]!);
  return text;
}
