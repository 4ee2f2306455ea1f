/**
 * MTRRs at run time: ranges are added and removed, and after each change the registers are synthesised anew, with as few
 * as there can be. What does not fit the registers is refused, and the answer says what page tables can do instead: the
 * PAT makes a page write-combining or uncachable whatever the MTRRs say, but not cached where they say uncachable.
 *
 * Invariant: `registers` gives every range that was added its type, and the rest of the base its own.
 */
import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { FRAME_BYTES, hexOf } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import { combineTypes } from "./memory-type.ts";
import type { MemoryType } from "./memory-type.ts";
import type { MtrrRegisters, MtrrState, TypedRange, VariableRange } from "./registers.ts";
import { synthesiseMtrrs } from "./synthesis.ts";
import type { TypeNeed } from "./synthesis.ts";

/** A range that was added. */
export interface MtrrClaim extends TypeNeed {
  /** Who asked for it. */
  readonly owner: string;
}

/** Outcome of {@link MtrrManager.add}. */
export type MtrrOutcome = MtrrGrant | MtrrRefusal;

/** The range fits. */
export interface MtrrGrant {
  /** Says which of the two it is. */
  readonly ok: true;
  /** For {@link MtrrManager.remove}. */
  readonly claim: MtrrClaim;
  /** The registers to be loaded on every CPU, by the manual's update sequence. */
  readonly registers: readonly VariableRange[];
}

/** The range does not fit; nothing changed. */
export interface MtrrRefusal {
  /** Says which of the two it is. */
  readonly ok: false;
  /** Why: more registers than there are, or an overlap that no set of registers gives. */
  readonly reason: "too-many-registers" | "impossible";
  /** Registers that the change would have needed; Infinity when no number would do. */
  readonly needed: number;
  /** Registers there are. */
  readonly available: number;
  /** What the range gets instead from the registers as they are: what is lost. */
  readonly typeNow: readonly TypedRange[];
  /** The PAT type that gives the range its type all the same, or null when page tables cannot. */
  readonly patType: MemoryType | null;
}

const PAT_TYPES: readonly MemoryType[] = ["WB", "WT", "WP", "WC", "UC-", "UC"];

/** Returns the PAT type under which every one of `ranges` becomes `wanted`, or null. */
export function patFor(wanted: MemoryType, ranges: readonly TypedRange[]): MemoryType | null {
  const works = (pat: MemoryType): boolean =>
    ranges.every(({ type }) => type !== null && combineTypes(pat, type) === wanted);
  return PAT_TYPES.find(works) ?? null;
}

/** A manager as plain data. */
export interface MtrrManagerState {
  /** The ranges that were added and not removed. */
  readonly claims: readonly MtrrClaim[];
  /** The registers. */
  readonly registers: MtrrState;
}

/** Keeps the variable MTRRs of a machine: one set, to be loaded on every CPU alike. */
export class MtrrManager implements Snapshotted<MtrrManagerState> {
  /** The registers as they are to be. */
  readonly registers: MtrrRegisters;
  readonly #base: readonly TypeNeed[];
  #claims: MtrrClaim[] = [];

  /**
   * Creates a manager over `registers` whose needs to start with are `base` (see `mtrrNeeds`); synthesises at once. Throws
   * `mtrr-misuse` when the base alone does not fit.
   */
  constructor(registers: MtrrRegisters, base: readonly TypeNeed[]) {
    this.registers = registers;
    this.#base = base;
    const ranges = this.#synthesise([]);
    if (ranges === null || ranges.length > registers.variable.length)
      throw new MachineError(
        "mtrr-misuse",
        `The map needs ${ranges?.length ?? Infinity} variable MTRRs of ${registers.variable.length}`,
        { needed: ranges?.length ?? Infinity, available: registers.variable.length },
      );
    registers.setRanges(ranges);
  }

  /** The ranges that were added and not removed, in that order. */
  get claims(): readonly MtrrClaim[] {
    return this.#claims;
  }

  /**
   * Gives `[start, end)` the type `type`, over whatever the base says there. A refusal changes nothing. Throws
   * `mtrr-misuse` when the range is not whole frames or another owner has part of it, naming both.
   */
  add(start: PhysAddr, end: PhysAddr, type: MemoryType, owner: string): MtrrOutcome {
    this.#requireFree(start, end, owner);
    const claim: MtrrClaim = { start, end, type, owner };
    const ranges = this.#synthesise([...this.#claims, claim]);
    const available = this.registers.variable.length;
    if (ranges === null || ranges.length > available) {
      const typeNow = this.registers.typesIn(start, end);
      return {
        ok: false,
        reason: ranges === null ? "impossible" : "too-many-registers",
        needed: ranges?.length ?? Infinity,
        available,
        typeNow,
        patType: patFor(type, typeNow),
      };
    }
    this.#claims.push(claim);
    this.registers.setRanges(ranges);
    return { ok: true, claim, registers: ranges };
  }

  #requireFree(start: PhysAddr, end: PhysAddr, owner: string): void {
    if (!Number.isInteger(start / FRAME_BYTES) || !Number.isInteger(end / FRAME_BYTES) || end <= start)
      throw new MachineError("mtrr-misuse", `[${hexOf(start)}, ${hexOf(end)}) is not one or more whole frames`, {
        start,
        end,
        owner,
      });
    const other = this.#claims.find((one) => one.start < end && one.end > start);
    if (other !== undefined)
      throw new MachineError(
        "mtrr-misuse",
        `${owner} wants [${hexOf(start)}, ${hexOf(end)}), part of which ${other.owner} has: [${hexOf(other.start)}, ${hexOf(other.end)}) as ${other.type}`,
        { owner, start, end, other: other.owner, otherStart: other.start, otherEnd: other.end },
      );
  }

  /** Takes a range back; throws `mtrr-misuse` when it is not there. Returns the registers to be loaded on every CPU. */
  remove(claim: MtrrClaim): readonly VariableRange[] {
    const at = this.#claims.findIndex(
      ({ start, end, owner }) => start === claim.start && end === claim.end && owner === claim.owner,
    );
    if (at < 0)
      throw new MachineError(
        "mtrr-misuse",
        `[${hexOf(claim.start)}, ${hexOf(claim.end)}) of ${claim.owner} is not there`,
        {
          ...claim,
        },
      );
    const rest = this.#claims.filter((_, index) => index !== at);
    const ranges = this.#synthesise(rest);
    if (ranges === null || ranges.length > this.registers.variable.length)
      throw new MachineError("mtrr-misuse", "Without this range the others need more registers than there are", {
        needed: ranges?.length ?? Infinity,
        available: this.registers.variable.length,
      });
    this.#claims = rest;
    this.registers.setRanges(ranges);
    return ranges;
  }

  #synthesise(claims: readonly MtrrClaim[]): readonly VariableRange[] | null {
    const types = new Set<MemoryType>(["WB", "UC", ...claims.map((claim) => claim.type)]);
    return synthesiseMtrrs(overlaid(this.#base, claims), {
      defaultType: this.registers.defaultType,
      types: [...types],
    });
  }

  /** Snapshotted: the ranges and the registers. */
  saveState(): MtrrManagerState {
    return { claims: [...this.#claims], registers: this.registers.saveState() };
  }

  /** Snapshotted: the ranges and the registers. */
  restoreState({ claims, registers }: MtrrManagerState): void {
    this.#claims = [...claims];
    this.registers.restoreState(registers);
  }

  /** Throws `broken-invariant` unless the registers give every range, and the base around them, its type. */
  check(): void {
    this.registers.check();
    for (const need of overlaid(this.#base, this.#claims))
      for (const range of this.registers.typesIn(need.start, need.end))
        invariant(
          range.type === need.type,
          `[${hexOf(range.start)}, ${hexOf(range.end)}) is ${need.type}, not ${range.type ?? "undefined"}`,
        );
  }
}

/** The base with `ranges` laid over it, ascending. */
function overlaid(base: readonly TypeNeed[], ranges: readonly TypeNeed[]): TypeNeed[] {
  let out = [...base];
  for (const { start, end, type } of ranges) {
    out = out.flatMap((need) =>
      need.end <= start || need.start >= end
        ? [need]
        : [
            { ...need, end: Math.min(need.end, start) },
            { ...need, start: Math.max(need.start, end) },
          ].filter((part) => part.end > part.start),
    );
    out.push({ start, end, type });
  }
  return out.sort((a, b) => a.start - b.start);
}
