/* Special requests: which zone, which run, and why not. */
import { GRANT_BODY, GRANT_HEAD, HOLE, LEAVING, STACKED } from "./arena.ts";
import type { Arena } from "./arena.ts";
import type { Core } from "./core.ts";
import { PmmError } from "./errors.ts";
import { Evacuation, survey } from "./evacuation.ts";
import { cheapestRun } from "./cheapest-run.ts";
import type { Grant, Refusal, SpecialRequest } from "./ports.ts";
import { claimRun, findRun, putRun, stretchesOf } from "./runs.ts";
import type { RunWish, Stretch } from "./runs.ts";
import { noteGranted, noteReleased } from "./traffic.ts";
import { PFN_LIMIT } from "./units.ts";
import type { Pfn } from "./units.ts";
import type { Zone } from "./zone.ts";

/** What the 8237 DMA controller of an ISA bus reaches: below 16 MiB, no transfer across 64 KiB (Intel 8237A, page registers). */
export const ISA_DMA: { readonly below: Pfn; readonly boundary: number } = { below: 4096, boundary: 16 };

/** What a device with 32 address lines reaches: below 4 GiB. */
export const DMA_32: { readonly below: Pfn } = { below: 2 ** 20 };

/** Tries to claim a run that another worker may disturb. */
const TRIES = 16;

interface Place {
  readonly zone: Zone;
  readonly stretch: Stretch;
}

/** Grants a run, or says why not. See `Pmm.request`. */
export function requestRun(core: Core, request: SpecialRequest): Grant | Refusal {
  const wish = checkedWish(request);
  const places = placesFor(core, request);
  if (places.length === 0) return { ok: false, reason: "no-such-zone" };
  if (wish.boundary > 0 && wish.frames > wish.boundary) return { ok: false, reason: "too-large" };
  /* Frames of low zones are never on page stacks. */
  const mayDrain = places.some(({ zone }) => !zone.isLow);
  for (let turn = 0; turn < 2; turn += 1) {
    for (const { zone, stretch } of places) {
      const start = grantIn(core, zone, stretch, wish);
      if (start < 0) continue;
      noteGranted(core, start, wish.frames);
      return { ok: true, start: start + stretch.base, frames: wish.frames };
    }
    if (!mayDrain || core.drainAll() === 0) break;
  }
  return refusal(core, places, wish);
}

function grantIn(core: Core, zone: Zone, stretch: Stretch, wish: RunWish): number {
  for (let turn = 0; turn < TRIES; turn += 1) {
    const start = findRun(core.arena, stretch, wish);
    if (start < 0) return -1;
    if (claimRun(core, start, start + wish.frames, zone, GRANT_HEAD, GRANT_BODY)) return start;
  }
  return -1;
}

function refusal(core: Core, places: readonly Place[], wish: RunWish): Refusal {
  let possible = false;
  for (const { zone, stretch } of places) {
    const best = cheapestRun(core.arena, stretch, wish);
    possible ||= best.exists || (!best.complete && longestPresent(core.arena, stretch) >= wish.frames);
    if (best.start < 0) continue;
    const run = { from: best.start, to: best.start + wish.frames, base: stretch.base };
    const { moves } = survey(core, run.from, run.to, run.base);
    return { ok: false, reason: "fragmented", plan: new Evacuation(core, zone, run, moves, false, grantEmptied) };
  }
  return { ok: false, reason: possible ? "fragmented" : "too-large" };
}

/** What a plan of a refusal is for: its isolated frames become a granted run. */
function grantEmptied(from: number, to: number, core: Core): void {
  core.arena.state.fill(GRANT_BODY, from, to);
  core.arena.state[from] = GRANT_HEAD;
  noteGranted(core, from, to - from);
}

/** The longest run of RAM in a stretch, retired frames included. Cost: O(frames), by a native search. */
function longestPresent(arena: Arena, { from, to }: Stretch): number {
  let longest = 0;
  for (let at = from; at < to; at += 1) {
    const hole = arena.state.subarray(at, to).indexOf(HOLE);
    const end = hole < 0 ? to : at + hole;
    longest = Math.max(longest, end - at);
    at = end;
  }
  return longest;
}

/** Gives a granted run back. See `Pmm.release`. */
export function releaseRun(core: Core, start: Pfn, frames: number): void {
  const { state } = core.arena;
  const from = core.arena.frameOf(start);
  if (from < 0) throw core.misuse(start, from, 0);
  const plain = (at: number): number => (at < state.length ? state[at]! & ~LEAVING : 0);
  if (plain(from) !== GRANT_HEAD) throw releaseError(core, start, from);
  for (let at = from + 1; at < from + frames; at += 1) {
    if (plain(at) !== GRANT_BODY) throw core.error("wrong-order", "The granted run is shorter", start, from);
  }
  if (!Number.isInteger(frames) || frames < 1 || plain(from + frames) === GRANT_BODY) {
    throw core.error("wrong-order", "The granted run has another length", start, from);
  }
  const zone = core.zoneOf(from);
  noteReleased(core, from, frames);
  for (let at = from; at < from + frames;) {
    if ((state[at]! & LEAVING) !== 0) {
      core.setRetired(at);
      at += 1;
      continue;
    }
    let end = at + 1;
    while (end < from + frames && (state[end]! & LEAVING) === 0) end += 1;
    putRun(core, at, end, zone, STACKED + core.worker);
    at = end;
  }
}

function releaseError(core: Core, pfn: Pfn, frame: number): PmmError {
  const error = core.misuse(pfn, frame, 0);
  if (error.code !== "wrong-zone" && error.code !== "wrong-order") return error;
  return core.error("never-given", "No granted run starts here", pfn, frame);
}

function checkedWish(request: SpecialRequest): RunWish {
  const { frames, alignment = 1, boundary = 0 } = request;
  if (!Number.isInteger(frames) || frames < 1) refuse("frames must be an integer ≥ 1", frames);
  if (!isPower(alignment)) refuse("alignment must be a power of two", alignment);
  if (boundary !== 0 && !isPower(boundary)) refuse("boundary must be a power of two", boundary);
  for (const limit of [request.above ?? 0, request.below ?? 0]) {
    if (!Number.isInteger(limit) || limit < 0) refuse("above and below must be frame numbers", limit);
  }
  return { frames, alignment, boundary };
}

function isPower(n: number): boolean {
  return n >= 1 && Number.isInteger(Math.log2(n));
}

function refuse(what: string, value: number): never {
  throw new PmmError("bad-argument", `${what}, not ${value}`);
}

/** The stretches inside the limits: normal zones first, then low ones. */
function placesFor(core: Core, { above = 0, below = PFN_LIMIT, node = -1 }: SpecialRequest): Place[] {
  core.refresh();
  const places: Place[] = [];
  const wanted = node === -1 ? -1 : core.arena.layout.geometry.nodes[core.taker.nodeIndex(node)];
  for (const zone of core.zones) {
    if ((wanted !== -1 && zone.node !== wanted) || zone.presentFrames === 0) continue;
    if (zone.isLow ? above >= core.arena.layout.geometry.lowEnd : below <= core.arena.layout.geometry.lowEnd) continue;
    for (const stretch of stretchesOf(core.arena, zone, above, below)) places.push({ zone, stretch });
  }
  return places;
}
