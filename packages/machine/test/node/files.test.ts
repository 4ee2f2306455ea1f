import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { BlockDevice, PhysicalMemory, physicalMapFromJson } from "../../src/index.ts";
import { FileMedium, FrameFile } from "../../src/node.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pagewright-machine-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

test("a disk in a file keeps what was flushed after it is closed and opened again", () => {
  const path = join(folder, "disk");
  const time = { now: 0 };
  const write = (medium: FileMedium, operation: "write" | "flush", value = 0): void => {
    const disk = new BlockDevice(medium, time, { latency: 1, nsPerByte: 0 });
    disk.submit("write", 1, new Uint8Array(512).fill(value));
    time.now = disk.nextDue();
    disk.poll();
    if (operation === "flush") {
      disk.submit("flush");
      time.now = disk.nextDue();
      disk.poll();
    }
    disk.check();
    medium.close();
  };
  write(new FileMedium(path, 4096), "flush", 7);
  write(new FileMedium(path, 4096), "write", 8);
  const medium = new FileMedium(path, 4096);
  const into = new Uint8Array(512);
  medium.read(512, into);
  expect(into).toEqual(new Uint8Array(512).fill(7));
  medium.close();
  medium.close();
  expect(() => {
    medium.read(0, into);
  }).toThrow("closed");
});

test("a file larger than the medium is refused and left alone", () => {
  const path = join(folder, "disk");
  writeFileSync(path, new Uint8Array(5000));
  expect(() => new FileMedium(path, 4096)).toThrow("5000 bytes");
  expect(statSync(path).size).toBe(5000);
});

test("non-volatile memory survives a power cycle and the process; RAM does not", () => {
  const json = {
    entries: [
      { base: "0x0", end: "0xfffff", length: "0x100000", type: 1 },
      { base: "0x100000", end: "0x1fffff", length: "0x100000", type: 7 },
    ],
  };
  const path = join(folder, "nvdimm");
  const first = new FrameFile(path, 0x100);
  const memory = new PhysicalMemory(physicalMapFromJson(json), { nonVolatile: first });
  memory.write(0x5000, 4, 11);
  memory.write(0x105000, 4, 22);
  memory.powerCycle();
  expect([memory.read(0x5000, 4), memory.read(0x105000, 4)]).toEqual([0, 22]);
  memory.check();
  first.sync();
  first.close();

  const second = new FrameFile(path, 0x100);
  const again = new PhysicalMemory(physicalMapFromJson(json), { nonVolatile: second });
  expect([again.read(0x5000, 4), again.read(0x105000, 4)]).toEqual([0, 22]);
  expect(() => {
    second.load(0xff, new Uint8Array(4096));
  }).toThrow("0xff");
  second.close();
});

test("a snapshot holds a disk's file, and restoring writes back what differs", () => {
  const medium = new FileMedium(join(folder, "disk"), 16 * 1024);
  const time = { now: 0 };
  const disk = new BlockDevice(medium, time, { latency: 1, nsPerByte: 0 });
  const put = (block: number, value: number): void => {
    disk.submit("write", block, new Uint8Array(512).fill(value));
    disk.submit("flush");
    time.now += 10;
    disk.poll();
  };
  const at = (block: number): number => {
    const into = new Uint8Array(512);
    medium.read(block * 512, into);
    return into[511] ?? -1;
  };
  put(3, 1);
  const snapshot = structuredClone(disk.saveState());
  expect([...snapshot.medium.keys()]).toEqual([0]);
  put(3, 2);
  put(20, 3);
  disk.restoreState(snapshot);
  expect([at(3), at(20)]).toEqual([1, 0]);
  put(20, 4);
  expect(disk.saveState(snapshot).medium.get(0)).toBe(snapshot.medium.get(0));
  disk.check();
  medium.close();
});
