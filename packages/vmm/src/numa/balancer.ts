/**
 * Moves pages to the NUMA node that keeps using them. A sample of the pages is unmapped now and then; the next access faults, and the fault shows from which
 * node the page is used. Two faults in a row from the same other node move it (one alone may be chance).
 *
 * ```
 *  step(budget) ── next pages of the next space: translations removed, one invalidation ── the pages stay in their frames
 *  fault on one ── from its own node ──────────────────────────── mapped again
 *               └─ from another ── the last fault too came from there? ── no: noted, mapped again
 *                                                                     └─ yes, and rested since its last move: moved, then mapped
 * ```
 * A page that moves rests for some scans, each time for four times as many, so that one which two nodes use in turn stays where it is. It is forgiven a move when
 * its own node is seen to use it long after it might have moved again.
 *
 * As background work it samples nothing while all frames and processors that it has seen are of one node, and lets the more turns pass the longer no page had to
 * move.
 *
 * Source: Linux, kernel/sched/fair.c, should_numa_migrate_memory (two-stage filter), task_numa_work; admin-guide, numa_balancing.
 */
import type { Core } from "../core.ts";
import { invariant } from "../errors.ts";
import type { Migrator } from "../migration.ts";
import type { AddressSpace } from "../space/space.ts";
import type { StrictHints } from "../space/frame-placement.ts";
import { NO_FRAME, TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";

/** Where frames lie and who runs. */
export interface NumaTopology {
  /** NUMA node of the processor that runs. */
  currentNode(): number;
  /** NUMA node of a frame. */
  nodeOf(pfn: Pfn): number;
}

/** What balancing did. */
export interface BalancerStats {
  /** Pages unmapped to see who uses them. */
  readonly sampled: number;
  /** Faults on them from the node that they lie on. */
  readonly localFaults: number;
  /** Faults on them from another node. */
  readonly remoteFaults: number;
  /** Pages moved to the node that uses them. */
  readonly moved: number;
  /** Moves that were due but not made, because the page had moved a short while ago. */
  readonly damped: number;
}

/** No node was seen yet. */
const NOBODY = -1;
/** Scans that a page rests after its first move. */
const FIRST_REST = 8;
/** By how much longer it rests after the next. */
const REST_FACTOR = 4;
/** The longest rest. */
const LONGEST_REST = 128;

/** Turns of background work that pass at most between two scans in which no other node was seen. */
const LONGEST_PAUSE = 64;
/** And between two in which one was, though no page moved: two nodes use the same pages. */
const SHORT_PAUSE = 8;

/** Balances the pages of one manager. */
export class Balancer {
  readonly #core: Core;
  readonly #topology: NumaTopology;
  readonly #migrator: Migrator;
  /** By page: 1 where it was sampled and has not been used since. */
  #sampled: Uint8Array = new Uint8Array(0);
  /** By page: the node of the last sampled use, NOBODY. */
  #lastNode: Int16Array = new Int16Array(0);
  /** By page: scans that it rests after its next move; 0: it has not moved. */
  #rest: Uint8Array = new Uint8Array(0);
  /** By page: scan in which it may move again. */
  #restsUntil: Float64Array = new Float64Array(0);
  /** Where the next step goes on. */
  #asid = 0;
  #vpn: Vpn = 0;
  #scan = 0;
  /** Nodes of frames and processors seen so far. */
  readonly #nodes: Set<number> = new Set();
  /** Where the search for a second node goes on. */
  #lookAt = 0;
  /** Turns that pass after a scan, and that have still to pass. */
  #pause = 0;
  #resting = 0;
  /** Remote faults, and moves, when the last scan ended. */
  #remoteBefore = 0;
  #movedBefore = 0;
  readonly #stats = { sampled: 0, localFaults: 0, remoteFaults: 0, moved: 0, damped: 0 };

  /** A balancer of a core's pages. */
  constructor(core: Core, topology: NumaTopology, migrator: Migrator) {
    this.#core = core;
    this.#topology = topology;
    this.#migrator = migrator;
  }

  /** What balancing did so far. */
  stats(): BalancerStats {
    return { ...this.#stats };
  }

  /** {@link step} as background work does it, see above. */
  turn(budget: number): number {
    if (budget <= 0 || !this.#hasSeveralNodes(budget)) return 0;
    if (this.#resting > 0) {
      this.#resting--;
      return 0;
    }
    const scan = this.#scan;
    const sampled = this.step(budget);
    if (this.#scan === scan) return sampled;
    this.#resting = this.#pause = this.#pauseAfter();
    return sampled;
  }

  /** None after a scan since whose beginning pages have moved; a short one after one that saw other nodes use pages; else a long one, each longer than the last. */
  #pauseAfter(): number {
    const { remoteFaults, moved } = this.#stats;
    const [remote, moves] = [remoteFaults - this.#remoteBefore, moved - this.#movedBefore];
    this.#remoteBefore = remoteFaults;
    this.#movedBefore = moved;
    if (moves > 0) return 0;
    return Math.min(remote > 0 ? SHORT_PAUSE : LONGEST_PAUSE, 2 * this.#pause + 1);
  }

  /** Whether there is anything to balance; looks at up to `budget` pages and who runs until there is. */
  #hasSeveralNodes(budget: number): boolean {
    if (this.#nodes.size > 1) return true;
    const { pages } = this.#core;
    this.#nodes.add(this.#topology.currentNode());
    for (let looked = 0; looked < budget && this.#nodes.size < 2; looked++) {
      this.#lookAt = this.#lookAt + 1 < pages.capacity ? this.#lookAt + 1 : 0;
      if (pages.isResident(this.#lookAt)) this.#nodes.add(this.#topology.nodeOf(pages.frameOf(this.#lookAt)));
    }
    return this.#nodes.size > 1;
  }

  /** Samples up to `budget` pages, with one invalidation for all of them; returns how many. Each costs a fault at its next use. */
  step(budget: number): number {
    this.#grow();
    const core = this.#core;
    const change = core.begin(null);
    const spaces = [...core.spaces.values()].filter((space) => space !== space.vmm.kernel);
    let done = 0;
    for (let visited = 0; visited <= spaces.length + 1 && done < budget; visited++) {
      const space = spaces.find(({ asid }) => asid >= this.#asid);
      if (space === undefined) {
        this.#restart(0);
        this.#scan++;
        continue;
      }
      if (space.asid > this.#asid) this.#restart(space.asid);
      done += this.#sample(space, budget - done, (page) => {
        core.unmapEverywhere(page, change.plan);
      });
      if (done < budget) this.#restart(space.asid + 1);
    }
    core.end(change);
    this.#stats.sampled += done;
    return done;
  }

  /** A fault found a page in a frame and is about to map it: where it was sampled, it may move first. */
  used(page: number): void {
    if (this.#sampled[page] !== 1) return;
    this.#sampled[page] = 0;
    const { pages, mappings } = this.#core;
    const node = this.#topology.currentNode();
    const before = this.#lastNode[page]!;
    this.#lastNode[page] = node;
    if (node === this.#topology.nodeOf(pages.pfn[page]!)) {
      this.#stats.localFaults++;
      this.#forgive(page);
      return;
    }
    this.#stats.remoteFaults++;
    if (before !== node || mappings.first(page) >= 0 || pages.pins[page]! > 0) return;
    if (this.#restsUntil[page]! > this.#scan) this.#stats.damped++;
    else this.#move(page, node);
  }

  #move(page: number, node: number): void {
    const colour = this.#core.keeper.wishes?.[0]?.colour ?? -1; // The fault's own: it is about to map the page.
    const wish: StrictHints = { order: 0, node, colour, movable: 1, strict: true };
    const target = this.#core.frames.take(wish);
    if (target === NO_FRAME) return;
    if (this.#topology.nodeOf(target) !== node) {
      this.#core.frames.give(target);
      return;
    }
    if (!this.#migrator.moveTo(page, target)) return;
    this.#stats.moved++;
    const rest = Math.max(FIRST_REST, this.#rest[page]!);
    this.#restsUntil[page] = this.#scan + rest;
    this.#rest[page] = Math.min(LONGEST_REST, rest * REST_FACTOR);
  }

  #forgive(page: number): void {
    const rest = this.#rest[page]!;
    if (rest === 0 || this.#scan < this.#restsUntil[page]! + rest) return;
    this.#rest[page] = Math.floor(rest / REST_FACTOR);
    this.#restsUntil[page] = this.#scan;
  }

  /** The next pages of a space from where the last step ended; how many. Pages whose place was asked for, that are held or under 2M leaves are passed over. */
  #sample(space: AddressSpace, budget: number, unmap: (page: number) => void): number {
    const { pages, frameMap, tables } = this.#core;
    const found: number[] = [];
    const start = Math.max(space.low, this.#vpn);
    space.sheets.forEach(start, space.high, (sheet, base) => {
      if (sheet.sharers !== null) return;
      const region = (vpn: Vpn): boolean => (space.regions.find(vpn)?.placement ?? space.placement)?.policy !== "bind";
      for (let vpn = Math.max(start, base); vpn < base + TABLE_PAGES && found.length < budget; vpn++) {
        this.#vpn = vpn + 1;
        if (space.tables.query(vpn) === 0 || (tables.large?.pagesAt(space.tables, vpn) ?? 1) > 1) continue;
        const page = frameMap.pageAt(space.tables.frame);
        if (page >= 0 && pages.holds[page] === 0 && region(vpn)) found.push(page);
      }
    });
    const distinct = [...new Set(found)];
    for (const page of distinct) {
      this.#sampled[page] = 1;
      unmap(page);
    }
    return distinct.length;
  }

  #restart(asid: number): void {
    this.#asid = asid;
    this.#vpn = 0;
  }

  /** Forgets what is known of a page whose record is given to another. */
  forget(page: number): void {
    if (page >= this.#sampled.length) return;
    this.#sampled[page] = 0;
    this.#lastNode[page] = NOBODY;
    this.#rest[page] = 0;
    this.#restsUntil[page] = 0;
  }

  #grow(): void {
    const { capacity } = this.#core.pages;
    if (this.#sampled.length >= capacity) return;
    const [sampled, lastNode, rest, restsUntil] = [this.#sampled, this.#lastNode, this.#rest, this.#restsUntil];
    this.#sampled = new Uint8Array(capacity);
    this.#sampled.set(sampled);
    this.#lastNode = new Int16Array(capacity).fill(NOBODY);
    this.#lastNode.set(lastNode);
    this.#rest = new Uint8Array(capacity);
    this.#rest.set(rest);
    this.#restsUntil = new Float64Array(capacity);
    this.#restsUntil.set(restsUntil);
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    const { localFaults, remoteFaults, sampled, moved } = this.#stats;
    invariant(localFaults + remoteFaults <= sampled, "More sampled pages were used than sampled.", { sampled });
    invariant(moved <= remoteFaults, "A page moved that no other node used.", { moved });
  }
}
