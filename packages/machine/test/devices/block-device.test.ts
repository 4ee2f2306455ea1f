import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";

import { BlockDevice } from "../../src/devices/block-device.ts";
import { MemoryMedium } from "../../src/devices/block-medium.ts";

const time = { now: 0 };
let medium: MemoryMedium;
let disk: BlockDevice;

const block = (value: number, count = 1): Uint8Array => new Uint8Array(512 * count).fill(value);

beforeEach(() => {
  time.now = 0;
  medium = new MemoryMedium(512 * 64);
  disk = new BlockDevice(medium, time, { queueDepth: 4, latency: 1000, nsPerByte: 1 });
});

function finish(): string[] {
  const out: string[] = [];
  while (disk.pending > 0) {
    time.now = disk.nextDue();
    out.push(...disk.poll().map((done) => done.status));
  }
  return out;
}

test("a write completes after its latency and is read back; nothing happens before", () => {
  disk.submit("write", 3, block(7, 2));
  time.now = 1000;
  expect(disk.poll()).toEqual([]);
  expect(finish()).toEqual(["done"]);
  const into = block(0, 2);
  disk.submit("read", 3, into);
  finish();
  expect(into).toEqual(block(7, 2));
  disk.check();
});

test("a full queue answers null and requests beyond the medium are refused by name", () => {
  for (let i = 0; i < 4; i++) expect(disk.submit("write", i, block(1))).not.toBeNull();
  expect(disk.submit("write", 5, block(1))).toBeNull();
  expect(() => disk.submit("write", 64, block(1))).toThrow("block 64 of 64");
  expect(() => disk.submit("read", 0, new Uint8Array(100))).toThrow("100 bytes");
  disk.check();
});

describe("failures on purpose", () => {
  test("a read error and a write error are reported and change nothing", () => {
    disk.submit("write", 0, block(1));
    finish();
    disk.fail("write", "write-error", 0);
    disk.submit("write", 0, block(2));
    expect(finish()).toEqual(["write-error"]);
    disk.fail("read", "read-error", 0);
    const into = block(9);
    disk.submit("read", 0, into);
    expect(finish()).toEqual(["read-error"]);
    expect(into).toEqual(block(9));
    disk.submit("read", 0, into);
    finish();
    expect(into).toEqual(block(1));
  });

  test("a torn write leaves whole old blocks after whole new ones", () => {
    disk.fail("write", "torn", 2);
    disk.submit("write", 0, block(5, 4));
    expect(finish()).toEqual(["torn"]);
    const into = block(9, 4);
    disk.submit("read", 0, into);
    finish();
    expect(Array.from(into.filter((_, i) => i % 512 === 0))).toEqual([5, 5, 0, 0]);
  });

  test("a thin disk reports full and keeps what it has", () => {
    disk = new BlockDevice(medium, time, { capacityBlocks: 2, latency: 1 });
    disk.submit("write", 0, block(1, 2));
    disk.submit("write", 2, block(2));
    disk.submit("write", 0, block(3));
    expect(finish()).toEqual(["done", "full", "done"]);
    disk.check();
  });

  test("a crash loses what no flush covered, and only that", () => {
    disk.submit("write", 0, block(1));
    disk.submit("flush");
    finish();
    disk.submit("write", 1, block(2));
    finish();
    disk.submit("write", 2, block(3));
    expect(disk.crash().map((one) => one.status)).toEqual(["lost"]);
    const into = block(9, 3);
    disk.submit("read", 0, into);
    finish();
    expect(Array.from(into.filter((_, i) => i % 512 === 0))).toEqual([1, 0, 0]);
    expect(disk.unflushedBlocks).toBe(0);
    disk.check();
  });
});

test("property: after a crash each block holds a version not older than its last flushed one", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.tuple(fc.constant("write" as const), fc.nat(7)),
          fc.tuple(fc.constant("flush" as const), fc.constant(0)),
        ),
      ),
      fc.func(fc.boolean()),
      (operations, survives) => {
        const own = new BlockDevice(new MemoryMedium(512 * 8), time, { latency: 1, nsPerByte: 0 });
        const durable = new Array<number>(8).fill(0);
        const newest = new Array<number>(8).fill(0);
        operations.forEach(([kind, at], version) => {
          own.submit(kind, at, kind === "write" ? block(version + 1) : new Uint8Array(0));
          time.now = own.nextDue();
          own.poll();
          if (kind === "write") newest[at] = version + 1;
          else newest.forEach((value, i) => (durable[i] = value));
        });
        own.crash(survives);
        for (let at = 0; at < 8; at++) {
          const into = block(0);
          own.submit("read", at, into);
          time.now = own.nextDue();
          own.poll();
          expect([(durable[at] ?? 0) & 0xff, (newest[at] ?? 0) & 0xff]).toContain(into[0]);
        }
        own.check();
      },
    ),
  );
});
