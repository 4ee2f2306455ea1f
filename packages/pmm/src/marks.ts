/*
 * Marks on frames in use: wired, leaving, to be retired. They are bits of the state byte, set and cleared by any worker, not only by the
 * frame's holder; so each change is one compare-exchange of the byte.
 *
 * What a mark cannot do is stop a `give` that runs at the same moment: that reads and writes the byte plainly, and may write over
 * the mark. The frame is then on a page stack, unmarked, and the marker finds it there when it looks again: an evacuation does so in
 * each `begin`, a retirement when `retire` is called again. The byte never says "taken" of a frame that is free.
 */
import { DOOMED_1G, DOOMED_2M, GIVING, PINNED, TAKEN, TAKEN_1G, TAKEN_2M, TAKEN_DOOMED, TAKEN_LOW } from "./arena.ts";
import type { Arena } from "./arena.ts";

/** The bits of a state byte that say what is taken, without flags. */
const KINDS: readonly number[] = [TAKEN, TAKEN_2M, TAKEN_1G, TAKEN_LOW, TAKEN_DOOMED, DOOMED_2M, DOOMED_1G];

/** 1 by state byte for a taken frame, or the head of a taken block. */
const IS_TAKEN: Uint8Array = new Uint8Array(256);
for (const kind of KINDS) IS_TAKEN.fill(1, kind, kind + 8);

/** True for the state byte of a taken frame or of the head of a taken block. */
export function isTakenByte(code: number): boolean {
  return IS_TAKEN[code] === 1 && (code & ~PINNED) !== GIVING;
}

/** Changes a state byte that other workers may change too, in one step; returns what it was. `change` may leave it as it is. */
export function changeByte(arena: Arena, frame: number, change: (code: number) => number): number {
  for (;;) {
    const code = Atomics.load(arena.state, frame);
    const next = change(code);
    if (next === code || Atomics.compareExchange(arena.state, frame, code, next) === code) return code;
  }
}

/** Sets flags of a taken frame's byte; returns the byte before, which tells if the frame was taken at all. */
export function setFlags(arena: Arena, frame: number, flags: number): number {
  return changeByte(arena, frame, (code) => (isTakenByte(code) ? code | flags : code));
}

/** Clears flags of a taken frame's byte; returns the byte before, which tells if the frame was taken at all. */
export function clearFlags(arena: Arena, frame: number, flags: number): number {
  return changeByte(arena, frame, (code) => (isTakenByte(code) ? code & ~flags : code));
}
