/*
 * Puts ranges of RAM into an arena: at set-up, and later when memory is plugged in. A group that one range covers entirely
 * costs a few words, whatever its size; frames of any other group are freed word by word through the shared protocol.
 */
import { PmmError } from "./errors.ts";
import {
  blockWord,
  BOOT,
  EPOCH,
  FREE,
  FULL,
  GROUP_ABSENT,
  GROUP_SPLIT,
  GROUP_WHOLE,
  GROUPS_USED,
  HOLE,
  LOW_HOME,
  RANK_USED,
  RETIRED,
} from "./arena.ts";
import type { Arena } from "./arena.ts";
import type { Blocks } from "./blocks.ts";
import { GROUP_BLOCKS, GROUP_GIB, GROUP_NODE, GROUP_WORDS } from "./layout.ts";
import type { FrameRange } from "./range.ts";
import { BLOCK_FRAMES, GROUP_FRAMES } from "./units.ts";
import type { Pfn } from "./units.ts";
import type { Zone } from "./zone.ts";

/** Frames `[start, end)`. */
export interface FrameSpan {
  readonly start: Pfn;
  readonly end: Pfn;
}

/** Puts ranges into an arena. */
export class Plug {
  readonly #arena: Arena;
  readonly #blocks: Blocks;
  readonly #zones: readonly Zone[];
  readonly #worker: number;

  constructor(arena: Arena, blocks: Blocks, zones: readonly Zone[], worker: number) {
    this.#worker = worker;
    this.#arena = arena;
    this.#blocks = blocks;
    this.#zones = zones;
  }

  /**
   * Adds a range; frames in `taken` are there but reserved from the start. Throws `bad-range` when it overlaps RAM that is
   * there, `no-table` when there is no room for it; nothing changed then. Cost: O(GiB), more for partly covered GiB.
   */
  add(range: FrameRange, taken: readonly FrameSpan[] = []): void {
    const node = this.#arena.layout.geometry.nodes.indexOf(range.node);
    if (node < 0) throw new PmmError("no-table", `Node ${range.node} was not declared when the allocator was made`);
    const pieces = piecesOf(range);
    this.#checkRoom(pieces, node);
    this.#arena.turn(this.#worker);
    for (const piece of pieces) this.#addPiece(piece, node, range, taken);
    this.#arena.turn(this.#worker);
    Atomics.add(this.#arena.control, EPOCH, 1);
  }

  /** The dense group of a node's part of a GiB, or −1. */
  groupFor(gib: number, node: number): number {
    const used = Atomics.load(this.#arena.control, GROUPS_USED);
    const one = this.#arena.gibs[gib] ?? 0;
    if (one > 0) return this.#arena.groups[(one - 1) * GROUP_WORDS + GROUP_NODE] === node ? one - 1 : -1;
    for (let group = 0; one < 0 && group < used; group += 1) {
      const at = group * GROUP_WORDS;
      if (this.#arena.groups[at + GROUP_GIB] === gib && this.#arena.groups[at + GROUP_NODE] === node) return group;
    }
    return -1;
  }

  #checkRoom(pieces: readonly FrameSpan[], node: number): void {
    const arena = this.#arena;
    let fresh = 0;
    for (const { start, end } of pieces) {
      const gib = Math.floor(start / GROUP_FRAMES);
      if (gib >= arena.layout.geometry.gibs) {
        throw new PmmError("no-table", "The range ends above `pfnLimit`", { pfn: end });
      }
      if (this.groupFor(gib, node) < 0) fresh += 1;
      if (arena.gibs[gib] === 0) continue;
      for (let pfn = start; pfn < end; pfn += 1) {
        if (arena.frameOf(pfn) >= 0) throw new PmmError("bad-range", "The range overlaps RAM that is there", { pfn });
      }
    }
    if (Atomics.load(arena.control, GROUPS_USED) + fresh > arena.layout.geometry.groups) {
      throw new PmmError("no-table", "There is no room for the range: make the allocator with more `spareFrames`");
    }
  }

  #addPiece({ start, end }: FrameSpan, node: number, range: FrameRange, taken: readonly FrameSpan[]): void {
    const arena = this.#arena;
    const gib = Math.floor(start / GROUP_FRAMES);
    const bad = range.faulty.filter((pfn) => pfn >= start && pfn < end);
    const boot = taken.filter((span) => span.start < end && span.end > start);
    let group = this.groupFor(gib, node);
    const isNew = group < 0;
    if (isNew) group = this.#newGroup(gib, node);
    const base = group * GROUP_FRAMES - gib * GROUP_FRAMES;
    arena.ranks.fill(range.rank, Math.floor((start + base) / BLOCK_FRAMES), Math.ceil((end + base) / BLOCK_FRAMES));
    const zone = this.#zones[node];
    const simple = bad.length === 0 && boot.length === 0 && start >= arena.layout.geometry.lowEnd;
    if (isNew && simple && end - start === GROUP_FRAMES) {
      zone?.addPresent(GROUP_FRAMES);
      zone?.addFree(GROUP_FRAMES);
      Atomics.store(arena.groups, group * GROUP_WORDS, GROUP_WHOLE);
      arena.wholeGroups.add(group);
      return;
    }
    if (arena.groupMode(group) === GROUP_ABSENT) this.#openGroup(group, gib);
    arena.state.fill(FREE, start + base, end + base);
    for (const pfn of bad) arena.state[pfn + base] = RETIRED;
    for (const span of boot) {
      arena.state.fill(BOOT, Math.max(start, span.start) + base, Math.min(end, span.end) + base);
    }
    for (const pfn of bad) arena.state[pfn + base] = RETIRED;
    this.#free(start + base, end + base, gib, node);
  }

  /** Takes the next dense group for a node's part of a GiB. */
  #newGroup(gib: number, node: number): number {
    const arena = this.#arena;
    const group = Atomics.load(arena.control, GROUPS_USED);
    arena.groups[group * GROUP_WORDS + GROUP_GIB] = gib;
    arena.groups[group * GROUP_WORDS + GROUP_NODE] = node;
    const before = arena.gibs[gib]!;
    Atomics.store(arena.control, GROUPS_USED, group + 1);
    Atomics.store(arena.gibs, gib, before === 0 ? group + 1 : -1);
    if (before > 0) this.#holesOutside(before - 1);
    return group;
  }

  /** A group that shared its GiB with nobody until now: its absent frames must read as holes. A whole one has none. */
  #holesOutside(group: number): void {
    if (this.#arena.groupMode(group) === GROUP_WHOLE) {
      throw new PmmError("bad-range", "The GiB belongs to another node entirely");
    }
  }

  /** Makes all frames of a new group holes and its blocks full. */
  #openGroup(group: number, gib: number): void {
    const arena = this.#arena;
    const first = group * GROUP_BLOCKS;
    const lowBlocks = (arena.layout.geometry.lowEnd - gib * GROUP_FRAMES) / BLOCK_FRAMES;
    arena.state.fill(HOLE, group * GROUP_FRAMES, (group + 1) * GROUP_FRAMES);
    for (let block = 0; block < GROUP_BLOCKS; block += 1) {
      arena.blocks[first + block] = blockWord(0, FULL, block < lowBlocks ? LOW_HOME * 2 : 0, 0);
    }
    Atomics.store(arena.groups, group * GROUP_WORDS, GROUP_SPLIT);
  }

  /** Frees the dense frames `[from, to)` whose state byte says FREE. */
  #free(from: number, to: number, gib: number, node: number): void {
    const arena = this.#arena;
    const { nodes, lowEnd } = arena.layout.geometry;
    const cut = Math.min(
      to,
      Math.max(from, lowEnd - gib * GROUP_FRAMES + Math.floor(from / GROUP_FRAMES) * GROUP_FRAMES),
    );
    for (const [begin, end, index] of [
      [from, cut, nodes.length + node],
      [cut, to, node],
    ] as const) {
      const zone = this.#zones[index];
      let free = 0;
      let retired = 0;
      for (let frame = begin; frame < end;) {
        const bitWord = frame >>> 5;
        let mask = 0;
        for (; frame < end && frame >>> 5 === bitWord; frame += 1) {
          const code = arena.state[frame];
          if (code === FREE) mask |= 1 << (frame & 31);
          else if (code === RETIRED) retired += 1;
          else if (arena.layout.geometry.ranked) Atomics.add(arena.control, RANK_USED + arena.ranks[frame >>> 9]!, 1);
        }
        free += this.#putCounted(bitWord, mask);
      }
      zone?.addPresent(end - begin);
      zone?.addRetired(retired);
      zone?.addFree(free);
    }
  }

  #putCounted(bitWord: number, mask: number): number {
    if (mask === 0) return 0;
    let frames = 0;
    for (let rest = mask; rest !== 0; rest &= rest - 1) frames += 1;
    if (this.#arena.layout.geometry.ranked) {
      Atomics.add(this.#arena.control, RANK_USED + this.#arena.ranks[bitWord >>> 4]!, frames);
    }
    this.#blocks.put(bitWord, mask, frames);
    return frames;
  }
}

/** The parts of a range, one per physical GiB. */
export function piecesOf(range: FrameSpan): FrameSpan[] {
  const pieces: FrameSpan[] = [];
  for (let start = range.start; start < range.end;) {
    const end = Math.min(range.end, (Math.floor(start / GROUP_FRAMES) + 1) * GROUP_FRAMES);
    pieces.push({ start, end });
    start = end;
  }
  return pieces;
}
