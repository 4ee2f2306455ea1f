/** Input files: read whole, plain or gzip'd, with every way in which they can be unreadable told apart in one line. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { complaintOf, UsageError } from "./output.ts";

/** More expanded bytes than any input may have: a guard against archives made to fill the memory. */
const MAX_EXPANDED_BYTES = 2 ** 32;

/** The name that stands for standard input. */
const STANDARD_INPUT = "-";

/**
 * Returns the bytes of an input file, expanded if they are gzip'd (recognised by content, not by name).
 *
 * @param path - A path, or `-` for standard input.
 * @throws {@link UsageError} naming the file if it cannot be read, is truncated or is corrupted.
 */
export function readInput(path: string): Uint8Array {
  const bytes = readWhole(path);
  return isGzip(bytes) ? expand(bytes, path) : bytes;
}

/** Returns the text of an input file (UTF-8), as {@link readInput} does. */
export function readText(path: string): string {
  return new TextDecoder().decode(readInput(path));
}

/**
 * Returns the JSON document in an input file.
 *
 * @throws {@link UsageError} naming the file if it cannot be read or is not JSON.
 */
export function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UsageError(`${path}: not JSON: ${complaintOf(error)}`);
  }
}

function readWhole(path: string): Uint8Array {
  try {
    return readFileSync(path === STANDARD_INPUT ? 0 : path);
  } catch (error) {
    const reason = complaintOf(error);
    throw new UsageError(reason.startsWith(path) ? reason : `${path}: ${reason}`);
  }
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0]! === 0x1f && bytes[1]! === 0x8b;
}

function expand(bytes: Uint8Array, path: string): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_EXPANDED_BYTES });
  } catch (error) {
    throw new UsageError(`${path}: ${gzipReasonOf(error as NodeJS.ErrnoException)}`);
  }
}

function gzipReasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "Z_BUF_ERROR":
      return "truncated: the gzip data ends early";
    case "ERR_BUFFER_TOO_LARGE":
      return "expands to more than 4 GiB";
    default:
      return `corrupted gzip data (${error.message})`;
  }
}
