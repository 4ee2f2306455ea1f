/**
 * Which rank serves an address: rank n has the bytes from n · `rankBytes` on, as `frameRanges({ rankBytes })` numbers them. What a
 * `CostMeter` tells of accesses to memory.
 */
import { MachineError } from "../errors.ts";
import type { PhysicalMap } from "../map/physical-map.ts";
import { FRAME_BYTES, isPowerOfTwo } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import type { VirtualClock } from "../system/clock.ts";
import { RankPower } from "./rank-power.ts";

/** The memory of a machine, by ranks. */
export class RankedMemory {
  /** Their power states and energy account. */
  readonly power: RankPower;
  /** Bytes of a rank. */
  readonly rankBytes: number;
  readonly #ranks: number;

  /**
   * Makes ranks of `rankBytes` bytes, active, for all that `map` has up to its end. Throws `bad-argument` unless that is a power of two,
   * at least a frame.
   */
  constructor(map: PhysicalMap, rankBytes: number, clock: VirtualClock) {
    if (!isPowerOfTwo(rankBytes) || rankBytes < FRAME_BYTES)
      throw new MachineError("bad-argument", `A rank has 2^n bytes, at least a frame, not ${rankBytes}`, { rankBytes });
    const end = map.regions().reduce((last, one) => (one.kind === "mmio" ? last : Math.max(last, one.end)), rankBytes);
    this.#ranks = Math.ceil(end / rankBytes);
    this.rankBytes = rankBytes;
    this.power = new RankPower(this.#ranks, clock);
  }

  /** Notes an access; returns the ns that it waits for its rank to wake up. What was plugged beyond the ranks counts for none. */
  access(address: PhysAddr): number {
    const rank = Math.floor(address / this.rankBytes);
    return rank < this.#ranks ? this.power.access(rank) : 0;
  }
}
