/*
 * Power: 8 ranks of 512 MiB and a mix of clients that come and go. How many ranks stay active with ranks known to the allocator and with one that
 * does not know them, and after ranks were emptied?
 */
import { NO_FRAME, Pmm } from "../src/index.ts";
import { report } from "./report.ts";

const RANKS = 8;
const PER_RANK = 2 ** 17;
const bench = "pmm/ranks";

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Clients of 10 to 2000 frames come and go around 30 % of the memory; returns who is left. */
function live(pmm: Pmm, seed: number): number[][] {
  const random = randomOf(seed);
  const clients: number[][] = [];
  let used = 0;
  for (let turn = 0; turn < 4000; turn += 1) {
    const target = RANKS * PER_RANK * (0.3 + 0.25 * Math.sin(turn / 300));
    if (used < target) {
      const frames: number[] = [];
      for (let i = 10 + random() * 1990; i > 0; i -= 1) {
        const pfn = pmm.take();
        if (pfn !== NO_FRAME) frames.push(pfn);
      }
      used += frames.length;
      clients.push(frames);
    } else {
      const [frames] = clients.splice(Math.floor(random() * clients.length), 1);
      for (const pfn of frames ?? []) pmm.give(pfn);
      used -= frames?.length ?? 0;
    }
  }
  pmm.drain();
  return clients;
}

/** Active ranks by address: the same question to an allocator that knows no ranks. */
function activeRanks(clients: number[][]): number {
  return new Set(clients.flat().map((pfn) => Math.floor((pfn - PER_RANK) / PER_RANK))).size;
}

/** Empties the ranks with the least in use into the others, as long as they fit; frames move by take, give. */
function consolidate(pmm: Pmm, clients: number[][]): number {
  const place = new Map<number, [number, number]>();
  clients.forEach((frames, c) => frames.forEach((pfn, i) => place.set(pfn, [c, i])));
  let moved = 0;
  for (const { rank, usedFrames } of pmm.ranks().sort((a, b) => a.usedFrames - b.usedFrames)) {
    const room = pmm.ranks().reduce((sum, each) => sum + (each.rank === rank || each.isIdle ? 0 : each.freeFrames), 0);
    if (usedFrames === 0 || room < usedFrames + 2048) continue;
    const answer = pmm.emptyRank(rank);
    if (!answer.ok) continue;
    for (const pfn of answer.plan.begin()) {
      const at = place.get(pfn);
      const fresh = pmm.take();
      const frames = at === undefined ? undefined : clients[at[0]];
      if (at === undefined || frames === undefined) continue;
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

const ranges = Array.from({ length: RANKS }, (_, i) => ({
  start: PER_RANK * (i + 1),
  end: PER_RANK * (i + 2),
  node: 0,
  rank: i,
  hotPluggable: false,
  faulty: [],
}));
const blind = new Pmm({ ranges: ranges.map((range) => ({ ...range, rank: 0 })) });
const blindRanks = activeRanks(live(blind, 1));
const pmm = new Pmm({ ranges });
const clients = live(pmm, 1);
const known = activeRanks(clients);
const moved = consolidate(pmm, clients);
const emptied = pmm.ranks().filter(({ isIdle }) => !isIdle).length;
pmm.check();
const used = clients.flat().length;
report([
  { bench, metric: "frames in use, in ranks", value: used / PER_RANK, unit: "ranks" },
  { bench, metric: "active, ranks unknown", value: blindRanks, unit: "ranks" },
  { bench, metric: "active, ranks known", value: known, unit: "ranks", ratioTo: "unknown", ratio: known / blindRanks },
  {
    bench,
    metric: `active, after moving ${moved} frames`,
    value: emptied,
    unit: "ranks",
    ratioTo: "unknown",
    ratio: emptied / blindRanks,
  },
]);
