/** Whole transfers of Node's files, and what its errors mean. */
import * as fs from "node:fs";

import type { IoOutcome } from "../ports.ts";

/** Reads until the array is full or the file ends; returns the bytes read. Throws Node's own error. */
export function readFully(descriptor: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const count = fs.readSync(descriptor, into, done, into.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Writes the whole array. Throws Node's own error. */
export function writeFully(descriptor: number, from: Uint8Array, offset: number): void {
  let done = 0;
  while (done < from.length) done += fs.writeSync(descriptor, from, done, from.length - done, offset + done);
}

/** Whether the disk, a quota or a limit of the file's size has no room. */
function isFull(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : "";
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
}

/** What an error of the disk is to a caller. */
export function outcomeOf(error: unknown): IoOutcome {
  return isFull(error) ? "full" : "failed";
}

/** What was thrown, as an error. */
export function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
