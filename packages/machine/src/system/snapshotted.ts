/**
 * What a part of a machine owes to snapshots: its state as plain data. Plain data is what structured clone takes (numbers,
 * strings, bigint, arrays, maps, sets, typed arrays, objects without a class), so that a snapshot can be sent to a worker
 * or, through `v8.serialize`, written to a file.
 *
 * State is what hardware remembers. Who is called (fault handlers, listeners, sinks) is wiring: it stays as it is.
 */

/** A part of a machine that can be saved and restored. */
export interface Snapshotted<S = unknown> {
  /**
   * Returns the state as plain data that nobody writes to any more. Large unchanged pieces of `before`, an earlier state of
   * this part, may be shared with it.
   */
  saveState(before?: S): S;
  /**
   * Says why this part cannot take a state over, naming what is here and what the snapshot has, or returns null. Asked of all parts before any is
   * changed. A part that takes every state of its kind need not have it.
   */
  mismatch?(state: S): string | null;
  /** Brings the part back to a state that it, or a part made in the same way on another machine, once had. */
  restoreState(state: S): void;
}

/** Bytes of the pieces in which large contents are kept. */
export const PIECE_BYTES = 4096;

/** Returns whether two arrays hold the same bytes. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at]! !== b[at]!) return false;
  return true;
}

/** Returns `before` when it equals `now`, else a copy of `now`. */
export function sharedBytes(now: Uint8Array, before: Uint8Array | undefined): Uint8Array {
  return before !== undefined && isEqual(before, now) ? before : now.slice();
}

/** Contents by piece number; a piece that is not there is zero. */
export type Pieces = ReadonlyMap<number, Uint8Array>;

/** Returns `size` bytes that `read` delivers, as pieces; those that are zero are left out, equal ones shared with `before`. */
export function piecesOf(
  size: number,
  read: (offset: number, into: Uint8Array) => void,
  before: Pieces | undefined,
): Pieces {
  const pieces = new Map<number, Uint8Array>();
  for (let at = 0; at < size; at += PIECE_BYTES) {
    const bytes = new Uint8Array(Math.min(PIECE_BYTES, size - at));
    read(at, bytes);
    const piece = at / PIECE_BYTES;
    if (bytes.some((byte) => byte !== 0)) pieces.set(piece, sharedBytes(bytes, before?.get(piece)));
  }
  return pieces;
}

/** Delivers all of `size` bytes to `write`, zeros where there is no piece. */
export function restorePieces(size: number, pieces: Pieces, write: (offset: number, bytes: Uint8Array) => void): void {
  const zeros = new Uint8Array(PIECE_BYTES);
  for (let at = 0; at < size; at += PIECE_BYTES)
    write(at, pieces.get(at / PIECE_BYTES) ?? zeros.subarray(0, Math.min(PIECE_BYTES, size - at)));
}
