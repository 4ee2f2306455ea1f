/** A traced program as a process of a stack: its space, its regions, its file. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { EXECUTE, READ, WRITE } from "@pagewright/vmm";
import type { AddressSpace, FileObject } from "@pagewright/vmm";
import { FileBacking } from "@pagewright/vmm/node";
import type { Stack } from "@pagewright/stack";
import { complaintOf, UsageError } from "../output.ts";
import { PAGE_BYTES } from "./page-contents.ts";
import { KilledProgram } from "./traced-program.ts";
import type { TracedProgram } from "./traced-program.ts";
import type { LayoutMapping } from "./trace-layout.ts";

/** Records that a process runs before another one gets its processor. */
export const SLICE_RECORDS = 16384;

/** A process. */
export class ReplayProcess {
  /** What it does. */
  readonly program: TracedProgram;
  /** The processor that it runs on. */
  readonly cpu: number;
  readonly #stack: Stack;
  readonly #space: AddressSpace;
  readonly #backing: FileBacking | null;
  readonly #file: FileObject | null;
  #verified: number = 0;

  /**
   * Gives a program a space on a stack, with every region of its layout.
   *
   * @param folder - Where the file behind its unstored pages is made.
   * @throws {@link UsageError} if the machine has no frames for its tables, or the file cannot be written.
   */
  constructor(stack: Stack, program: TracedProgram, cpu: number, folder: string) {
    const space = stack.vmm.createSpace();
    if (space === null) throw new UsageError("the machine has no frame left for the page tables of a program");
    this.program = program;
    this.cpu = cpu;
    this.#stack = stack;
    this.#space = space;
    this.#backing =
      program.layout.filePages === 0 ? null : backingOf(program, join(folder, `program-${space.asid}.bin`));
    this.#file = this.#backing === null ? null : stack.vmm.openFile(this.#backing);
    for (const mapping of program.layout.mappings) this.#map(mapping);
  }

  /** Pages compared as a whole. */
  get pagesVerified(): number {
    return this.#verified;
  }

  /** Runs the next slice. A promise: the program waits for a page, and can go on when it is settled. */
  runSlice(): Promise<void> | null {
    return this.#unlessPending(() => {
      this.program.run(this.#stack.enter(this.#space, this.cpu), SLICE_RECORDS);
    });
  }

  /** Compares a whole page with what it should hold, if it was touched. A promise: to be tried again when that is settled. */
  verify(page: number): Promise<void> | null {
    return this.#unlessPending(() => {
      this.#verified += this.program.verify(this.#stack.enter(this.#space, this.cpu), page, page + 1);
    });
  }

  /** Ends the process: gives its memory back, and closes its file. */
  end(): void {
    this.#space.destroy();
    this.#file?.close();
    this.close();
  }

  /** Closes its file. */
  close(): void {
    this.#backing?.close();
  }

  /** What the program waits for, if that is what stopped it. */
  #unlessPending(work: () => void): Promise<void> | null {
    try {
      work();
      return null;
    } catch (error) {
      const { pending } = this.#space;
      if (error instanceof KilledProgram && this.#stack.lastFault === "pending" && pending !== null) return pending;
      throw error;
    }
  }

  #map(mapping: LayoutMapping): void {
    const file = this.#file;
    const { vpn, pages, stored, fetched, filePage } = mapping;
    const rights = READ + (stored ? WRITE : 0) + (fetched ? EXECUTE : 0);
    const source = stored || file === null ? {} : { object: file, offset: filePage * PAGE_BYTES };
    const place = { address: vpn * PAGE_BYTES, bytes: pages * PAGE_BYTES, placement: "fixed-new" } as const;
    const mapped = this.#space.map({ ...place, rights, ...source });
    if (typeof mapped === "string")
      throw new UsageError(`page 0x${vpn.toString(16)} of ${this.program.trace.name} cannot be mapped: ${mapped}`);
  }
}

function backingOf(program: TracedProgram, path: string): FileBacking {
  try {
    writeFileSync(path, program.fileBytes());
    return new FileBacking(path, { readOnly: true });
  } catch (error) {
    throw new UsageError(`cannot write ${path}: ${complaintOf(error)}`);
  }
}
