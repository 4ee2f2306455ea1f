/** Input files: read whole, plain or gzip'd, with every way in which they can be unreadable told apart in one line. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { complaintAbout, complaintOf, UsageError } from "./output.ts";

/** More expanded bytes than any input may have: a guard against archives made to fill the memory. */
const MAX_EXPANDED_BYTES = 2 ** 32;

/** More bytes than any input may have that says no size beforehand: pipes, devices. */
const MAX_STREAM_BYTES = 2 ** 30;
/** Bytes read from a stream at once. */
const CHUNK_BYTES = 2 ** 20;

/** The name that stands for standard input. */
export const STANDARD_INPUT = "-";
/** Its file descriptor. */
const STANDARD_INPUT_FILE = 0;

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
  if (path === "") throw new UsageError("the name of an input file is empty");
  let file = -1;
  try {
    file = path === STANDARD_INPUT ? STANDARD_INPUT_FILE : openSync(path, "r");
    const kind = fstatSync(file);
    return kind.isFile() || kind.isDirectory() ? readFileSync(file) : readStream(file, path);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(complaintAbout(path, error));
  } finally {
    if (file > STANDARD_INPUT_FILE) closeSync(file);
  }
}

/** Reads to the end of a pipe or a device, some of which have none. */
function readStream(file: number, path: string): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (let size = 0; ;) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    const count = readSync(file, chunk);
    if (count === 0) return Buffer.concat(chunks, size);
    chunks.push(chunk.subarray(0, count));
    size += count;
    if (size > MAX_STREAM_BYTES) throw new UsageError(`${path}: more than 1 GiB from what is not a file`);
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
