import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";

import { IoPorts } from "../../src/devices/io-ports.ts";
import { IsaDma, programIsaDma } from "../../src/devices/isa-dma.ts";
import { PhysicalMemory } from "../../src/memory/physical-memory.ts";
import { ramMap } from "./ram-map.ts";

let memory: PhysicalMemory;
let ports: IoPorts;
let dma: IsaDma;

beforeEach(() => {
  memory = new PhysicalMemory(ramMap(32));
  ports = new IoPorts();
  dma = new IsaDma(memory, ports);
});

const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + 3) & 0xff);

function read(address: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  memory.readBytes(address, out);
  return out;
}

describe("8-bit channels", () => {
  test("a floppy read lands where the driver programmed it, and the channel masks itself at terminal count", () => {
    programIsaDma(ports, 2, 0x123400, 512, "device-to-memory");
    expect(dma.transfer(2, pattern(512))).toEqual({ bytes: 512, terminalCount: true, first: 0x123400, wraps: 0 });
    expect(read(0x123400, 512)).toEqual(pattern(512));
    expect(ports.read(0x08, 1) & 0xf).toBe(1 << 2);
    expect(dma.transfer(2, pattern(512))).toBeNull();
  });

  test("memory to device fills the device's buffer", () => {
    memory.writeBytes(0x40000, pattern(100));
    programIsaDma(ports, 1, 0x40000, 100, "memory-to-device");
    const into = new Uint8Array(100);
    dma.transfer(1, into);
    expect(into).toEqual(pattern(100));
  });

  test("a buffer across 64 KiB wraps to the start of its page, as on the chip", () => {
    programIsaDma(ports, 3, 0x2fffe, 4, "device-to-memory");
    expect(dma.transfer(3, Uint8Array.of(1, 2, 3, 4))?.wraps).toBe(1);
    expect(read(0x2fffe, 2)).toEqual(Uint8Array.of(1, 2));
    expect(read(0x20000, 2)).toEqual(Uint8Array.of(3, 4));
    expect(read(0x30000, 2)).toEqual(Uint8Array.of(0, 0));
    expect(dma.wraps).toBe(1);
  });

  test("an address above 16 MiB loses its upper bits", () => {
    programIsaDma(ports, 0, 0x1_0010_0000, 1, "device-to-memory");
    expect(dma.transfer(0, Uint8Array.of(9))?.first).toBe(0x100000);
  });

  test("a shorter device transfer leaves the rest for the next request", () => {
    programIsaDma(ports, 1, 0x5000, 8, "device-to-memory");
    expect(dma.transfer(1, Uint8Array.of(1, 2, 3))).toMatchObject({ bytes: 3, terminalCount: false });
    expect(dma.transfer(1, Uint8Array.of(4, 5, 6, 7, 8, 9))).toMatchObject({ bytes: 5, terminalCount: true });
    expect(read(0x5000, 9)).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 0));
  });
});

describe("16-bit channels", () => {
  test("count words and reach 128 KiB pages", () => {
    programIsaDma(ports, 5, 0x3fffc, 8, "device-to-memory");
    expect(dma.transfer(5, pattern(8))).toEqual({ bytes: 8, terminalCount: true, first: 0x3fffc, wraps: 1 });
    expect(read(0x3fffc, 4)).toEqual(pattern(8).subarray(0, 4));
    expect(read(0x20000, 4)).toEqual(pattern(8).subarray(4));
  });

  test("refuse odd lengths and the cascade channel", () => {
    expect(() => dma.transfer(5, new Uint8Array(3))).toThrow("words");
    expect(() => dma.transfer(4, new Uint8Array(2))).toThrow("channel 4");
  });
});

test("auto-initialise starts over; a masked channel and a disabled chip move nothing", () => {
  programIsaDma(ports, 1, 0x6000, 2, "device-to-memory");
  ports.write(0x0b, 1, 0x40 + 0x10 + 0x04 + 1);
  dma.transfer(1, Uint8Array.of(1, 2));
  dma.transfer(1, Uint8Array.of(3, 4));
  expect(read(0x6000, 3)).toEqual(Uint8Array.of(3, 4, 0));
  ports.write(0x08, 1, 4);
  expect(dma.transfer(1, Uint8Array.of(5, 6))).toBeNull();
  ports.write(0x0d, 1, 0);
  expect(dma.transfer(1, Uint8Array.of(5, 6))).toBeNull();
});

test("counters read back what was written, low byte first", () => {
  programIsaDma(ports, 1, 0xabcd, 0x1235, "device-to-memory");
  ports.write(0x0c, 1, 0);
  expect([ports.read(2, 1), ports.read(2, 1)]).toEqual([0xcd, 0xab]);
  expect([ports.read(3, 1), ports.read(3, 1)]).toEqual([0x34, 0x12]);
  expect(ports.read(0x83, 1)).toBe(0);
});

test("property: bytes land at page ‖ ((counter + i) mod 64 Ki), whatever was programmed", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xff_ffff }), fc.integer({ min: 1, max: 300 }), (address, length) => {
      programIsaDma(ports, 1, address, length, "device-to-memory");
      const bytes = pattern(length);
      dma.transfer(1, bytes);
      bytes.forEach((value, i) => {
        const at = Math.floor(address / 0x10000) * 0x10000 + ((address + i) & 0xffff);
        expect(memory.read(at, 1)).toBe(value);
      });
    }),
  );
  memory.check();
});
