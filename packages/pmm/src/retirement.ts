/* Faulty RAM: frames that are never used again. A free one retires at once, one in use when it is given back. */
import {
  DOOMED,
  DOOMED_1G,
  DOOMED_2M,
  GRANT_HEAD,
  ISOLATED,
  LEAVING,
  RETIRED,
  STACKED,
  TAKEN,
  TAKEN_1G,
  TAKEN_2M,
  TAKEN_DOOMED,
} from "./arena.ts";
import type { Core } from "./core.ts";
import { changeByte, isTakenByte, setFlags } from "./marks.ts";
import { useOf } from "./misuse.ts";
import { ASKED_TO_DRAIN } from "./page-stacks.ts";
import { claimRun } from "./runs.ts";
import { BLOCK_FRAMES, GROUP_FRAMES, ORDER_1G, ORDER_2M } from "./units.ts";
import type { Pfn } from "./units.ts";

/** What became of a frame that should retire. */
export type Retirement =
  /** It is retired now. */
  | { readonly retired: true }
  /**
   * It is in use: move what `moves` names (the frame, or the head of the block around it) and give it back. Inside a 2M or 1G page it is enough to `split`
   * that (`order` is its order) and to move the frame alone.
   */
  | { readonly retired: false; readonly reason: "in-use"; readonly moves: readonly Pfn[]; readonly order?: number }
  /** It is on the page stack of another worker, which was asked to drain; try again. */
  | { readonly retired: false; readonly reason: "stacked"; readonly worker: number }
  /** It was taken before the zones existed, and so cannot be moved. */
  | { readonly retired: false; readonly reason: "boot" };

/** Tries of a step that another worker's short reservation may hold up. */
const TRIES = 1000;

/** Retires a dense frame that is RAM, or marks it to retire when given back. */
export function retireFrame(core: Core, frame: number): Retirement {
  for (let turn = 0; turn < TRIES; turn += 1) {
    const use = useOf(core.arena, frame);
    switch (use) {
      case "free":
        if (claimRun(core, frame, frame + 1, core.zoneOf(frame), ISOLATED, ISOLATED)) return noteRetired(core, frame);
        continue;
      case "stacked":
        if (core.drainAll() > 0) continue;
        return askToDrain(core, frame);
      case "taken":
      case "taken-low":
        if (!doom(core, frame)) continue;
        return { retired: false, reason: "in-use", moves: [core.arena.pfnOf(frame)] };
      case "taken-2M":
      case "inside-2M":
        return doomInside(core, frame, frame - (frame & (BLOCK_FRAMES - 1)), ORDER_2M);
      case "taken-1G":
      case "inside-1G":
        return doomInside(core, frame, frame - (frame & (GROUP_FRAMES - 1)), ORDER_1G);
      case "granted":
        changeByte(core.arena, frame, (code) => code | LEAVING);
        return { retired: false, reason: "in-use", moves: [grantHead(core, frame)] };
      case "isolated":
        return noteRetired(core, frame);
      case "boot":
        return { retired: false, reason: "boot" };
      case "retired":
        return { retired: true };
      case "hole":
        throw core.misuse(core.arena.pfnOf(frame), -1, 0);
    }
  }
  return askToDrain(core, frame);
}

function noteRetired(core: Core, frame: number): Retirement {
  core.setRetired(frame);
  return { retired: true };
}

function askToDrain(core: Core, frame: number): Retirement {
  const code = core.arena.state[frame]!;
  const worker = code >= STACKED ? code - STACKED : core.worker;
  Atomics.store(core.arena.workers, core.arena.areaOf(worker) + ASKED_TO_DRAIN, 1);
  return { retired: false, reason: "stacked", worker };
}

/** Marks a frame in use to be retired when it is given back; false if it was given back meanwhile. */
function doom(core: Core, frame: number): boolean {
  const before = changeByte(core.arena, frame, (code) =>
    isTakenByte(code) ? TAKEN_DOOMED + (code & 7 & ~LEAVING) : code,
  );
  return isTakenByte(before);
}

/** Marks a frame of a taken block, and the block's head so that giving it back looks inside. */
function doomInside(core: Core, frame: number, head: number, order: number): Retirement {
  const { arena } = core;
  if (frame !== head) {
    arena.state[frame] = DOOMED;
    setFlags(arena, head, LEAVING);
  } else {
    changeByte(arena, head, (code) => {
      if ((code & ~7) === TAKEN_2M) return code - TAKEN_2M + DOOMED_2M;
      return (code & ~7) === TAKEN_1G ? code - TAKEN_1G + DOOMED_1G : code;
    });
  }
  return { retired: false, reason: "in-use", moves: [arena.pfnOf(head)], order };
}

function grantHead(core: Core, frame: number): Pfn {
  let head = frame;
  while ((core.arena.state[head]! & ~LEAVING) !== GRANT_HEAD) head -= 1;
  return core.arena.pfnOf(head);
}

/** Every retired frame of the allocator, ascending: the list that survives a re-initialisation. */
export function retiredFrames(core: Core): Pfn[] {
  const list: Pfn[] = [];
  const { state } = core.arena;
  for (let frame = state.indexOf(RETIRED); frame >= 0; frame = state.indexOf(RETIRED, frame + 1)) {
    if (useOf(core.arena, frame) === "retired") list.push(core.arena.pfnOf(frame));
  }
  return list.sort((a, b) => a - b);
}

/** True for a taken frame that is to move, or an isolated one: what an evacuation waits for or has. */
export function isLeaving(code: number): boolean {
  return code === ISOLATED || ((code & LEAVING) !== 0 && code >= TAKEN && code < GRANT_HEAD);
}
