/*
 * Fragmentation as LLFree's authors measure it: from a full machine, 100 rounds of freeing and taking again 10 % of the frames at
 * random; then half of the clients, chosen at random, free all they have. How many whole 2M blocks are there, of how many possible?
 */
import { BLOCK_FRAMES, NO_FRAME, Pmm } from "../src/index.ts";
import { report } from "./report.ts";

const BLOCKS = 512;
const FRAMES = BLOCKS * BLOCK_FRAMES;
const CLIENTS = 16;
const ROUNDS = 100;

/** What all three can do: serve clients, and count whole blocks at the end. */
interface Contender {
  take(client: number): number;
  give(client: number, frame: number): void;
  wholeBlocks(): number;
}

/** The naive twin: one stack of all frames. */
class PageStack implements Contender {
  readonly #frames: number[] = Array.from({ length: FRAMES }, (_, i) => FRAMES - 1 - i);

  take(): number {
    return this.#frames.pop() ?? NO_FRAME;
  }

  give(_client: number, frame: number): void {
    this.#frames.push(frame);
  }

  wholeBlocks(): number {
    const free = new Int32Array(BLOCKS);
    for (const frame of this.#frames) free[Math.floor(frame / BLOCK_FRAMES)]! += 1;
    return free.filter((count) => count === BLOCK_FRAMES).length;
  }
}

/** The other naive twin: a binary buddy up to 2M, lists of free blocks by order, merging at every free. */
class Buddy implements Contender {
  readonly #free: Set<number>[] = Array.from({ length: 10 }, () => new Set<number>());

  constructor() {
    for (let block = 0; block < BLOCKS; block += 1) this.#free[9]?.add(block * BLOCK_FRAMES);
  }

  take(): number {
    for (let order = 0; order <= 9; order += 1) {
      for (const start of this.#free[order] ?? []) {
        this.#free[order]?.delete(start);
        for (let split = order - 1; split >= 0; split -= 1) this.#free[split]?.add(start + 2 ** split);
        return start;
      }
    }
    return NO_FRAME;
  }

  give(_client: number, frame: number): void {
    let start = frame;
    let order = 0;
    for (; order < 9; order += 1) {
      const isLower = (start & (2 ** order)) === 0;
      const buddy = isLower ? start + 2 ** order : start - 2 ** order;
      if (this.#free[order]?.delete(buddy) !== true) break;
      start = Math.min(start, buddy);
    }
    this.#free[order]?.add(start);
  }

  wholeBlocks(): number {
    return this.#free[9]?.size ?? 0;
  }
}

/** This package: a worker per client. */
class Workers implements Contender {
  readonly #pmms: Pmm[];

  constructor() {
    const ranges = [{ start: 0, end: FRAMES, node: 0, rank: 0, hotPluggable: false, faulty: [] }];
    const maker = new Pmm({ ranges, lowZoneEnd: 0, workers: CLIENTS });
    this.#pmms = [maker];
    for (let worker = 1; worker < CLIENTS; worker += 1) this.#pmms.push(new Pmm({ share: maker.share, worker }));
  }

  take(client: number): number {
    const pmm = this.#pmms[client];
    const pfn = pmm?.take() ?? NO_FRAME;
    if (pfn !== NO_FRAME) return pfn;
    for (const other of this.#pmms) other.drain();
    return pmm?.take() ?? NO_FRAME;
  }

  give(client: number, frame: number): void {
    this.#pmms[client]?.give(frame);
  }

  wholeBlocks(): number {
    for (const pmm of this.#pmms) pmm.drain();
    this.#pmms[0]?.check();
    return this.#pmms[0]?.orders().free2M ?? 0;
  }
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Runs the story; the whole blocks at the end. */
function run(contender: Contender, seed: number): number {
  const random = randomOf(seed);
  const held: number[][] = Array.from({ length: CLIENTS }, () => []);
  for (let i = 0; i < FRAMES; i += 1) {
    const client = Math.floor(random() * CLIENTS);
    held[client]?.push(contender.take(client));
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    const due: number[] = [];
    for (let i = 0; i < FRAMES / 10; i += 1) {
      const client = Math.floor(random() * CLIENTS);
      const frames = held[client] ?? [];
      const at = Math.floor(random() * frames.length);
      const frame = frames[at];
      const last = frames.pop();
      if (frame === undefined || last === undefined) continue;
      if (at < frames.length) frames[at] = last;
      contender.give(client, frame);
      due.push(client);
    }
    for (const client of due.sort(() => random() - 0.5)) held[client]?.push(contender.take(client));
  }
  const leaving = [...held.keys()].sort(() => random() - 0.5).slice(0, CLIENTS / 2);
  for (const client of leaving) {
    for (const frame of held[client] ?? []) {
      if (frame === NO_FRAME) throw new Error("A client went short although the machine was full before");
      contender.give(client, frame);
    }
  }
  return contender.wholeBlocks();
}

const contenders: Record<string, () => Contender> = {
  "page stack": () => new PageStack(),
  buddy: () => new Buddy(),
  pmm: () => new Workers(),
};
for (const [name, make] of Object.entries(contenders)) {
  const value = [1, 2, 3].reduce((sum, seed) => sum + run(make(), seed), 0) / 3;
  const metric = `whole 2M blocks, ${name}`;
  const ratioTo = `the ${BLOCKS / 2} that half the frames could make`;
  report([{ bench: "pmm/fragmentation", metric, value, unit: "blocks", ratioTo, ratio: value / (BLOCKS / 2) }]);
}
