/**
 * Image files as random-access bytes: plain ones are read where they lie, gzip'd and xz'd ones are expanded as a stream, to memory while they are
 * small and to a temporary file beyond that, so that no image has to fit into memory.
 */
import { closeSync, createReadStream, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import xz from "xz-decompress";
import { complaintOf, UsageError } from "../output.ts";
import { temporaryFolder } from "../temporary.ts";

/** Bytes that can be read at any offset. */
export interface ByteSource {
  /** How many. */
  readonly size: number;
  /** Fills `into` from `offset` on; what lies beyond the end reads as zero. */
  read(offset: number, into: Uint8Array): void;
}

/** Expanded bytes that are kept in memory; a larger image goes to a file. */
const MEMORY_LIMIT = 64 * 1024 * 1024;
/** Expanded bytes that any image may have. */
const EXPANDED_LIMIT = 2 ** 40;

const GZIP = [0x1f, 0x8b];
const XZ = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];

/**
 * Opens a file for random access, expanding it where its first bytes say gzip or xz.
 *
 * @throws {@link UsageError} naming the file if it cannot be read, is truncated or is corrupted.
 */
export async function openBytes(path: string): Promise<ByteSource> {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new UsageError(named(path, error));
  }
  const head = new Uint8Array(6);
  let size: number;
  try {
    if (fstatSync(file).isDirectory()) throw new UsageError(`${path}: is a folder, not a file`);
    size = fstatSync(file).size;
    readSync(file, head, 0, 6, 0);
  } catch (error) {
    closeSync(file);
    throw error instanceof UsageError ? error : new UsageError(named(path, error));
  }
  const startsWith = (magic: readonly number[]): boolean => magic.every((byte, i) => head[i] === byte);
  if (!startsWith(GZIP) && !startsWith(XZ)) return fileSource(file, size);
  closeSync(file);
  const source = createReadStream(path);
  try {
    const kind = startsWith(GZIP) ? "gzip" : "xz";
    return await collect(kind === "gzip" ? source.pipe(createGunzip()) : expandXz(source), path);
  } catch (error) {
    source.destroy();
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path}: truncated or corrupted compressed data (${complaintOf(error)})`);
  }
}

function named(path: string, error: unknown): string {
  const reason = complaintOf(error);
  return reason.startsWith(path) ? reason : `${path}: ${reason}`;
}

function expandXz(source: Readable): AsyncIterable<Uint8Array> {
  const web = Readable.toWeb(source) as ReadableStream<Uint8Array>;
  return Readable.fromWeb(
    new xz.XzReadableStream(web) as Parameters<typeof Readable.fromWeb>[0],
  ) as AsyncIterable<Uint8Array>;
}

async function collect(stream: AsyncIterable<Uint8Array>, path: string): Promise<ByteSource> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  let file = -1;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > EXPANDED_LIMIT) throw new UsageError(`${path}: expands to more than 1 TiB`);
    if (file < 0 && size > MEMORY_LIMIT) {
      file = openSync(join(temporaryFolder(), "image"), "w+");
      for (const kept of chunks.splice(0)) writeSync(file, kept);
    }
    if (file < 0) chunks.push(chunk);
    else writeSync(file, chunk);
  }
  return file < 0 ? memorySource(chunks, size) : fileSource(file, size);
}

function memorySource(chunks: readonly Uint8Array[], size: number): ByteSource {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return {
    size,
    read: (offset, into) => {
      const part = bytes.subarray(Math.min(offset, size), Math.min(offset + into.length, size));
      into.fill(0).set(part);
    },
  };
}

function fileSource(file: number, size: number): ByteSource {
  return {
    size,
    read: (offset, into) => {
      into.fill(0);
      for (let done = 0; done < into.length;) {
        const count = readSync(file, into, done, into.length - done, offset + done);
        if (count === 0) return;
        done += count;
      }
    },
  };
}
