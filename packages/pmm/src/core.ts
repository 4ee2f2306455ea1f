/* One worker's view of the shared state: what all parts of the allocator work with. Not exported from the package. */
import { Arena, CLIENTS_NAMED, EPOCH, RANK_USED, RETIRED } from "./arena.ts";
import { Blocks } from "./blocks.ts";
import { settleCounts } from "./counts.ts";
import { PmmError } from "./errors.ts";
import type { PmmErrorCode } from "./errors.ts";
import { misuseOf } from "./misuse.ts";
import { PageStacks } from "./page-stacks.ts";
import { Plug } from "./plug.ts";
import type { PressureLevel, Watermarks } from "./ports.ts";
import type { PmmShare } from "./share.ts";
import { claimAny } from "./runs.ts";
import { freeFrames, stackedFrames } from "./stats.ts";
import { CLIENT_LIMIT, FrameTables } from "./tables.ts";
import { Giver, Taker } from "./taker.ts";
import type { Pfn } from "./units.ts";
import { updateSegments, zonesOf } from "./zone.ts";
import type { Zone } from "./zone.ts";

/** The parts that share one worker's view. */
export class Core {
  readonly share: PmmShare;
  readonly worker: number;
  readonly arena: Arena;
  readonly blocks: Blocks;
  readonly zones: readonly Zone[];
  readonly stacks: PageStacks;
  readonly taker: Taker;
  readonly giver: Giver;
  readonly tables: FrameTables;
  readonly plug: Plug;
  readonly #clients = new Map<string, number>();
  #epoch: number;
  #short = false;

  constructor(share: PmmShare, worker: number, homeNode: number) {
    this.share = share;
    this.worker = worker;
    this.arena = new Arena(share.layout, share.buffer);
    this.blocks = new Blocks(this.arena);
    this.#epoch = Atomics.load(this.arena.control, EPOCH);
    this.zones = zonesOf(this.arena);
    this.zones.forEach((zone, index) => {
      zone.watermarks = share.watermarks[index] ?? zone.watermarks;
      zone.reserve = share.reserves[index] ?? 0;
    });
    this.stacks = new PageStacks(this.arena, this.blocks, worker);
    const borrow = (zone: Zone, code: number): number => claimAny(this, zone, code);
    const { arena, blocks, stacks, zones } = this;
    this.taker = new Taker(arena, blocks, stacks, zones, homeNode, share.distances, borrow);
    this.giver = new Giver(this.arena, this.blocks, worker);
    this.tables = new FrameTables(share.tables, worker);
    this.plug = new Plug(this.arena, this.blocks, this.zones, worker);
    share.clients.forEach((name, index) => this.#clients.set(name, index + 1));
  }

  /** Reads what other workers plugged in since the last look. One load where nothing changed. */
  refresh(): void {
    const epoch = Atomics.load(this.arena.control, EPOCH);
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    updateSegments(this.arena, this.zones);
  }

  /** True for dense frames of the low zone. */
  isLow(frame: number): boolean {
    return this.arena.pfnOf(frame) < this.arena.layout.geometry.lowEnd;
  }

  /** The zone of a dense frame. */
  zoneOf(frame: number): Zone {
    const node = this.arena.nodeIndexOf(frame);
    const zone = this.zones[this.isLow(frame) ? this.arena.layout.geometry.nodes.length + node : node];
    if (zone === undefined) throw new PmmError("broken-invariant", "Every dense frame has a zone");
    return zone;
  }

  /** The normal zone of a node index. */
  zoneAt(node: number): Zone {
    const zone = this.zones[node];
    if (zone === undefined) throw new PmmError("broken-invariant", "Every node has a zone");
    return zone;
  }

  /** The marks of all normal zones together. */
  marks(): Watermarks {
    const marks = { min: 0, low: 0, high: 0 };
    for (const { isLow, watermarks } of this.zones) {
      if (isLow) continue;
      marks.min += watermarks.min;
      marks.low += watermarks.low;
      marks.high += watermarks.high;
    }
    return marks;
  }

  /** The pressure on all normal zones together, or on one by name. */
  levelOf(name: string | undefined): PressureLevel {
    if (name !== undefined) {
      const zone = this.zones.find((each) => each.name === name);
      if (zone === undefined) throw new PmmError("bad-argument", `There is no zone ${name}`);
      settleCounts(this);
      return zone.levelAt(zone.depotFrames + (zone.isLow ? 0 : stackedFrames(this, zone.index)));
    }
    const { min, low, high } = this.marks();
    const free = freeFrames(this);
    if (free <= low) this.#short = true;
    else if (free > high) this.#short = false;
    if (free <= min) return "min";
    return this.#short ? "low" : "none";
  }

  /** Retires a frame that was in use, or claimed for that: from now on it is never used again. */
  setRetired(frame: number): void {
    this.arena.turn(this.worker);
    this.arena.state[frame] = RETIRED;
    this.zoneOf(frame).addRetired(1);
    if (this.arena.layout.geometry.ranked) {
      Atomics.sub(this.arena.control, RANK_USED + this.arena.ranks[frame >>> 9]!, 1);
    }
    this.arena.turn(this.worker);
  }

  /** Moves all frames on this worker's page stacks to the blocks; returns how many. */
  drainAll(): number {
    let drained = 0;
    this.arena.layout.geometry.nodes.forEach((_, node) => {
      const zone = this.zones[node];
      if (zone !== undefined) drained += this.stacks.drainNode(node, zone);
    });
    return drained;
  }

  /** The number of a client: a new one for a new name, which no other worker gives to another. Throws `no-table` after 65535. */
  clientNumber(name: string): number {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const number = this.share.clients.length + 1 + Atomics.add(this.arena.control, CLIENTS_NAMED, 1);
    if (number > CLIENT_LIMIT) throw new PmmError("no-table", `There is room for ${CLIENT_LIMIT} clients`);
    this.#clients.set(name, number);
    return number;
  }

  /** Every client by name and number, those that other workers named included; none where no owner table is kept. */
  clientNumbers(): [name: string, client: number][] {
    const clients = this.tables.hasOwners
      ? this.share.clients.length + Atomics.load(this.arena.control, CLIENTS_NAMED)
      : 0;
    return Array.from({ length: Math.min(clients, CLIENT_LIMIT) }, (_, index) => [
      this.clientName(index + 1) ?? "",
      index + 1,
    ]);
  }

  /** The name of a client number, undefined for 0. */
  clientName(client: number): string | undefined {
    if (client === 0) return undefined;
    for (const [name, number] of this.#clients) if (number === client) return name;
    return `client ${client}`;
  }

  /** An error about a frame, with its zone and owner. */
  error(code: PmmErrorCode, message: string, pfn: Pfn, frame: number): PmmError {
    if (frame < 0) return new PmmError(code, message, { pfn });
    const owner = this.clientName(this.tables.ownerOf(frame));
    const zone = this.zoneOf(frame).name;
    return new PmmError(code, message, owner === undefined ? { pfn, zone } : { pfn, zone, owner });
  }

  /** The error for giving back, with order `order`, a frame that cannot be. */
  misuse(pfn: Pfn, frame: number, order: number): PmmError {
    const { code, message } = misuseOf(this.arena, frame, order);
    return this.error(code, message, pfn, frame);
  }

  /** The dense frame of a managed frame number; throws `not-managed`. */
  managed(pfn: Pfn): number {
    const frame = this.arena.frameOf(pfn);
    if (frame < 0) throw this.misuse(pfn, frame, 0);
    return frame;
  }
}
