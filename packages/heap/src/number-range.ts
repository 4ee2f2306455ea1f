import { HeapError } from "./errors.ts";
import type { RangeSource } from "./ports.ts";

/**
 * A plain range of numbers: GPU buffer offsets, file offsets, address space. No bytes, only numbers.
 *
 * Invariant: every number of `[start, end)` is in exactly one of: a reserved range, a free hole below `top`, `[top, end)`.
 */
export class NumberRange implements RangeSource {
  /** First number. */
  readonly start: number;
  /** One past the last number. */
  end: number;
  #top: number;
  /** Free holes below the top: start, end, start, end … ascending, never touching each other. */
  #holes: number[] = [];
  /** How often reserve and release were called. */
  calls = 0;

  /** @throws HeapError `bad-option` where `end` is below `start` or either is not a whole number. */
  constructor(start: number, end: number) {
    if (!(end >= start) || !Number.isSafeInteger(start) || !Number.isSafeInteger(end))
      throw new HeapError("bad-option", end, "a range needs a start that is not above its end");
    this.start = start;
    this.end = end;
    this.#top = start;
  }

  /** Below this number something may be reserved; nothing is above. */
  get top(): number {
    return this.#top;
  }

  /** Takes the first hole that fits, else the numbers at the top. A size that is no number fits nowhere. */
  reserve(bytes: number, alignment: number): number {
    this.calls++;
    const holes = this.#holes;
    for (let at = 0; at < holes.length; at += 2) {
      const start = holes[at] ?? 0;
      const end = holes[at + 1] ?? 0;
      const address = Math.ceil(start / alignment) * alignment;
      if (!(address + bytes <= end)) continue;
      const rest: number[] = [];
      if (address > start) rest.push(start, address);
      if (address + bytes < end) rest.push(address + bytes, end);
      holes.splice(at, 2, ...rest);
      return address;
    }
    const address = Math.ceil(this.#top / alignment) * alignment;
    if (!(address + bytes <= this.end) && !this.grow(address + bytes)) return -1;
    const below = this.#top;
    this.#top = address + bytes;
    if (address > below) this.#giveHole(below, address);
    return address;
  }

  /** Takes back `[address, address + bytes)`. @throws HeapError `double-free` where part of it is free, `wild-free` where it is outside. */
  release(address: number, bytes: number): void {
    this.calls++;
    if (!(address >= this.start && bytes >= 0 && address + bytes <= this.#top))
      throw new HeapError("wild-free", address);
    if (bytes > 0) this.#giveHole(address, address + bytes);
    const last = this.#holes.length - 2;
    if (last >= 0 && this.#holes[last + 1] === this.#top) {
      this.#top = this.#holes[last] ?? this.start;
      this.#holes.length = last;
    }
  }

  /** Makes room up to `end`; a plain range has none. Subclasses over memory that grows override it. */
  protected grow(_end: number): boolean {
    return false;
  }

  #giveHole(start: number, end: number): void {
    const holes = this.#holes;
    let at = holes.length;
    while (at > 0 && (holes[at - 2] ?? 0) >= start) at -= 2;
    if ((holes[at] ?? Infinity) < end || (at > 0 && (holes[at - 1] ?? 0) > start))
      throw new HeapError("double-free", start);
    const joinsBelow = at > 0 && holes[at - 1] === start;
    const joinsAbove = holes[at] === end;
    if (joinsBelow && joinsAbove) holes.splice(at - 1, 2);
    else if (joinsBelow) holes[at - 1] = end;
    else if (joinsAbove) holes[at] = start;
    else holes.splice(at, 0, start, end);
  }
}
