import { expect, test } from "vitest";

import { OpfsBacking, OpfsSwap, type SyncAccessHandle, type TransferPosition } from "@pagewright/vmm/browser";

/** A sync access handle over an array, with a quota and errors on demand. */
class MemoryHandle implements SyncAccessHandle {
  bytes: Uint8Array = new Uint8Array(0);
  quota = 1 << 20;
  failing = false;
  closed = false;
  flushes = 0;

  getSize(): number {
    return this.bytes.length;
  }
  read(into: Uint8Array, { at }: TransferPosition): number {
    if (this.failing) throw new DOMException("broken", "InvalidStateError");
    const part = this.bytes.subarray(at, at + into.length);
    into.set(part);
    return part.length;
  }
  write(from: Uint8Array, { at }: TransferPosition): number {
    if (this.failing) throw new DOMException("broken", "InvalidStateError");
    if (at + from.length > this.bytes.length) this.truncate(at + from.length);
    this.bytes.set(from, at);
    return from.length;
  }
  flush(): void {
    if (this.failing) throw new DOMException("broken", "InvalidStateError");
    this.flushes++;
  }
  truncate(bytes: number): void {
    if (bytes > this.quota) throw new DOMException("no room", "QuotaExceededError");
    const next = new Uint8Array(bytes);
    next.set(this.bytes.subarray(0, bytes));
    this.bytes = next;
  }
  close(): void {
    this.closed = true;
  }
}

function pageOf(byte: number): Uint8Array {
  return new Uint8Array(4096).fill(byte);
}

test("a backing reads what was written and zero beyond its end", () => {
  const store = new OpfsBacking(new MemoryHandle());
  expect(store.resize(5000)).toBe("ok");
  expect(store.write(0, pageOf(7))).toBe("ok");
  expect(store.write(4096, new Uint8Array(904).fill(9))).toBe("ok");
  const page = pageOf(1);
  expect(store.read(4096, page)).toBe("ok");
  expect(page.slice(0, 904).every((byte) => byte === 9)).toBe(true);
  expect(page.slice(904).every((byte) => byte === 0)).toBe(true);
  expect(store.sync()).toBe("ok");
  store.check();
});

test("a backing writes within its size only", () => {
  const store = new OpfsBacking(new MemoryHandle());
  store.resize(100);
  expect(() => store.write(90, new Uint8Array(20))).toThrow(expect.objectContaining({ code: "out-of-range" }));
  expect(() => store.resize(-1)).toThrow(expect.objectContaining({ code: "out-of-range" }));
  store.check();
});

test("the end of the quota is an outcome and changes nothing", () => {
  const handle = new MemoryHandle();
  const store = new OpfsBacking(handle);
  store.resize(4096);
  handle.quota = 4096;
  expect(store.resize(8192)).toBe("full");
  expect(store.size()).toBe(4096);
  handle.failing = true;
  expect(store.read(0, pageOf(0))).toBe("failed");
  expect(store.write(0, pageOf(0))).toBe("failed");
  expect(store.sync()).toBe("failed");
  handle.failing = false;
  store.check();
});

test("check notices a file whose size somebody else changed", () => {
  const handle = new MemoryHandle();
  const store = new OpfsBacking(handle);
  handle.truncate(1);
  expect(() => {
    store.check();
  }).toThrow(expect.objectContaining({ code: "invariant" }));
});

test("a closed store is used no more", () => {
  const handle = new MemoryHandle();
  const store = new OpfsBacking(handle);
  store.close();
  expect(handle.closed).toBe(true);
  expect(() => store.read(0, pageOf(0))).toThrow(expect.objectContaining({ code: "destroyed" }));
});

test("swap keeps the page of each slot until it is discarded", () => {
  const handle = new MemoryHandle();
  handle.bytes = pageOf(0xaa);
  const swap = new OpfsSwap(handle, 8);
  const page = pageOf(0);
  expect(swap.read(0, page)).toBe("failed");
  expect(swap.write(5, pageOf(5))).toBe("ok");
  expect(swap.write(2, pageOf(2))).toBe("ok");
  expect(swap.write(5, pageOf(6))).toBe("ok");
  expect(swap.read(5, page)).toBe("ok");
  expect(page).toEqual(pageOf(6));
  expect(swap.stats()).toEqual({ slots: 8, usedSlots: 2, reads: 1, writes: 3 });
  swap.discard(5);
  expect(swap.read(5, page)).toBe("failed");
  swap.check();
  swap.close();
  expect(handle.bytes.length).toBe(0);
});

test("swap that is full or broken says so, and refuses what is no slot", () => {
  const handle = new MemoryHandle();
  handle.quota = 2 * 4096;
  const swap = new OpfsSwap(handle, 4);
  expect(swap.write(1, pageOf(1))).toBe("ok");
  expect(swap.write(3, pageOf(3))).toBe("full");
  handle.failing = true;
  expect(swap.write(0, pageOf(3))).toBe("failed");
  expect(swap.read(1, pageOf(3))).toBe("failed");
  for (const slot of [-1, 4, 0.5])
    expect(() => swap.write(slot, pageOf(1))).toThrow(expect.objectContaining({ code: "out-of-range" }));
  expect(() => swap.read(0, new Uint8Array(10))).toThrow(expect.objectContaining({ code: "bad-argument" }));
  swap.check();
});
