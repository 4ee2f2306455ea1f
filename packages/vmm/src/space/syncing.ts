/** Writing mapped files back. */
import type { Outcome } from "../outcome.ts";
import { AsyncFileObject } from "../objects/async-file-object.ts";
import type { CachedFile, SyncCursor } from "../objects/cached-file.ts";
import { FileObject } from "../objects/file-object.ts";
import { PAGE_SIZE, type Vpn } from "../units.ts";
import { coverOf } from "./protecting.ts";
import type { AddressSpace } from "./space.ts";

/** Which errors of a file a space has been told of. */
const CURSORS: WeakMap<AddressSpace, Map<number, SyncCursor>> = new WeakMap();

/**
 * Writes the dirty pages of shared file regions in `[start, end)`. `failed`: at least one write failed since the space was last told. `pending`: some are on their way
 * to a file that answers later; after the promise the same call says what became of them.
 */
export function syncRange(space: AddressSpace, start: Vpn, end: Vpn): Outcome {
  if (start === end) return "ok";
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  let hasFailed = false;
  const late: Promise<void>[] = [];
  for (const region of regions) {
    const { object } = region;
    if (!region.shared) continue;
    const from = region.indexOf(Math.max(start, region.start));
    const to = region.indexOf(Math.min(end, region.end));
    if (object instanceof FileObject)
      hasFailed = object.sync(cursorOf(space, object), from * PAGE_SIZE, to * PAGE_SIZE) !== "ok" || hasFailed;
    if (!(object instanceof AsyncFileObject)) continue;
    const outcome = object.syncSoon(cursorOf(space, object), from, to);
    hasFailed ||= outcome === "failed";
    if (outcome === "pending" && object.pending !== null) late.push(object.pending);
  }
  if (hasFailed) return "failed";
  if (late.length === 0) return "ok";
  space.pending = Promise.all(late).then(() => undefined);
  return "pending";
}

function cursorOf(space: AddressSpace, object: CachedFile): SyncCursor {
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
