import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { FileHeap } from "@pagewright/heap/node";

/** Ends a process that works on a heap file, again and again, at any moment, and looks whether the file holds a whole list and nothing else each time. */
export async function endProcesses(times: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pagewright-heap-"));
  const path = join(folder, "heap");
  const child = fileURLToPath(new URL("./file-heap.child.ts", import.meta.url));
  const lengths: number[] = [];
  try {
    for (let time = 0; time < times; time++) {
      const run = spawn(process.execPath, ["--conditions=@pagewright/source", "--import", "tsx", child, path]);
      for (let left = 1 + ((time * 7) % 30); left > 0; left--) await once(run.stdout, "data");
      run.kill("SIGKILL");
      await once(run, "close");
      lengths.push(lengthOf(path));
    }
    expect(lengths.some((length) => length > 0)).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function lengthOf(path: string): number {
  const file = FileHeap.open(path, { bytes: 256 * 4096 });
  file.heap.check();
  const words = new Int32Array(file.buffer);
  const [length = 0, first = 0] = words.subarray(file.root / 4, file.root / 4 + 2);
  let left = length;
  for (let cell = first; cell !== 0; cell = words[cell / 4 + 1]!, left--) {
    expect(words[cell / 4]).toBe(left);
    expect(words.subarray(cell / 4 + 2, cell / 4 + 2 + (left % 500)).every((word) => word === left)).toBe(true);
    expect(file.heap.owns(cell)).toBe(true);
  }
  expect(left).toBe(0);
  expect(file.heap.stats().liveBlocks).toBe(length + 1);
  file.close();
  return length;
}
