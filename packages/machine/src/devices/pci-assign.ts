/**
 * Resource assignment: every memory BAR of a bus gets a claimed window of the physical map, largest first, so that the
 * alignment of the large ones wastes nothing. I/O BARs have no place in the map: `assignPorts` gives them theirs.
 */
import { MachineError } from "../errors.ts";
import type { AddressClaims, Claim } from "../map/claims.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { hexOf } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import type { PciBus, PciNode } from "./pci-bus.ts";
import { COMMAND, CONFIG } from "./pci-config.ts";
import { PciFunction } from "./pci-function.ts";
import { probeBars, windowsFor, writeBar } from "./pci-probe.ts";
import type { ProbedBar } from "./pci-probe.ts";

/** A BAR with the window it was given; null where nothing fitted. */
export interface Assignment {
  /** Whose BAR. */
  readonly node: PciNode;
  /** Which BAR. */
  readonly bar: ProbedBar;
  /** Its window in the map. */
  readonly claim: Claim | null;
}

/** The windows that BARs hold: by BAR, the first byte. */
export type PciResourcesState = readonly (readonly [bar: string, start: PhysAddr])[];

/** Assigns and moves memory BARs, remembering which claim belongs to which. */
export class PciResources implements Snapshotted<PciResourcesState> {
  readonly #bus: PciBus;
  readonly #claims: AddressClaims;
  readonly #held = new Map<string, Claim>();

  /** Creates a resource manager for `bus` over the claims of the machine's map. */
  constructor(bus: PciBus, claims: AddressClaims) {
    this.#bus = bus;
    this.#claims = claims;
  }

  /**
   * Sizes every memory BAR and gives it a place: 64-bit prefetchable ones above 4 GiB where a window allows it, all others
   * below. Decoding is switched on for functions all of whose memory BARs have a place. Returns each with its claim.
   */
  assignAll(): Assignment[] {
    const wanted = this.#bus.nodes.flatMap((node) =>
      node.unit instanceof PciFunction
        ? probeBars(node.unit)
            .filter((bar) => bar.kind !== "io")
            .map((bar) => ({ node, bar }))
        : [],
    );
    wanted.sort((a, b) => b.bar.size - a.bar.size);
    const out = wanted.map(({ node, bar }) => ({ node, bar, claim: this.#assign(node, bar) }));
    for (const node of this.#bus.nodes) {
      const own = out.filter((one) => one.node === node);
      if (own.length > 0 && own.every((one) => one.claim !== null)) this.#switchOn(node);
    }
    return out;
  }

  #assign(node: PciNode, bar: ProbedBar): Claim | null {
    const within = windowsFor(bar, this.#bus.bridgesAbove(node));
    const high = bar.kind === "memory64" && bar.prefetchable;
    const wish = { size: bar.size, alignment: bar.size, within };
    let start = high ? this.#claims.find({ ...wish, above: 2 ** 32, below: 2 ** 52 }) : -1;
    if (start < 0) start = this.#claims.find({ ...wish, below: 2 ** 32 });
    return start < 0 ? null : this.#take(node, bar, start);
  }

  /** Moves a BAR and its claim to `start`, with decoding off meanwhile; on an error both are where they were. */
  #take(node: PciNode, bar: ProbedBar, start: PhysAddr): Claim {
    const key = this.#key(node, bar);
    const owner = node.unit.identity.name;
    const before = this.#held.get(key);
    const command = node.unit.readConfig(CONFIG.command, 2);
    node.unit.writeConfig(CONFIG.command, 2, command & ~COMMAND.memory);
    if (before !== undefined) this.#claims.release(before);
    try {
      const claim = this.#claims.claim(start, bar.size, { owner });
      writeBar(node.unit, bar, start);
      this.#held.set(key, claim);
      return claim;
    } catch (error) {
      if (before !== undefined)
        this.#held.set(key, this.#claims.claim(before.start, before.end - before.start, { owner }));
      throw error;
    } finally {
      node.unit.writeConfig(CONFIG.command, 2, command);
    }
  }

  /** Snapshotted: which BAR holds which claim. */
  saveState(): PciResourcesState {
    return [...this.#held].map(([bar, { start }]) => [bar, start] as const);
  }

  /** Snapshotted: which BAR held which claim; the claims are restored before. */
  restoreState(state: PciResourcesState): void {
    this.#held.clear();
    for (const [bar, start] of state) {
      const claim = this.#claims.claims.find((one) => one.start === start);
      if (claim !== undefined) this.#held.set(bar, claim);
    }
  }

  #key(node: PciNode, bar: ProbedBar): string {
    return `${this.#bus.nodes.indexOf(node)}:${bar.index}`;
  }

  #switchOn(node: PciNode): void {
    const command = node.unit.readConfig(CONFIG.command, 2);
    node.unit.writeConfig(CONFIG.command, 2, command | COMMAND.memory);
  }

  /**
   * Moves a memory BAR to `start`. Throws `unaligned`, `overlap` or `double-claim` (naming both parties), or `device-misuse` when
   * it is an I/O BAR, or a bridge above would not pass the window, or only through a prefetchable window that this BAR must not use. On any of
   * them the BAR stays where it was.
   */
  move(node: PciNode, bar: ProbedBar, start: PhysAddr): Claim {
    if (bar.kind === "io")
      throw new MachineError(
        "device-misuse",
        `${node.unit.identity.name}: BAR ${bar.index} holds I/O ports, which have no address in the map`,
        { owner: node.unit.identity.name, bar: bar.index, start },
      );
    const windows = windowsFor(bar, this.#bus.bridgesAbove(node));
    const end = start + bar.size;
    if (!windows.some((window) => start >= window.start && end <= window.end))
      throw new MachineError(
        "device-misuse",
        `${node.unit.identity.name}: no bridge window for ${bar.prefetchable ? "" : "non-"}prefetchable memory holds [${hexOf(start)}, ${hexOf(end)})`,
        { owner: node.unit.identity.name, start, end, prefetchable: bar.prefetchable, windows },
      );
    return this.#take(node, bar, start);
  }
}
