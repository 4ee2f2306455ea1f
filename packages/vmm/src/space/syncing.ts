/** Writing mapped files back. */
import type { Outcome } from "../outcome.ts";
import { FileObject, type SyncCursor } from "../objects/file-object.ts";
import { PAGE_SIZE, type Vpn } from "../units.ts";
import { coverOf } from "./protecting.ts";
import type { AddressSpace } from "./space.ts";

/** Which errors of a file a space has been told of. */
const CURSORS: WeakMap<AddressSpace, Map<number, SyncCursor>> = new WeakMap();

/** Writes the dirty pages of shared file regions in `[start, end)`. `failed`: at least one write failed since the space was last told. */
export function syncRange(space: AddressSpace, start: Vpn, end: Vpn): Outcome {
  if (start === end) return "ok";
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  let outcome: Outcome = "ok";
  for (const region of regions) {
    const { object } = region;
    if (!(object instanceof FileObject) || !region.shared) continue;
    const from = region.indexOf(Math.max(start, region.start));
    const to = region.indexOf(Math.min(end, region.end));
    if (object.sync(cursorOf(space, object), from * PAGE_SIZE, to * PAGE_SIZE) !== "ok") outcome = "failed";
  }
  return outcome;
}

function cursorOf(space: AddressSpace, object: FileObject): SyncCursor {
  let cursors = CURSORS.get(space);
  if (cursors === undefined) {
    cursors = new Map();
    CURSORS.set(space, cursors);
  }
  let cursor = cursors.get(object.number);
  if (cursor === undefined) {
    cursor = { seen: 0 };
    cursors.set(object.number, cursor);
  }
  return cursor;
}
