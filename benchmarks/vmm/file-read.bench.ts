/**
 * Reading a mapped file that is in the page cache, through the processor in bulk, in blocks of 4 KiB, 64 KiB and 1 MiB. Beside it: `fs.readSync` in the same
 * blocks on the same file, which is larger than what the processor's TLB covers.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { READ, SpaceMemory } from "@pagewright/vmm";
import { FileBacking } from "@pagewright/vmm/node";

import { PAGE, eachAlone, figure, machineRig, mapped, quickest, plainRig, runningSpace, spaceOf } from "./rig.ts";

const BYTES = 64 * 2 ** 20;
/** Bytes read at a time, by what the figures call them. */
const BLOCKS: readonly (readonly [string, number])[] = [
  ["4 KiB", 2 ** 12],
  ["64 KiB", 2 ** 16],
  ["1 MiB", 2 ** 20],
];
const ROUNDS = 25;

const GIGABYTES = "GB/s";

/** Bytes per nanosecond of `read`, called for each block of the file. */
function rate(block: number, read: (offset: number) => void): number {
  const work = (): void => {
    for (let at = 0; at < BYTES; at += block) read(at);
  };
  return BYTES / quickest(ROUNDS, () => undefined, work);
}

/** Reads all of a file by `read`, which is given an offset; GB/s beside those of `fs.readSync`, both measured here. */
function measure(metric: string, open: (path: string) => (offset: number, into: Uint8Array) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "pagewright-bench-"));
  const path = join(folder, "file");
  try {
    writeFileSync(path, new Uint8Array(BYTES).fill(7));
    const descriptor = openSync(path, "r");
    const read = open(path);
    for (const [name, block] of BLOCKS) {
      const into = new Uint8Array(block);
      const direct = rate(block, (at) => readSync(descriptor, into, 0, block, at));
      const mappedRate = rate(block, (at) => {
        read(at, into);
      });
      figure("vmm cached file read", `${metric}, ${name} at a time`, mappedRate, GIGABYTES, ["fs.readSync", direct]);
    }
    closeSync(descriptor);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

eachAlone(import.meta.url, {
  processor: () => {
    measure("through the processor", (path) => {
      const rig = machineRig(128);
      const space = runningSpace(rig);
      const at = mapped(space, { bytes: BYTES, object: rig.vmm.openFile(new FileBacking(path)), rights: READ });
      return (offset, into) => {
        rig.cpu.copyOut(at + offset, into);
      };
    });
  },
  memory: () => {
    measure("through SpaceMemory", (path) => {
      const vmm = plainRig(BYTES / PAGE + 1024);
      const space = spaceOf(vmm);
      const at = mapped(space, { bytes: BYTES, object: vmm.openFile(new FileBacking(path)), rights: READ });
      const memory = new SpaceMemory(space);
      return (offset, into) => {
        memory.copyOut(at + offset, into);
      };
    });
  },
});
