/*
 * Power: 8 ranks of 512 MiB under clients that come and go between 5 % and 55 % of the memory. A rank is active while one of its frames is in
 * use. How many are, on average over time: with a plain page stack, with this allocator when nobody told it about ranks, when it knows
 * them, and when ranks are emptied now and then as well?
 */
import { NO_FRAME, Pmm } from "../src/index.ts";
import { report } from "./report.ts";

const RANKS = 8;
const PER_RANK = 2 ** 17;
const TURNS = 12_000;
const bench = "pmm/ranks";

/** What serves the clients. */
interface Server {
  take(): number;
  give(pfn: number): void;
  drain(): void;
}

/** The naive twin: one stack of all frames. */
class PageStack implements Server {
  readonly #frames: number[] = Array.from({ length: RANKS * PER_RANK }, (_, i) => (RANKS + 1) * PER_RANK - 1 - i);

  take(): number {
    return this.#frames.pop() ?? NO_FRAME;
  }

  give(pfn: number): void {
    this.#frames.push(pfn);
  }

  drain(): void {
    /* It has no stacks in front. */
  }
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Ranks that a frame in use lies in. */
function activeRanks(clients: readonly (readonly number[])[]): number {
  const active = new Set<number>();
  for (const frames of clients) for (const pfn of frames) active.add(Math.floor(pfn / PER_RANK));
  return active.size;
}

/** Clients of 10 to 2000 frames come and go, one leaves each turn; returns the ranks active, and those that the frames in use would fill, on average. */
function live(server: Server, seed: number, tidy?: (clients: number[][]) => void): { active: number; full: number } {
  const random = randomOf(seed);
  const clients: number[][] = [];
  let used = 0;
  let active = 0;
  let full = 0;
  const leave = (): void => {
    const [frames] = clients.splice(Math.floor(random() * clients.length), 1);
    for (const pfn of frames ?? []) server.give(pfn);
    used -= frames?.length ?? 0;
  };
  const come = (): void => {
    const frames: number[] = [];
    for (let i = 10 + random() * 1990; i > 0; i -= 1) {
      const pfn = server.take();
      if (pfn !== NO_FRAME) frames.push(pfn);
    }
    used += frames.length;
    clients.push(frames);
  };
  for (let turn = 1; turn <= TURNS; turn += 1) {
    const target = RANKS * PER_RANK * (0.3 + 0.25 * Math.sin(turn / 1000));
    leave();
    while (used < target) come();
    while (used > target + 4000) leave();
    if (turn % 50 !== 0) continue;
    server.drain();
    if (turn % 1000 === 0) tidy?.(clients);
    active += activeRanks(clients) / (TURNS / 50);
    full += Math.ceil(used / PER_RANK) / (TURNS / 50);
  }
  return { active, full };
}

/** Empties ranks into busier ones, the emptiest first, as long as they fit; frames move by take and give. Returns how many moved. */
function consolidate(pmm: Pmm, clients: number[][]): number {
  const place = new Map<number, [number, number]>();
  clients.forEach((frames, c) => frames.forEach((pfn, i) => place.set(pfn, [c, i])));
  let moved = 0;
  for (const { rank } of pmm.ranks().sort((a, b) => a.usedFrames - b.usedFrames)) {
    const ranks = pmm.ranks();
    const used = ranks.find((each) => each.rank === rank)?.usedFrames ?? 0;
    const room = ranks.reduce((sum, each) => sum + (each.rank === rank || each.isIdle ? 0 : each.freeFrames), 0);
    if (used === 0 || room < used + 2048) continue;
    const answer = pmm.emptyRank(rank);
    if (!answer.ok) continue;
    for (const pfn of answer.plan.begin()) {
      const at = place.get(pfn);
      const frames = at === undefined ? undefined : clients[at[0]];
      if (at === undefined || frames === undefined) continue;
      const fresh = pmm.take();
      frames[at[1]] = fresh;
      place.set(fresh, at);
      pmm.give(pfn);
      moved += 1;
    }
    answer.plan.commit();
    pmm.drain();
  }
  return moved;
}

const ranges = Array.from({ length: RANKS }, (_, rank) => ({
  start: PER_RANK * (rank + 1),
  end: PER_RANK * (rank + 2),
  node: 0,
  rank,
  hotPluggable: false,
  faulty: [],
}));
const blind = new Pmm({ ranges: ranges.map((range) => ({ ...range, rank: 0 })) });
const knowing = new Pmm({ ranges });
const tidied = new Pmm({ ranges });
let moved = 0;
const stack = live(new PageStack(), 1);
const results = [
  { metric: "the frames in use would fill", value: stack.full },
  { metric: "active, plain page stack", value: stack.active },
  { metric: "active, ranks unknown", value: live(blind, 1).active },
  { metric: "active, ranks known: busy ones first", value: live(knowing, 1).active },
  {
    metric: "active, and ranks emptied every 1000 turns",
    value: live(tidied, 1, (clients) => (moved += consolidate(tidied, clients))).active,
  },
];
for (const pmm of [blind, knowing, tidied]) pmm.check();
for (const { metric, value } of results) {
  report([{ bench, metric, value, unit: "ranks", ratioTo: "plain page stack", ratio: value / stack.active }]);
}
report([{ bench, metric: "frames moved to empty ranks, per turn", value: moved / TURNS, unit: "frames" }]);
