/*
 * The slow paths of taking: refill, other nodes, whole blocks, and what to do when a zone has nothing left. The fast path
 * is in pmm.ts. The order of despair, per node from near to far: own page stack, blocks, own other page stacks; then, if
 * the taker agrees, the low zone.
 */
import { PINNED, STACKED, TAKEN, TAKEN_1G, TAKEN_2M, TAKEN_LOW } from "./arena.ts";
import type { Arena } from "./arena.ts";
import type { Blocks } from "./blocks.ts";
import { PmmError } from "./errors.ts";
import { GIVING_BACK, GROUP_BLOCKS, TAKING } from "./layout.ts";
import { DRAIN_INTENT } from "./page-stacks.ts";
import type { PageStacks } from "./page-stacks.ts";
import type { TakeWishes } from "./ports.ts";
import { BLOCK_FRAMES, GROUP_FRAMES, ORDER_1G, ORDER_2M } from "./units.ts";
import type { Zone } from "./zone.ts";

/** The wishes of a taker that has none. */
export const NO_WISHES: TakeWishes = { order: 0, node: -1, colour: -1, movable: 1 };

/** Takes frames for one worker. */
export class Taker {
  readonly #arena: Arena;
  readonly #blocks: Blocks;
  readonly #stacks: PageStacks;
  readonly #zones: readonly Zone[];
  readonly #nodes: readonly number[];
  readonly #colours: number;
  readonly #home: number;
  readonly #fallback: readonly (readonly number[])[];
  readonly #borrowFrom: (zone: Zone, code: number) => number;
  #turn = 0;

  constructor(
    arena: Arena,
    blocks: Blocks,
    stacks: PageStacks,
    zones: readonly Zone[],
    home: number,
    distances: readonly (readonly number[])[],
    borrowFrom: (zone: Zone, code: number) => number,
  ) {
    this.#borrowFrom = borrowFrom;
    this.#arena = arena;
    this.#blocks = blocks;
    this.#stacks = stacks;
    this.#zones = zones;
    this.#nodes = arena.layout.geometry.nodes;
    this.#colours = arena.layout.geometry.colours;
    this.#home = home;
    const all = this.#nodes.map((_, index) => index);
    const distance = (from: number, to: number): number => distances[from]?.[to] ?? (from === to ? 10 : 20);
    this.#fallback = all.map((from) => all.toSorted((a, b) => distance(from, a) - distance(from, b) || a - b));
  }

  /** Takes one frame or one block: its first dense frame, or −1. Throws `bad-argument` on wishes that make no sense. */
  take(wishes: TakeWishes): number {
    const from = this.nodeIndex(wishes.node);
    const nodes = this.#fallback[from] ?? [];
    const limit = wishes.strict === true ? 1 : nodes.length;
    const code = wishes.movable === 0 ? PINNED : 0;
    const colour = wishes.order === 0 ? this.#colourOf(wishes.colour) : 0;
    for (let i = 0; i < limit; i += 1) {
      const frame = this.#takeFrom(nodes[i] ?? 0, code, colour, wishes);
      if (frame >= 0) return frame;
    }
    return wishes.borrow === true && wishes.order === 0 ? this.#borrow(nodes.slice(0, limit), code) : -1;
  }

  /** The node index for a node number, the worker's own for −1. */
  nodeIndex(node: number): number {
    if (node === -1) return this.#home;
    const index = this.#nodes.indexOf(node);
    if (index < 0) throw new PmmError("bad-argument", `There is no node ${node}`);
    return index;
  }

  #takeFrom(node: number, code: number, colour: number, wishes: TakeWishes): number {
    const zone = this.#zones[node];
    if (zone === undefined) return -1;
    switch (wishes.order) {
      case 0:
        return this.#takeFrame(node, zone, code, colour, wishes);
      case ORDER_2M:
        return this.#takeLarge(zone, node, code, wishes);
      case ORDER_1G:
        return this.#takeLarge(zone, node, code, wishes);
      default:
        throw new PmmError("bad-argument", `order must be 0, ${ORDER_2M} or ${ORDER_1G}, not ${wishes.order}`);
    }
  }

  #takeFrame(node: number, zone: Zone, code: number, colour: number, wishes: TakeWishes): number {
    const base = this.#stacks.baseOf(node, code, colour);
    const frame =
      wishes.cold === true ? this.#stacks.popCold(base, TAKEN + code) : this.#stacks.pop(base, TAKEN + code);
    if (frame >= 0) return frame;
    if (this.refill(base, node, zone, code, colour, wishes)) return this.#stacks.pop(base, TAKEN + code);
    return wishes.colour < 0 && this.#colours > 1 ? this.#takeAnyColour(node, zone, code, wishes) : -1;
  }

  /** The zone has nothing of the colour that was due, and the taker minds no colour. */
  #takeAnyColour(node: number, zone: Zone, code: number, wishes: TakeWishes): number {
    for (let colour = 0; colour < this.#colours; colour += 1) {
      const base = this.#stacks.baseOf(node, code, colour);
      if (this.refill(base, node, zone, code, colour, wishes)) return this.#stacks.pop(base, TAKEN + code);
    }
    return -1;
  }

  /** Gets a page stack some frames: from the blocks, or from this worker's other stacks of the node by way of the blocks. */
  refill(base: number, node: number, zone: Zone, kind: number, colour: number, wishes: TakeWishes): boolean {
    const spare = zone.depotFrames - (wishes.reserve === true ? 0 : zone.reserve);
    const { batch } = this.#stacks;
    const limit = zone.reserve === 0 ? batch : spare;
    if (this.#stacks.refill(base, zone, kind, colour, limit) > 0) return true;
    if (this.#stacks.drainNode(node, zone) === 0) return false;
    const left = zone.reserve === 0 ? batch : zone.depotFrames - zone.reserve;
    return this.#stacks.refill(base, zone, kind, colour, left) > 0;
  }

  /** A block or a group: at once, or after this worker's stacks were drained, in case a frame there was all it lacked. */
  #takeLarge(zone: Zone, node: number, code: number, wishes: TakeWishes): number {
    const isBlock = wishes.order === ORDER_2M;
    const needed = (isBlock ? BLOCK_FRAMES : GROUP_FRAMES) + (wishes.reserve === true ? 0 : zone.reserve);
    if (zone.depotFrames >= needed) {
      const frame = isBlock ? this.#takeBlock(zone, code) : this.#takeGroup(zone, code);
      if (frame >= 0) return frame;
    }
    if (this.#stacks.drainNode(node, zone) === 0 || zone.depotFrames < needed) return -1;
    return isBlock ? this.#takeBlock(zone, code) : this.#takeGroup(zone, code);
  }

  #takeBlock(zone: Zone, code: number): number {
    const { worker } = this.#stacks;
    this.#arena.turn(worker);
    for (const { segments } of zone.places()) {
      for (const { first, end } of segments) {
        let block = this.#blocks.takeWhole(first, end, worker);
        if (block < 0 && this.#stacks.splitOne(first, end)) {
          block = this.#blocks.takeWhole(first, end, worker);
        }
        if (block < 0) continue;
        this.#arena.state[block * BLOCK_FRAMES] = TAKEN_2M + code;
        this.#arena.intend(worker, TAKING, 0);
        zone.addFree(-BLOCK_FRAMES);
        this.#arena.turn(worker);
        return block * BLOCK_FRAMES;
      }
    }
    this.#arena.turn(worker);
    return -1;
  }

  #takeGroup(zone: Zone, code: number): number {
    const { worker } = this.#stacks;
    this.#arena.turn(worker);
    for (const { segments } of zone.places()) {
      for (const { first, end } of segments) {
        const from = Math.ceil(first / GROUP_BLOCKS);
        const group = this.#blocks.takeGroup(from, Math.floor(end / GROUP_BLOCKS), worker);
        if (group < 0) continue;
        this.#arena.state[group * GROUP_FRAMES] = TAKEN_1G + code;
        this.#arena.intend(worker, TAKING, 0);
        zone.addFree(-GROUP_FRAMES);
        this.#arena.turn(worker);
        return group * GROUP_FRAMES;
      }
    }
    this.#arena.turn(worker);
    return -1;
  }

  /** One frame of a low zone: the last resort, by choice. */
  #borrow(nodes: readonly number[], code: number): number {
    for (const node of nodes) {
      const zone = this.#zones[this.#nodes.length + node];
      if (zone === undefined || zone.depotFrames === 0) continue;
      const frame = this.#borrowFrom(zone, TAKEN_LOW + code);
      if (frame >= 0) return frame;
    }
    return -1;
  }

  #colourOf(colour: number): number {
    if (this.#colours === 1) return 0;
    if (colour >= 0) {
      if (colour < this.#colours) return colour;
      throw new PmmError("bad-argument", `colour must be below ${this.#colours}, not ${colour}`);
    }
    if (colour === -2) this.#turn = (this.#turn + 1) % this.#colours;
    else this.#turn = this.#fullest();
    return this.#turn;
  }

  /** Any colour: the one last used while its stack lasts, else the next. */
  #fullest(): number {
    const base = this.#stacks.baseOf(this.#home, 0, this.#turn);
    return this.#arena.topOf(base) === 0 ? (this.#turn + 1) % this.#colours : this.#turn;
  }
}

/** Gives blocks, groups and borrowed frames back: what does not go through a page stack. */
export class Giver {
  readonly #arena: Arena;
  readonly #blocks: Blocks;
  readonly #worker: number;

  constructor(arena: Arena, blocks: Blocks, worker: number) {
    this.#arena = arena;
    this.#blocks = blocks;
    this.#worker = worker;
  }

  /** Gives a taken 2M block back; false if another worker was faster. */
  giveBlock(frame: number, zone: Zone): boolean {
    const block = frame / BLOCK_FRAMES;
    this.#arena.turn(this.#worker);
    this.#arena.intend(this.#worker, GIVING_BACK, block + 1);
    this.#arena.state[frame] = STACKED + this.#worker;
    const given = this.#blocks.giveWhole(block);
    this.#arena.intend(this.#worker, GIVING_BACK, 0);
    return this.#count(zone, given ? BLOCK_FRAMES : 0);
  }

  /** Gives a taken 1G group back; false if another worker was faster. */
  giveGroup(frame: number, zone: Zone): boolean {
    const group = frame / GROUP_FRAMES;
    this.#arena.turn(this.#worker);
    this.#arena.intend(this.#worker, GIVING_BACK, -1 - group);
    this.#arena.state[frame] = STACKED + this.#worker;
    const given = this.#blocks.giveGroup(group);
    this.#arena.intend(this.#worker, GIVING_BACK, 0);
    return this.#count(zone, given ? GROUP_FRAMES : 0);
  }

  /** Frees one frame right in the blocks; false if it was free. */
  putOne(frame: number, zone: Zone): boolean {
    this.#arena.turn(this.#worker);
    this.#arena.intend(this.#worker, DRAIN_INTENT, (frame >>> 9) + 1);
    this.#arena.state[frame] = STACKED + this.#worker;
    const given = this.#blocks.put(frame >>> 5, 1 << (frame & 31), 1) === 0;
    this.#arena.intend(this.#worker, DRAIN_INTENT, 0);
    return this.#count(zone, given ? 1 : 0);
  }

  /** Counts what became free and ends the turn; false if nothing did. */
  #count(zone: Zone, frames: number): boolean {
    if (frames > 0) zone.addFree(frames);
    this.#arena.turn(this.#worker);
    return frames > 0;
  }
}
