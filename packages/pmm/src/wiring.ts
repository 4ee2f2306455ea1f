/* Wired frames: neither given back nor moved until unwired, by any worker. The state byte carries the flag, so it costs no table. */
import { WIRED } from "./arena.ts";
import type { Core } from "./core.ts";
import { clearFlags, isTakenByte, setFlags } from "./marks.ts";
import { useOf } from "./misuse.ts";
import type { Pfn } from "./units.ts";

/** The dense frame that carries the flags of a taken frame or block; throws where nothing is taken there. */
function takenFrame(core: Core, pfn: Pfn): number {
  const frame = core.managed(pfn);
  const use = useOf(core.arena, frame);
  if (use === "taken" || use === "taken-low" || use === "taken-2M" || use === "taken-1G") return frame;
  throw core.misuse(pfn, frame, 0);
}

/** Wires a taken frame, or a taken block by its first frame. False if it was wired. */
export function wire(core: Core, pfn: Pfn): boolean {
  const frame = takenFrame(core, pfn);
  const code = setFlags(core.arena, frame, WIRED);
  if (!isTakenByte(code)) throw core.misuse(pfn, frame, 0);
  return (code & WIRED) === 0;
}

/** Ends what `wire` began. False if it was not wired. */
export function unwire(core: Core, pfn: Pfn): boolean {
  const frame = takenFrame(core, pfn);
  const code = clearFlags(core.arena, frame, WIRED);
  if (!isTakenByte(code)) throw core.misuse(pfn, frame, 0);
  return (code & WIRED) !== 0;
}

/** Hands a taken frame over to another client. */
export function setOwner(core: Core, pfn: Pfn, client: number): void {
  core.tables.setOwner(takenFrame(core, pfn), client);
}

/** Adds users to a taken frame (or, negative, takes them away); returns how many it has. */
export function addUsers(core: Core, pfn: Pfn, users: number): number {
  return core.tables.addCount(takenFrame(core, pfn), users);
}
