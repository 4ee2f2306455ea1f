/* Why a frame cannot be given back: read only after the fast path has refused, from state byte and block word. */
import {
  BOOT,
  DOOMED,
  DOOMED_1G,
  DOOMED_2M,
  FREE,
  GRANT_BODY,
  GRANT_HEAD,
  GROUP_HANDED,
  GROUP_SPLIT,
  HANDED,
  HOLE,
  ISOLATED,
  LEAVING,
  modeOf,
  RETIRED,
  STACKED,
  TAKEN,
  TAKEN_1G,
  TAKEN_2M,
  TAKEN_DOOMED,
  TAKEN_LOW,
  WIRED,
} from "./arena.ts";
import type { Arena } from "./arena.ts";
import type { PmmErrorCode } from "./errors.ts";
import { groupOf } from "./layout.ts";
import { GROUP_FRAMES } from "./units.ts";

/** What a frame is used for, seen from its state byte and its block. */
export type FrameUse =
  | "hole"
  | "free"
  | "stacked"
  | "taken"
  | "taken-low"
  | "taken-2M"
  | "inside-2M"
  | "taken-1G"
  | "inside-1G"
  | "granted"
  | "retired"
  | "isolated"
  | "boot";

/** The use of a dense frame. */
export function useOf(arena: Arena, frame: number): FrameUse {
  if (frame < 0) return "hole";
  const group = groupOf(frame);
  const code = arena.state[frame]!;
  if (arena.groupMode(group) === GROUP_HANDED) return (frame & (GROUP_FRAMES - 1)) === 0 ? "taken-1G" : "inside-1G";
  if (arena.groupMode(group) !== GROUP_SPLIT) return "free";
  if (modeOf(Atomics.load(arena.blocks, frame >>> 9)) === HANDED) return (frame & 511) === 0 ? "taken-2M" : "inside-2M";
  if ((Atomics.load(arena.bits, frame >>> 5) & (1 << (frame & 31))) !== 0) return "free";
  if (code >= STACKED) return "stacked";
  switch (code & ~7) {
    case TAKEN:
    case TAKEN_DOOMED:
      return "taken";
    case TAKEN_LOW:
      return "taken-low";
    case TAKEN_2M:
    case DOOMED_2M:
      return "taken-2M";
    case TAKEN_1G:
    case DOOMED_1G:
      return "taken-1G";
    default:
      return otherUse(code);
  }
}

function otherUse(code: number): FrameUse {
  switch (code) {
    case HOLE:
      return "hole";
    case RETIRED:
      return "retired";
    case ISOLATED:
      return "isolated";
    case BOOT:
      return "boot";
    case GRANT_HEAD:
    case GRANT_BODY:
    case GRANT_HEAD + LEAVING:
    case GRANT_BODY + LEAVING:
      return "granted";
    case DOOMED:
      return "inside-2M";
    case FREE:
    default:
      return "stacked";
  }
}

/** The error for giving back a frame of which the caller claims order `order`. */
export function misuseOf(arena: Arena, frame: number, order: number): { code: PmmErrorCode; message: string } {
  const code = frame < 0 ? HOLE : arena.state[frame]!;
  const use = useOf(arena, frame);
  switch (use) {
    case "hole":
      return { code: "not-managed", message: "The frame is no RAM that this allocator manages" };
    case "free":
    case "stacked":
      return code === FREE
        ? { code: "never-given", message: "The frame was never given out" }
        : { code: "double-free", message: "The frame is free already" };
    case "retired":
      return { code: "retired", message: "The frame is retired" };
    case "isolated":
      return { code: "double-free", message: "The frame was given back and waits for an evacuation" };
    case "boot":
      return { code: "wrong-zone", message: "The frame was taken before the zones existed" };
    case "granted":
      return { code: "wrong-zone", message: "The frame belongs to a granted run: release the run" };
    case "taken":
    case "taken-low":
    case "taken-2M":
    case "taken-1G":
      return (code & WIRED) !== 0
        ? { code: "wired", message: "The frame is wired" }
        : { code: "wrong-order", message: `The frame was not given out with order ${order}` };
    case "inside-2M":
    case "inside-1G":
      return { code: "wrong-order", message: `The frame lies inside a block that was given out whole` };
  }
}
