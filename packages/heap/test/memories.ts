import { BufferMemory, NumberRange } from "@pagewright/heap";
import type { BlockMemory, RangeSource } from "@pagewright/heap";

/** Bytes reached only through `BlockMemory`, a word at a time, at addresses far from 0: what a virtual memory looks like. */
export class FarMemory implements RangeSource, BlockMemory {
  readonly #near: BufferMemory;
  readonly #base: number;
  constructor(bytes: number, base: number) {
    this.#near = new BufferMemory(new ArrayBuffer(bytes));
    this.#base = base;
  }
  reserve(bytes: number, alignment: number): number {
    const address = this.#near.reserve(bytes, alignment);
    return address === -1 ? -1 : address + this.#base;
  }
  release(address: number, bytes: number): void {
    this.#near.release(address - this.#base, bytes);
  }
  fill(address: number, bytes: number, value: number): void {
    this.#near.fill(address - this.#base, bytes, value);
  }
  copy(from: number, to: number, bytes: number): void {
    this.#near.copy(from - this.#base, to - this.#base, bytes);
  }
  load32(address: number): number {
    return this.#near.load32(address - this.#base);
  }
  store32(address: number, value: number): void {
    this.#near.store32(address - this.#base, value);
  }
}

/** Plain numbers in two pieces that never touch: every second reserve comes from the other half. */
export class SplitRange implements RangeSource {
  readonly #halves: readonly [NumberRange, NumberRange];
  #turn = 0;
  constructor(bytes: number) {
    this.#halves = [new NumberRange(4096, 4096 + bytes / 2), new NumberRange(2 ** 33, 2 ** 33 + bytes / 2)];
  }
  reserve(bytes: number, alignment: number): number {
    const first = this.#halves[this.#turn++ & 1 ? 1 : 0].reserve(bytes, alignment);
    return first === -1 ? this.#halves[this.#turn & 1 ? 1 : 0].reserve(bytes, alignment) : first;
  }
  release(address: number, bytes: number): void {
    this.#halves[address >= 2 ** 33 ? 1 : 0].release(address, bytes);
  }
}

/** Bytes whose ranges never touch. */
export class SplitMemory extends BufferMemory {
  constructor(bytes: number) {
    super(new ArrayBuffer(bytes));
  }
  override reserve(bytes: number, alignment: number): number {
    const address = super.reserve(bytes, alignment);
    if (address !== -1) super.reserve(alignment, alignment);
    return address;
  }
}

const wide = new ArrayBuffer(2 ** 31);

/** 2 GiB, of which the machine has what is touched; all that ask share the bytes. */
export function wideMemory(): BufferMemory {
  return new BufferMemory(wide);
}

/** Plain numbers from the top down, as an operating system gives address space: each range ends where the one before starts. */
export class DownwardRange implements RangeSource {
  readonly #mirror: NumberRange;
  readonly #end: number;
  constructor(end: number, bytes: number) {
    this.#mirror = new NumberRange(0, bytes);
    this.#end = end;
  }
  reserve(bytes: number, alignment: number): number {
    const whole = Math.ceil(bytes / alignment) * alignment;
    const mirrored = this.#mirror.reserve(whole, alignment);
    return mirrored === -1 ? -1 : this.#end - mirrored - whole;
  }
  release(address: number, bytes: number): void {
    this.#mirror.release(this.#end - address - bytes, bytes);
  }
}
