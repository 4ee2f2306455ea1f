/** Outcomes as values: what an operation on a space, or a fault, can come to. */

/**
 * Why an operation on a range was refused. Nothing has changed then.
 *
 * | refusal | cause |
 * |---|---|
 * | `unmapped` | part of the range is in no region |
 * | `exists` | part of the range is in a region, and the request may not replace |
 * | `no-space` | no gap of that size and alignment within the bounds |
 * | `out-of-bounds` | the range leaves the space |
 * | `region-limit`, `size-limit`, `lock-limit` | the space would pass one of its limits |
 * | `commit-limit` | more private memory would be promised than policy allows |
 * | `rights` | more rights asked for than the region's ceiling or the object allows |
 * | `sealed` | a region of the range, or the object, is sealed against the operation |
 * | `write-execute` | W and X on the same pages while the policy forbids it |
 * | `type-conflict` | the frames are mapped with another memory type |
 * | `no-memory` | no frame could be had |
 * | `not-anonymous`, `not-shared`, `locked`, `mixed` | the advice or move does not apply to a region of the range |
 * | `page-size` | pages of that size cannot be had here |
 * | `bus` | a page of the range lies beyond the end of its object or cannot be read |
 * | `pending` | a page of the range must be awaited: use the asynchronous form |
 * | `busy` | another processor changes the space's regions: try again |
 */
export type Refusal =
  | "unmapped"
  | "exists"
  | "no-space"
  | "out-of-bounds"
  | "region-limit"
  | "size-limit"
  | "lock-limit"
  | "commit-limit"
  | "rights"
  | "sealed"
  | "write-execute"
  | "type-conflict"
  | "no-memory"
  | "not-anonymous"
  | "not-shared"
  | "locked"
  | "mixed"
  | "overlap"
  | "page-size"
  | "bus"
  | "failed"
  | "busy"
  | "pending";

/** `ok`, or why not. */
export type Outcome = "ok" | Refusal;

/**
 * What became of a fault. The first five are resolved: the access is to be tried again.
 *
 * | outcome | meaning |
 * |---|---|
 * | `minor` | a page that was in a frame was mapped |
 * | `zero` | a page of zeroes was mapped |
 * | `copy` | a shared page was copied for its writer |
 * | `major` | a page was read from a store |
 * | `spurious` | the translation was right already |
 * | `unmapped` | segmentation violation: no region |
 * | `no-read`, `no-write`, `no-execute`, `no-user` | segmentation violation: the region lacks this right |
 * | `guard` | segmentation violation: a guard page |
 * | `bus` | beyond the end of the object, or the content is lost |
 * | `no-memory` | no frame could be had |
 * | `pending` | wait for `space.pending`, then try again |
 * | `busy` | another processor moves the space's pages: try again |
 */
export type FaultOutcome =
  | "minor"
  | "zero"
  | "copy"
  | "major"
  | "spurious"
  | "unmapped"
  | "no-read"
  | "no-write"
  | "no-execute"
  | "no-user"
  | "guard"
  | "bus"
  | "no-memory"
  | "busy"
  | "pending";

/** Whether the access that faulted can be tried again at once. */
export function isResolved(outcome: FaultOutcome): boolean {
  return (
    outcome === "minor" || outcome === "zero" || outcome === "copy" || outcome === "major" || outcome === "spurious"
  );
}

/** Whether the outcome is a segmentation violation: the address or the right is not the program's. */
export function isViolation(outcome: FaultOutcome): boolean {
  return (
    outcome === "unmapped"
    || outcome === "guard"
    || outcome === "no-read"
    || outcome === "no-write"
    || outcome === "no-execute"
    || outcome === "no-user"
  );
}
