/**
 * Conformance suites of this package's ports: each case throws a plain error when an implementation does not do what the port
 * says. No test runner is imported.
 */
import type { Cpu } from "./cpu/cpu.ts";
import type { MmioDevice } from "./map/region.ts";
import type { FrameStore } from "./memory/memory-ports.ts";
import type { FaultHandler } from "./ports.ts";
import type { VirtAddr } from "./units.ts";

/** One case of a suite. */
export interface ConformanceCase<T> {
  /** What is claimed. */
  readonly name: string;
  /** Makes an implementation and throws unless the claim holds for it. */
  run(make: () => T): void;
}

function demand(holds: boolean, sentence: string): void {
  if (!holds) throw new Error(sentence);
}

function pattern(seed: number): Uint8Array {
  return Uint8Array.from({ length: 4096 }, (_, at) => (at * 31 + seed * 7) & 255);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** What a `FrameStore` (a home of non-volatile frames) owes. Frames 0x100 … 0x110 are used. */
export const frameStoreSuite: readonly ConformanceCase<FrameStore>[] = [
  {
    name: "a frame that was never saved is left as it is",
    run(make) {
      const into = new Uint8Array(4096);
      make().load(0x100, into);
      demand(
        into.every((byte) => byte === 0),
        "a frame never saved must read as zero",
      );
    },
  },
  {
    name: "a saved frame is loaded again, byte for byte",
    run(make) {
      const store = make();
      store.save(0x101, pattern(1));
      const into = new Uint8Array(4096);
      store.load(0x101, into);
      demand(equal(into, pattern(1)), "a frame must come back as it was saved");
    },
  },
  {
    name: "frames are kept apart, and the last save of one counts",
    run(make) {
      const store = make();
      for (let pfn = 0x100; pfn < 0x110; pfn++) store.save(pfn, pattern(pfn));
      store.save(0x105, pattern(9));
      for (let pfn = 0x100; pfn < 0x110; pfn++) {
        const into = new Uint8Array(4096);
        store.load(pfn, into);
        demand(equal(into, pattern(pfn === 0x105 ? 9 : pfn)), `frame 0x${pfn.toString(16)} must be its own`);
      }
    },
  },
  {
    name: "the caller's array may be used again after a save",
    run(make) {
      const store = make();
      const from = pattern(3);
      store.save(0x102, from);
      from.fill(0);
      const into = new Uint8Array(4096);
      store.load(0x102, into);
      demand(equal(into, pattern(3)), "a store must not keep the caller's array");
    },
  },
];

/** What an `MmioDevice` owes, whatever it is: total, unsigned reads. Offsets 0 … 0xfff are used. */
export const mmioDeviceSuite: readonly ConformanceCase<MmioDevice>[] = [
  {
    name: "reads are unsigned numbers of the size asked for, at any offset",
    run(make) {
      const device = make();
      for (const size of [1, 2, 4])
        for (let offset = 0; offset < 4096; offset += size) {
          const value = device.read(offset, size);
          const fits = Number.isInteger(value) && value >= 0 && value < 2 ** (8 * size);
          demand(fits, `read of ${size} bytes at ${offset} gave ${value}`);
        }
    },
  },
  {
    name: "writes of any size at any offset are taken without an error",
    run(make) {
      const device = make();
      for (const size of [1, 2, 4])
        for (let offset = 0; offset < 4096; offset += size) device.write(offset, size, 2 ** (8 * size) - 1);
    },
  },
];

/** A CPU with a fault handler, and two pages that are not present: one that the handler brings in, one that it refuses. */
export interface FaultFixture {
  /** The implementation; the suite watches it. */
  readonly handler: FaultHandler;
  /** A CPU that runs with paging on, in user mode; its `faultHandler` is set by the suite. */
  readonly cpu: Cpu;
  /** Address of a word in a page that is brought in on the first fault, readable and writable. */
  readonly absent: VirtAddr;
  /** Address of a word that may not be accessed. */
  readonly forbidden: VirtAddr;
}

/** Puts a counter between the CPU and the handler. */
function watched(fixture: FaultFixture): { calls: number } {
  const seen = { calls: 0 };
  fixture.cpu.faultHandler = {
    pageFault(cpu, va, error) {
      seen.calls++;
      return fixture.handler.pageFault(cpu, va, error);
    },
  };
  return seen;
}

/** What a `FaultHandler` owes. */
export const faultHandlerSuite: readonly ConformanceCase<FaultFixture>[] = [
  {
    name: "a load of an absent page is resolved: the handler is called and the load goes through",
    run(make) {
      const fixture = make();
      const seen = watched(fixture);
      demand(fixture.cpu.load32(fixture.absent) >= 0, "the load must go through after the fault");
      demand(seen.calls >= 1, "the page was to be absent");
    },
  },
  {
    name: "what was stored after a fault is loaded again without one",
    run(make) {
      const fixture = make();
      fixture.cpu.faultHandler = fixture.handler;
      demand(fixture.cpu.store32(fixture.absent, 0x12345678), "the store must go through");
      const seen = watched(fixture);
      demand(fixture.cpu.load32(fixture.absent) === 0x12345678, "the load must find what was stored");
      demand(seen.calls === 0, "a resolved page must not fault again");
    },
  },
  {
    name: "an access that may not be is refused, and the CPU says where it ended",
    run(make) {
      const fixture = make();
      const seen = watched(fixture);
      demand(fixture.cpu.load32(fixture.forbidden) === -1, "the load must end as a fault");
      demand(!fixture.cpu.store32(fixture.forbidden, 1), "the store must end as a fault");
      demand(seen.calls === 2, "each access asks once");
    },
  },
  {
    name: "the privilege level of the program is as it was after a fault",
    run(make) {
      const fixture = make();
      fixture.cpu.faultHandler = fixture.handler;
      const before = fixture.cpu.cpl;
      fixture.cpu.load32(fixture.absent);
      fixture.cpu.load32(fixture.forbidden);
      demand(fixture.cpu.cpl === before, "a handler must leave the privilege level alone");
    },
  },
];
