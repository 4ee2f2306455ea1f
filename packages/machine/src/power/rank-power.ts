/**
 * Power states of memory ranks, with what it costs to change them and the energy that they use.
 *
 * | state | power of a rank | to leave it | contents |
 * |---|---|---|---|
 * | active | 0.60 W + 1.0 nJ an access | — | kept |
 * | power-down | 0.40 W | 6 ns (tXP) | kept |
 * | self-refresh | 0.08 W | 270 ns (tXS at 8 Gb: tRFC + 10 ns, rounded up) | kept |
 * | off | 0 W | 500 µs (initialisation) | lost |
 *
 * Source: times: JEDEC JESD79-4, DDR4 SDRAM (tXP, tXS, power-up initialisation). Power: orders from the IDD figures of a rank
 * of eight 8 Gb ×8 DDR4-2400 devices at 1.2 V as in Micron TN-40-07, Calculating Memory Power for DDR4 SDRAM: IDD3N 55 mA,
 * IDD2P 40 mA (rounded), IDD6N 8 mA a device.
 */
import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "../system/snapshotted.ts";

/** A rank's power state. */
export type RankState = "active" | "power-down" | "self-refresh" | "off";

/** Watts of a rank in each state. */
export const RANK_WATTS: Readonly<Record<RankState, number>> = {
  active: 0.6,
  "power-down": 0.4,
  "self-refresh": 0.08,
  off: 0,
};

/** Nanoseconds from each state to active. */
export const WAKE_NS: Readonly<Record<RankState, number>> = {
  active: 0,
  "power-down": 6,
  "self-refresh": 270,
  off: 500_000,
};

/** Nanojoules of an access. */
export const ACCESS_NJ = 1;

interface Rank {
  state: RankState;
  since: number;
  accesses: number;
  transitions: number;
  joules: number;
}

/** One rank as plain data: its figures, and when they were last brought up to date, ns. */
export type RankSnapshot = RankStats & { readonly since: number };

/** Figures of one rank. */
export interface RankStats {
  /** Its state now. */
  readonly state: RankState;
  /** Joules used so far. */
  readonly joules: number;
  /** Accesses that it served. */
  readonly accesses: number;
  /** Changes of state. */
  readonly transitions: number;
}

/** The ranks of a machine. Time is virtual, in ns, read from a clock. */
export class RankPower implements Snapshotted<readonly RankSnapshot[]> {
  #ranks: Rank[];
  readonly #clock: { readonly now: number };

  /** Creates `ranks` active ranks. */
  constructor(ranks: number, clock: { readonly now: number }) {
    this.#clock = clock;
    this.#ranks = Array.from({ length: ranks }, () => ({
      state: "active",
      since: clock.now,
      accesses: 0,
      transitions: 0,
      joules: 0,
    }));
  }

  #rank(rank: number): Rank {
    const found = this.#ranks[rank];
    if (found === undefined)
      throw new MachineError("bad-argument", `There is no rank ${rank}, only ${this.#ranks.length}`, { rank });
    const now = this.#clock.now;
    found.joules += (RANK_WATTS[found.state] * (now - found.since)) / 1e9;
    found.since = now;
    return found;
  }

  /** Changes a rank's state; returns the ns that it takes: leaving a state costs what {@link WAKE_NS} says. */
  setState(rank: number, state: RankState): number {
    const one = this.#rank(rank);
    if (one.state === state) return 0;
    const cost = WAKE_NS[one.state];
    one.state = state;
    one.transitions++;
    return cost;
  }

  /** Notes an access: a sleeping rank wakes up. Returns the ns that the access has to wait. */
  access(rank: number): number {
    const one = this.#rank(rank);
    if (one.state === "off")
      throw new MachineError("device-misuse", `Rank ${rank} is off: it cannot be accessed`, { rank });
    one.accesses++;
    one.joules += ACCESS_NJ / 1e9;
    return this.setState(rank, "active");
  }

  /** Returns the figures of a rank up to now. */
  stats(rank: number): RankStats {
    const { state, joules, accesses, transitions } = this.#rank(rank);
    return { state, joules, accesses, transitions };
  }

  /** Joules used by all ranks up to now. */
  totalJoules(): number {
    return this.#ranks.reduce((sum, _, rank) => sum + this.stats(rank).joules, 0);
  }

  /** Snapshotted: states and energy account. */
  saveState(): readonly RankSnapshot[] {
    return this.#ranks.map((rank) => ({ ...rank }));
  }

  /** Snapshotted: states and energy account; the clock is restored before. */
  restoreState(state: readonly RankSnapshot[]): void {
    this.#ranks = state.map((rank) => ({ ...rank }));
  }

  /** Throws `broken-invariant` unless energies and times are sound. */
  check(): void {
    for (const rank of this.#ranks) {
      invariant(rank.joules >= 0, "a rank's energy never falls below zero");
      invariant(rank.since <= this.#clock.now, "a rank's last change is not in the future");
    }
  }
}
