/**
 * Power states of memory ranks, with what it costs to change them and the energy that they use.
 *
 * | state | power of a rank | to leave it | contents |
 * |---|---|---|---|
 * | active | 502 mW + 6.4 nJ an access | — | kept |
 * | power-down | 329 mW | 6 ns (tXP) | kept |
 * | self-refresh | 288 mW | 640 ns (tXSDLL) | kept |
 * | off | 0 W | 700 µs (reset and initialisation) | lost |
 *
 * A rank is eight 8 Gb ×8 DDR4-2400 devices at 1.2 V. Currents: Micron data sheet asf18c2gx72hz, "16GB (x72, ECC, DR) 260-Pin
 * DDR4 SODIMM", table "DDR4 IDD Specifications and Conditions – 16GB (Die Revision B)", a device's share of the
 * module's 18; these are limits, typical devices use less (self-refresh at 25 °C: 8.6 mA instead of 30). How they become power:
 * Micron TN-40-07, "Calculating Memory Power for DDR4 SDRAM". Times: JEDEC JESD79-4, "DDR4 SDRAM", tables of timing
 * parameters for 8 Gb at 2400 MT/s, and "Power-up Initialization Sequence".
 */
import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "../system/snapshotted.ts";

/** A rank's power state. */
export type RankState = "active" | "power-down" | "self-refresh" | "off";

/** Devices of a rank, and their supply in volts. */
const DEVICES = 8;
const VOLTS = 1.2;

/** Currents of a device in amperes, by the names of the data sheet: the module's figures by its 18 devices. */
const IDD2N = 0.612 / 18;
const IDD2P = 0.45 / 18;
const IDD3N = 0.774 / 18;
const IDD5B = 2.475 / 9 - IDD2P;
const IDD6N = 0.54 / 18;
/** In these two, nine devices work while the other nine are in power-down (IDD2P). */
const IDD0 = 0.657 / 9 - IDD2P;
const IDD4R = 1.44 / 9 - IDD2P;

/** Times in ns: a refresh of 8 Gb and how often it comes, a row cycle and its parts, a burst of 8 at 2400 MT/s. */
const T_RFC = 350;
const T_REFI = 7800;
const T_RC = 46.16;
const T_RAS = 32;
const T_BURST = 8 / 2.4;

/** What refreshing adds on average; a rank in self-refresh has it in IDD6N. */
const REFRESH = ((IDD5B - IDD3N) * T_RFC) / T_REFI;

/** Watts of a rank in each state. */
export const RANK_WATTS: Readonly<Record<RankState, number>> = {
  active: (IDD3N + REFRESH) * VOLTS * DEVICES,
  "power-down": (IDD2P + REFRESH) * VOLTS * DEVICES,
  "self-refresh": IDD6N * VOLTS * DEVICES,
  off: 0,
};

/**
 * Nanoseconds from each state to active: tXP; tXSDLL = tDLLK = 768 clocks at 1200 MHz, since reads need the DLL (commands that
 * do not may come after tXS = 360 ns); 200 µs of reset and 500 µs until CKE.
 */
export const WAKE_NS: Readonly<Record<RankState, number>> = {
  active: 0,
  "power-down": 6,
  "self-refresh": 768 / 1.2,
  off: 700_000,
};

/** Nanojoules of an access to 64 bytes of a row that was closed: activate, precharge, and a read burst on all devices. */
export const ACCESS_NJ: number =
  (IDD0 * T_RC - IDD3N * T_RAS - IDD2N * (T_RC - T_RAS) + (IDD4R - IDD3N) * T_BURST) * VOLTS * DEVICES;

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

/**
 * The ranks of a machine. Time is virtual, in ns, read from a clock.
 *
 * A machine with `timing.rankBytes` has one (`Machine.ranks`) that is told of the CPUs' accesses. Whoever makes another, or moves data
 * past the CPUs, calls {@link RankPower.access} for it; the ns that it and {@link RankPower.setState} return are the caller's to
 * charge, with `CostMeter.spend` or `VirtualClock.spend`.
 */
export class RankPower implements Snapshotted<readonly RankSnapshot[]> {
  #ranks: Rank[];
  readonly #clock: { readonly now: number };

  /** Creates `ranks` active ranks. */
  constructor(ranks: number, clock: { readonly now: number }) {
    if (!Number.isInteger(ranks) || ranks < 1)
      throw new MachineError("bad-argument", `A machine has at least one rank, not ${ranks}`, { ranks });
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
