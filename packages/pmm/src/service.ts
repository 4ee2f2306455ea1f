/* Everything that an allocator does beside take and give: each method hands over to the part that does it. */
import { RANK_USED } from "./arena.ts";
import { censusOf, drawMap, obstaclesOf, orderStats } from "./census.ts";
import type { Census, Obstacle, OrderStats } from "./census.ts";
import { checkAll } from "./check.ts";
import type { Core } from "./core.ts";
import { PmmError } from "./errors.ts";
import { startEmptying, startOffline } from "./evacuations.ts";
import type { EvacuationRefusal, EvacuationStart } from "./evacuations.ts";
import { settleCounts } from "./counts.ts";
import { factsOf } from "./facts.ts";
import type { FrameFacts } from "./facts.ts";
import { useOf } from "./misuse.ts";
import type { FrameUse } from "./misuse.ts";
import { ASKED_TO_DRAIN } from "./page-stacks.ts";
import type { FrameSpan } from "./plug.ts";
import type {
  FramePressure,
  Grant,
  PressureLevel,
  Refusal,
  SpecialFrames,
  SpecialRequest,
  Watermarks,
} from "./ports.ts";
import { sortedRanges } from "./range.ts";
import type { FrameRange } from "./range.ts";
import { recoverWorker } from "./recover.ts";
import { releaseRun, requestRun } from "./request.ts";
import { retiredFrames, retireFrame } from "./retirement.ts";
import type { Retirement } from "./retirement.ts";
import type { PmmShare } from "./share.ts";
import { freeFrames, rankStats, statsOf, totalFrames } from "./stats.ts";
import type { PmmStats, RankStats } from "./stats.ts";
import { trafficOf } from "./traffic.ts";
import type { Traffic } from "./traffic.ts";
import type { Pfn } from "./units.ts";
import { addUsers, setOwner, unwire, wire } from "./wiring.ts";

/** The services of an allocator; `Pmm` adds the fast path. */
export class PmmService implements SpecialFrames, FramePressure {
  /** What other workers need to attach. */
  readonly share: PmmShare;
  /** This worker's number. */
  readonly worker: number;
  protected readonly core: Core;

  constructor(core: Core) {
    this.core = core;
    this.share = core.share;
    this.worker = core.worker;
  }

  /**
   * Grants a contiguous run of frames, or says why not. Runs from normal zones come before those of the low zone. A refusal
   * as `fragmented` may carry a plan: empty its range, and its `commit` grants it. Throws `bad-argument`.
   */
  request(request: SpecialRequest): Grant | Refusal {
    return requestRun(this.core, request);
  }

  /** Gives a granted run back, whole. Throws on misuse; nothing changes then. */
  release(start: Pfn, frames: number): void {
    releaseRun(this.core, start, frames);
  }

  /** Frames that `take` could still serve, those on page stacks included. Exact while other workers rest. */
  get freeFrames(): number {
    return freeFrames(this.core);
  }

  /** Frames that `take` serves altogether: the normal zones without their retired frames. */
  get totalFrames(): number {
    return totalFrames(this.core);
  }

  /** The marks of all normal zones together. */
  get watermarks(): Watermarks {
    return this.core.marks();
  }

  /** The pressure on all normal zones together, with hysteresis, or on one zone by its name. */
  level(zone?: string): PressureLevel {
    return this.core.levelOf(zone);
  }

  /** A snapshot: frames by zone, node and state, bytes of state. Cost: O(workers × page stacks). */
  stats(): PmmStats {
    return statsOf(this.core);
  }

  /** Frames taken and given since the start, by zone, node, order, colour and client; `Rates` makes them rates. Nothing is walked. */
  traffic(): Traffic {
    return trafficOf(this.core);
  }

  /** Free and used memory by order, and how fragmented it is: of everything, of a zone by its name, or of a node by its number. Cost: O(blocks). */
  orders(of?: string | number): OrderStats {
    return orderStats(this.core, ({ name, node }) => of === undefined || of === (typeof of === "string" ? name : node));
  }

  /** Every frame by use; free, used, wired and retired by zone, node, order, colour and client. Cost: O(frames) of split groups. */
  census(): Census {
    return censusOf(this.core);
  }

  /** What keeps the 2M block around a frame from being whole: which frames, used for what, by which client. */
  obstacles(pfn: Pfn): Obstacle[] {
    return obstaclesOf(this.core, pfn);
  }

  /** The blocks as text, one character each: see the legend in the README. */
  draw(): string {
    return drawMap(this.core);
  }

  /** Walks everything, workers at rest; throws `broken-invariant` with the sentence that does not hold. */
  check(): void {
    checkAll(this.core);
  }

  /** What a frame is used for. O(1). */
  useOf(pfn: Pfn): FrameUse {
    return useOf(this.core.arena, this.core.arena.frameOf(pfn));
  }

  /** All that is known of a frame: use, zone, page around it, owner, users. O(1), for any frame number. */
  factsOf(pfn: Pfn): FrameFacts {
    return factsOf(this.core, pfn);
  }

  /** Moves this worker's stacked frames to the shared blocks; returns how many. A worker that goes idle calls it. */
  drain(): number {
    Atomics.store(this.core.arena.workers, this.core.arena.areaOf(this.worker) + ASKED_TO_DRAIN, 0);
    return this.core.drainAll();
  }

  /** True when another worker needs frames that may be on this one's stacks: call `drain` soon. */
  get isAskedToDrain(): boolean {
    return Atomics.load(this.core.arena.workers, this.core.arena.areaOf(this.worker) + ASKED_TO_DRAIN) !== 0;
  }

  /**
   * Gives back what a dead worker held and ends what it had begun; returns its stacked frames. Free counts are exact afterwards: at once if the others rest,
   * else from the first look at them while they do. See DESIGN.md.
   */
  recover(worker: number): number {
    return recoverWorker(this.core, worker);
  }

  /**
   * The number of a client, for `TakeWishes.owner`. A new name gets a number that no other worker gives out; other workers see it as `client N`, so declare the
   * names that all know when making the allocator.
   */
  client(name: string): number {
    return this.core.clientNumber(name);
  }

  /** The client that owns a taken frame; undefined if nobody does or no table is kept. */
  ownerOf(pfn: Pfn): string | undefined {
    return this.core.clientName(this.core.tables.ownerOf(this.core.managed(pfn)));
  }

  /** Hands a taken frame over to another client. Throws `no-table` without owner table. */
  setOwner(pfn: Pfn, client: number): void {
    setOwner(this.core, pfn, client);
  }

  /** Users of a taken frame: 1 where no count table is kept. */
  usersOf(pfn: Pfn): number {
    return this.core.tables.countOf(this.core.managed(pfn));
  }

  /** Adds users to a taken frame, or takes some away; returns how many it has. Throws `counted` where none would be left. */
  addUsers(pfn: Pfn, users: number): number {
    return addUsers(this.core, pfn, users);
  }

  /** Wires a taken frame or block: it can be neither given back nor moved. False if it was wired. */
  wire(pfn: Pfn): boolean {
    return wire(this.core, pfn);
  }

  /** Ends what `wire` began. False if it was not wired. */
  unwire(pfn: Pfn): boolean {
    return unwire(this.core, pfn);
  }

  /** Retires a frame: a free one at once, one in use when it is given back. */
  retire(pfn: Pfn): Retirement {
    return retireFrame(this.core, this.core.managed(pfn));
  }

  /** All retired frames, ascending: hand them to the next allocator as `retired`. Cost: O(frames). */
  retiredFrames(): Pfn[] {
    return retiredFrames(this.core);
  }

  /** Plugs a range in. Throws `bad-range`, and `no-table` where there is no room; nothing changed then. */
  addRange(range: FrameRange): void {
    for (const each of sortedRanges([range])) this.core.plug.add(each);
    this.core.refresh();
  }

  /**
   * Starts to take frames `[start, end)` offline: free ones are isolated at once, the rest is a plan. Refused where frames
   * cannot move; nothing changed then.
   */
  offline(range: FrameSpan): EvacuationStart | EvacuationRefusal {
    if (!(range.start < range.end)) throw new PmmError("bad-range", "A range has a start below its end");
    return startOffline(this.core, range);
  }

  /** Power ranks, ascending: how full each is; wholly free ones may go to self-refresh. Cost: O(frames) of split groups. */
  ranks(): RankStats[] {
    return rankStats(this.core);
  }

  /** Starts to empty a rank, as a plan; committed, the rank is wholly free. Refused where frames cannot move. */
  emptyRank(rank: number): EvacuationStart | EvacuationRefusal {
    return startEmptying(this.core, rank);
  }

  /** Frames in use per rank, without a walk; 0 where use is not counted per rank. */
  usedOfRank(rank: number): number {
    settleCounts(this.core);
    return Atomics.load(this.core.arena.control, RANK_USED + rank);
  }
}
