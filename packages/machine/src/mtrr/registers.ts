/**
 * The memory type range registers of a processor: eleven fixed registers of eight ranges each below 1 MiB, some variable
 * ones, and a default type.
 *
 *   00000-7ffff  8 × 64 KiB      80000-bffff  16 × 16 KiB      c0000-fffff  64 × 4 KiB
 *
 * A variable register covers a power-of-two block at a multiple of its size. Its mask has a bit for every address bit that
 * must match: mask = 2^width − length. Source: Intel SDM volume 3A, Memory Type Range Registers.
 */
import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { alignDown, FRAME_BYTES, hexOf, isPowerOfTwo, KIB, MIB } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import { overlapTypes } from "./memory-type.ts";
import type { MemoryType } from "./memory-type.ts";

/** A variable range: a naturally aligned power-of-two block. */
export interface VariableRange {
  /** First byte, a multiple of `length`. */
  readonly base: PhysAddr;
  /** Bytes, a power of two ≥ 4096. */
  readonly length: number;
  /** Its type; never `UC-`. */
  readonly type: MemoryType;
}

/** A range and its effective type; `type` is null where the manual leaves it undefined. */
export interface TypedRange {
  /** First byte. */
  readonly start: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
  /** The type. */
  readonly type: MemoryType | null;
}

const FIXED_RANGES = 88;

function fixedStart(index: number): PhysAddr {
  if (index < 8) return index * 64 * KIB;
  return index < 24 ? 512 * KIB + (index - 8) * 16 * KIB : 768 * KIB + (index - 24) * 4 * KIB;
}

function fixedIndex(address: PhysAddr): number {
  if (address < 512 * KIB) return Math.floor(address / (64 * KIB));
  if (address < 768 * KIB) return 8 + Math.floor((address - 512 * KIB) / (16 * KIB));
  return 24 + Math.floor((address - 768 * KIB) / (4 * KIB));
}

/** Returns the 52-bit mask of a block: bits that an address must share with its base. */
export function maskOf(length: number, width = 52): number {
  return 2 ** width - length;
}

/** Whether `[base, base + length)` is a block that one variable register can cover. */
export function isBlock(base: PhysAddr, length: number): boolean {
  return length >= FRAME_BYTES && isPowerOfTwo(length) && alignDown(base, length) === base;
}

/** MTRRs as plain data. */
export interface MtrrState {
  /** See {@link MtrrRegisters.defaultType}. */
  readonly defaultType: MemoryType;
  /** See {@link MtrrRegisters.enabled}. */
  readonly enabled: boolean;
  /** See {@link MtrrRegisters.fixedEnabled}. */
  readonly fixedEnabled: boolean;
  /** The types of the 88 fixed ranges. */
  readonly fixed: readonly MemoryType[];
  /** See {@link MtrrRegisters.variable}. */
  readonly variable: readonly (VariableRange | null)[];
}

/** One processor's memory type range registers: eleven fixed ones for the first megabyte, some variable ones, and a default type. */
export class MtrrRegisters implements Snapshotted<MtrrState> {
  /** Type of what no register covers. */
  defaultType: MemoryType = "UC";
  /** IA32_MTRR_DEF_TYPE.E: off, everything is UC. */
  enabled = true;
  /** IA32_MTRR_DEF_TYPE.FE. */
  fixedEnabled = false;
  readonly #fixed: MemoryType[] = new Array<MemoryType>(FIXED_RANGES).fill("UC");
  readonly #variable: (VariableRange | null)[];

  /** Creates `count` empty variable registers (most processors have 8 or 10; IA32_MTRRCAP.VCNT). */
  constructor(count = 10) {
    this.#variable = new Array<VariableRange | null>(count).fill(null);
  }

  /** The variable registers, by number; null: not valid. */
  get variable(): readonly (VariableRange | null)[] {
    return this.#variable;
  }

  /** The ranges in use. */
  get ranges(): readonly VariableRange[] {
    return this.#variable.filter((range) => range !== null);
  }

  /** Programs variable register `index`, or clears it with null. */
  setVariable(index: number, range: VariableRange | null): void {
    if (index < 0 || index >= this.#variable.length)
      throw new MachineError("mtrr-misuse", `There is no variable MTRR ${index}, only ${this.#variable.length}`, {
        index,
        count: this.#variable.length,
      });
    if (range !== null && (!isBlock(range.base, range.length) || range.type === "UC-"))
      throw new MachineError(
        "mtrr-misuse",
        `A variable MTRR covers an aligned power-of-two block of type UC, WC, WT, WP or WB, not ${hexOf(range.length)} at ${hexOf(range.base)} as ${range.type}`,
        { index, ...range },
      );
    this.#variable[index] = range;
  }

  /** Programs the variable registers with `ranges`, clearing the rest; `mtrr-misuse` when there are too few. */
  setRanges(ranges: readonly VariableRange[]): void {
    if (ranges.length > this.#variable.length)
      throw new MachineError(
        "mtrr-misuse",
        `${ranges.length} ranges do not fit ${this.#variable.length} variable MTRRs`,
        {
          needed: ranges.length,
          available: this.#variable.length,
        },
      );
    this.#variable.forEach((_, index) => {
      this.setVariable(index, ranges[index] ?? null);
    });
  }

  /** Programs the fixed ranges that lie in `[start, end)`, below 1 MiB, cut at fixed-range boundaries or `mtrr-misuse`. */
  setFixed(start: PhysAddr, end: PhysAddr, type: MemoryType): void {
    const first = fixedIndex(start);
    const last = end === MIB ? FIXED_RANGES : fixedIndex(end);
    if (end > MIB || fixedStart(first) !== start || (end < MIB && fixedStart(last) !== end) || end <= start)
      throw new MachineError("mtrr-misuse", `[${hexOf(start)}, ${hexOf(end)}) is no run of fixed ranges`, {
        start,
        end,
      });
    this.#fixed.fill(type, first, last);
  }

  /** Returns the type of the byte at `address`; null where overlapping registers leave it undefined. */
  typeAt(address: PhysAddr): MemoryType | null {
    if (!this.enabled) return "UC";
    if (this.fixedEnabled && address < MIB) return this.#fixed[fixedIndex(address)] ?? "UC";
    let type: MemoryType | null | undefined;
    for (const range of this.#variable) {
      if (range === null || address < range.base || address >= range.base + range.length) continue;
      if (range.type === "UC") return "UC";
      type = type === undefined ? range.type : type === null ? null : overlapTypes(type, range.type);
    }
    return type === undefined ? this.defaultType : type;
  }

  /** Returns `[start, end)` cut into ranges of one type each, adjacent equal ones merged. */
  typesIn(start: PhysAddr, end: PhysAddr): TypedRange[] {
    const cuts = new Set([start, end]);
    const add = (at: PhysAddr): void => {
      if (at > start && at < end) cuts.add(at);
    };
    for (const range of this.ranges) {
      add(range.base);
      add(range.base + range.length);
    }
    if (this.fixedEnabled) for (let index = 0; index < FIXED_RANGES; index++) add(fixedStart(index));
    add(MIB);
    const sorted = [...cuts].sort((a, b) => a - b);
    const out: { start: number; end: number; type: MemoryType | null }[] = [];
    sorted.slice(0, -1).forEach((from, at) => {
      const type = this.typeAt(from);
      const last = out[out.length - 1];
      const to = sorted[at + 1] ?? end;
      if (last?.end === from && last.type === type) last.end = to;
      else out.push({ start: from, end: to, type });
    });
    return out;
  }

  /** Snapshotted: all registers. */
  saveState(): MtrrState {
    const { defaultType, enabled, fixedEnabled } = this;
    return { defaultType, enabled, fixedEnabled, fixed: [...this.#fixed], variable: [...this.#variable] };
  }

  /** Snapshotted: all registers; throws `mtrr-misuse` when more variable ones are in use than there are here. */
  restoreState(state: MtrrState): void {
    if (state.variable.slice(this.#variable.length).some((range) => range !== null))
      throw new MachineError("mtrr-misuse", `These are ${this.#variable.length} variable MTRRs, too few`, {
        needed: state.variable.length,
        available: this.#variable.length,
      });
    this.defaultType = state.defaultType;
    this.enabled = state.enabled;
    this.fixedEnabled = state.fixedEnabled;
    state.fixed.forEach((type, index) => (this.#fixed[index] = type));
    this.#variable.forEach((_, index) => {
      this.setVariable(index, state.variable[index] ?? null);
    });
  }

  /** Makes these registers equal to `other`; throws `mtrr-misuse` when that uses more variable ones than there are here. */
  copyFrom(other: MtrrRegisters): void {
    this.restoreState(other.saveState());
  }

  /** Whether these registers and `other` give every address the same type by the same registers. */
  equals(other: MtrrRegisters): boolean {
    const text = (one: MtrrRegisters): string => JSON.stringify({ ...one.saveState(), variable: one.ranges });
    return text(this) === text(other);
  }

  /** Throws `broken-invariant` unless every variable range is a block. */
  check(): void {
    for (const range of this.ranges)
      invariant(isBlock(range.base, range.length), `a variable MTRR covers a block, also at ${hexOf(range.base)}`);
  }
}
