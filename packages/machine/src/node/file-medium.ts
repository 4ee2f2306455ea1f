import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";

import type { BlockMedium } from "../devices/block-medium.ts";
import { MachineError } from "../errors.ts";

/** Reads until `into` is full or the file ends; returns the bytes read. */
export function readFully(file: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const count = readSync(file, into, done, into.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Writes all of `from`. */
export function writeFully(file: number, from: Uint8Array, offset: number): void {
  for (let done = 0; done < from.length;) done += writeSync(file, from, done, from.length - done, offset + done);
}

/** A block device's medium in a real file. Errors of the file system (full disk, read-only folder) come through as they are. */
export class FileMedium implements BlockMedium {
  /** Bytes of the medium. */
  readonly size: number;
  #file: number;

  /**
   * Opens `path`, creating it where it is not there. A file shorter than `size` grows with zeros (sparsely); a longer one
   * is refused with `bad-argument`.
   */
  constructor(path: string, size: number) {
    this.size = size;
    this.#file = openSync(path, "a");
    closeSync(this.#file);
    this.#file = openSync(path, "r+");
    const now = fstatSync(this.#file).size;
    if (now > size) {
      closeSync(this.#file);
      throw new MachineError("bad-argument", `${path} has ${now} bytes, more than the medium's ${size}`, {
        path,
        now,
        size,
      });
    }
    if (now < size) ftruncateSync(this.#file, size);
  }

  #open(): number {
    if (this.#file < 0) throw new MachineError("destroyed", "The medium's file is closed");
    return this.#file;
  }

  /** BlockMedium: fills `into` from `offset` on. */
  read(offset: number, into: Uint8Array): void {
    into.fill(0, readFully(this.#open(), into, offset));
  }

  /** BlockMedium: stores `from` at `offset`. */
  write(offset: number, from: Uint8Array): void {
    writeFully(this.#open(), from, offset);
  }

  /** BlockMedium: fsync. */
  sync(): void {
    fsyncSync(this.#open());
  }

  /** Closes the file; any later use throws `destroyed`. Closing twice does nothing. */
  close(): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
  }
}
