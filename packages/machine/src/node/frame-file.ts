import { closeSync, fsyncSync, openSync } from "node:fs";

import { MachineError } from "../errors.ts";
import type { FrameStore } from "../memory/memory-ports.ts";
import { FRAME_BYTES } from "../units.ts";
import type { Pfn } from "../units.ts";
import { readFully, writeFully } from "./file-medium.ts";

/**
 * Keeps the frames of non-volatile memory in a real file, so that they survive the end of the process. Frame `first` is
 * the file's first 4 KiB; frames below it are refused with `bad-argument`. The file is sparse: frames that were never
 * saved take no room and read as zero.
 */
export class FrameFile implements FrameStore {
  readonly #first: Pfn;
  #file: number;

  /** Opens `path`, creating it where it is not there; its first byte is frame `first`'s. */
  constructor(path: string, first: Pfn) {
    this.#first = first;
    closeSync(openSync(path, "a"));
    this.#file = openSync(path, "r+");
  }

  #offset(pfn: Pfn): number {
    if (this.#file < 0) throw new MachineError("destroyed", "The frame file is closed");
    if (pfn < this.#first)
      throw new MachineError(
        "bad-argument",
        `Frame 0x${pfn.toString(16)} is before the file's first, 0x${this.#first.toString(16)}`,
        {
          pfn,
          first: this.#first,
        },
      );
    return (pfn - this.#first) * FRAME_BYTES;
  }

  /** FrameStore: fills `into` with the saved bytes. */
  load(pfn: Pfn, into: Uint8Array): void {
    readFully(this.#file, into, this.#offset(pfn));
  }

  /** FrameStore: saves a frame. */
  save(pfn: Pfn, from: Uint8Array): void {
    writeFully(this.#file, from, this.#offset(pfn));
  }

  /** Makes all saved frames durable: fsync. */
  sync(): void {
    this.#offset(this.#first);
    fsyncSync(this.#file);
  }

  /** Closes the file; any later use throws `destroyed`. Closing twice does nothing. */
  close(): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
  }
}
