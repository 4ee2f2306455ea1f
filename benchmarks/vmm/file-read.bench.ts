/** Reading a mapped file that is in the page cache, through the processor in bulk. Beside it: `fs.readSync` on the same file. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { READ, SpaceMemory } from "@pagewright/vmm";
import { FileBacking } from "@pagewright/vmm/node";

import { PAGE, eachAlone, figure, machineRig, mapped, quickest, plainRig, runningSpace, spaceOf } from "./rig.ts";

const BYTES = 64 * 2 ** 20;
const CHUNK = 2 ** 20;
const ROUNDS = 25;

const GIGABYTES = "GB/s";

/** Reads all of a file by `read`, which is given an offset; GB/s beside those of `fs.readSync`, both measured here. */
function measure(metric: string, open: (path: string) => (offset: number, into: Uint8Array) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "pagewright-bench-"));
  try {
    const path = join(folder, "file");
    writeFileSync(path, new Uint8Array(BYTES).fill(7));
    const into = new Uint8Array(CHUNK);
    const rate = (read: (offset: number) => void): number =>
      BYTES
      / quickest(
        ROUNDS,
        () => undefined,
        () => {
          for (let at = 0; at < BYTES; at += CHUNK) read(at);
        },
      );
    const descriptor = openSync(path, "r");
    const direct = rate((at) => readSync(descriptor, into, 0, CHUNK, at));
    closeSync(descriptor);
    const read = open(path);
    const mappedRate = rate((at) => {
      read(at, into);
    });
    figure("vmm cached file read", metric, mappedRate, GIGABYTES, ["fs.readSync", direct]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

eachAlone(import.meta.url, {
  processor: () => {
    measure("through the processor, 1 MiB at a time", (path) => {
      const rig = machineRig(128);
      const space = runningSpace(rig);
      const at = mapped(space, { bytes: BYTES, object: rig.vmm.openFile(new FileBacking(path)), rights: READ });
      return (offset, into) => {
        rig.cpu.copyOut(at + offset, into);
      };
    });
  },
  memory: () => {
    measure("through SpaceMemory, 1 MiB at a time", (path) => {
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
