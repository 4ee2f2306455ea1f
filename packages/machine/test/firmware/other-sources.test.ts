import { readFileSync } from "node:fs";
import { join } from "node:path";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { withInputs } from "@pagewright/tooling/inputs";
import { badFramesOfText, badRamPatternsOf, framesOfPattern } from "../../src/firmware/bad-memory.ts";
import { E820_SOFT_RESERVED } from "../../src/firmware/entry.ts";
import { firmwareMapFromDmesg, isDmesg } from "../../src/firmware/dmesg.ts";
import { entriesFromE801 } from "../../src/firmware/e801.ts";
import { entriesFromEfi } from "../../src/firmware/efi.ts";
import { firmwareMapOf } from "../../src/firmware/firmware-map.ts";
import { entriesFromMultiboot2 } from "../../src/firmware/multiboot2.ts";

describe("UEFI memory maps", () => {
  const descriptors = (
    size: number,
    ...rows: readonly (readonly [type: number, start: bigint, pages: bigint, attributes: bigint])[]
  ): Uint8Array => {
    const view = new DataView(new ArrayBuffer(size * rows.length));
    rows.forEach(([type, start, pages, attributes], i) => {
      view.setUint32(i * size, type, true);
      view.setBigUint64(i * size + 8, start, true);
      view.setBigUint64(i * size + 24, pages, true);
      view.setBigUint64(i * size + 32, attributes, true);
    });
    return new Uint8Array(view.buffer);
  };

  test.each([40, 48, 64])("descriptors of %d bytes", (size) => {
    const bytes = descriptors(
      size,
      [7, 0x100000n, 256n, 0xfn],
      [4, 0x200000n, 1n, 0xfn],
      [6, 0x300000n, 2n, 0xfn],
      [7, 0n, 1n, 0x4000fn],
      [99, 0x400000n, 1n, 0n],
    );
    expect(entriesFromEfi(bytes, size)).toEqual([
      { base: 0x100000n, length: 0x100000n, type: 1 },
      { base: 0x200000n, length: 0x1000n, type: 1 },
      { base: 0x300000n, length: 0x2000n, type: 2 },
      { base: 0n, length: 0x1000n, type: E820_SOFT_RESERVED },
      { base: 0x400000n, length: 0x1000n, type: 2 },
    ]);
  });

  test("printed by Linux, old and new, and by the UEFI shell, they give what the descriptors give", () => {
    /** Type, name in Linux to 5.x, name of today, name in the shell. */
    const names = [
      ["Reserved", "Reserved", "reserved"],
      ["Loader Code", "Loader Code", "LoaderCode"],
      ["Loader Data", "Loader Data", "LoaderData"],
      ["Boot Code", "Boot Code", "BS_code"],
      ["Boot Data", "Boot Data", "BS_data"],
      ["Runtime Code", "Runtime Code", "RT_code"],
      ["Runtime Data", "Runtime Data", "RT_data"],
      ["Conventional Memory", "Conventional", "available"],
      ["Unusable Memory", "Unusable", "Unusable"],
      ["ACPI Reclaim Memory", "ACPI Reclaim", "ACPI_recl"],
      ["ACPI Memory NVS", "ACPI Mem NVS", "ACPI_NVS"],
      ["Memory Mapped I/O", "MMIO", "MMIO"],
      ["MMIO Port Space", "MMIO Port", "MMIO_Port"],
      ["PAL Code", "PAL Code", "PalCode"],
      ["Persistent Memory", "Persistent", "Persistent"],
    ] as const;
    const rows = names.map(
      (_, type) =>
        [type, BigInt(type) * 0x100000n, BigInt(type + 1), type === 7 ? 0x4000fn : 0xfn] as readonly [
          number,
          bigint,
          bigint,
          bigint,
        ],
    );
    rows.push([7, 0x100000000n, 0x10000n, 0xfn]);
    const wanted = firmwareMapOf(entriesFromEfi(descriptors(48, ...rows), 48)).entries;
    const hex = (value: bigint): string => value.toString(16).padStart(16, "0");
    const numbered = rows.map(
      ([type, base, pages, attributes], at) =>
        `[    0.000000] efi: mem${at}: type=${type}, attr=0x${attributes.toString(16)}, range=[0x${hex(base)}-0x${hex(base + pages * 4096n)}) (0MB)`,
    );
    const named = (column: 0 | 1): string[] =>
      rows.map(([type, base, pages, attributes], at) => {
        const sp = attributes === 0xfn ? "  " : "SP";
        const name = (names[type]?.[column] ?? "").padEnd(12);
        const end = column === 0 ? `${hex(base + pages * 4096n)})` : `${hex(base + pages * 4096n - 1n)}]`;
        return `efi: mem${String(at).padStart(2, "0")}: [${name}|   |  |${sp}|  |  |WB|WT|WC|UC] range=[0x${hex(base)}-0x${end} (0MB)`;
      });
    const shell = rows.map(
      ([type, base, pages, attributes]) =>
        `${(names[type]?.[2] ?? "").padEnd(11)} ${hex(base)}-${hex(base + pages * 4096n - 1n).toUpperCase()}   ${hex(pages)} ${hex(attributes)}`,
    );
    for (const lines of [
      numbered,
      named(0),
      named(1),
      ["Type  Start  End  # Pages  Attributes", ...shell, "", "  reserved  :  1 Pages (4,096)"],
    ]) {
      const text = lines.join("\n");
      expect(isDmesg(text)).toBe(true);
      expect(firmwareMapFromDmesg(text).entries).toEqual(wanted);
    }
  });

  test("a log that prints an E820 map too gives that one, which the kernel made of both", () => {
    const text = `efi: mem00: [Conventional Memory|   |  |  |  |   |WB|WT|WC|UC] range=[0x0000000000000000-0x0000000000100000) (1MB)
BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable`;
    expect(firmwareMapFromDmesg(text).entries).toEqual([{ base: 0, end: 0xa0000, type: 1 }]);
    expect(isDmesg("something else 0000000000750000-0000000001841FFF 10F2 9")).toBe(false);
  });

  test("broken sizes are refused", () => {
    expect(() => entriesFromEfi(new Uint8Array(50), 48)).toThrow("50 bytes");
    expect(() => entriesFromEfi(new Uint8Array(48), 39)).toThrow("39 bytes");
    expect(() => entriesFromEfi(new Uint8Array(48), 0)).toThrow("0 bytes");
  });

  test("every UEFI type has its E820 number, as Linux's loader gives it", () => {
    const types = Array.from(
      { length: 16 },
      (_, type) => entriesFromEfi(descriptors(48, [type, 0n, 1n, 0n]), 48)[0]?.type,
    );
    expect(types).toEqual([2, 1, 1, 1, 1, 2, 2, 1, 5, 3, 4, 2, 2, 2, 7, 2]);
  });
});

/** A Multiboot2 information structure with one tag of each given kind. */
function information(...tags: readonly { type: number; body: Uint8Array }[]): Uint8Array {
  const parts = [...tags, { type: 0, body: new Uint8Array(0) }].map(({ type, body }) => {
    const bytes = new Uint8Array(Math.ceil((8 + body.length) / 8) * 8);
    new DataView(bytes.buffer).setUint32(0, type, true);
    new DataView(bytes.buffer).setUint32(4, 8 + body.length, true);
    bytes.set(body, 8);
    return bytes;
  });
  const total = parts.reduce((sum, part) => sum + part.length, 8);
  const out = new Uint8Array(total);
  new DataView(out.buffer).setUint32(0, total, true);
  let at = 8;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function memoryMap(...rows: readonly [base: bigint, length: bigint, type: number][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 + 24 * rows.length));
  view.setUint32(0, 24, true);
  rows.forEach(([base, length, type], i) => {
    view.setBigUint64(8 + i * 24, base, true);
    view.setBigUint64(16 + i * 24, length, true);
    view.setUint32(24 + i * 24, type, true);
  });
  return new Uint8Array(view.buffer);
}

describe("Multiboot2 information", () => {
  const map = memoryMap(
    [0n, 0x9fc00n, 1],
    [0x100000n, 0x7ee0000n, 1],
    [0xfffc0000n, 0x40000n, 2],
    [1n << 40n, 4096n, 77],
  );
  const name = { type: 2, body: new TextEncoder().encode("GRUB 2\0") };

  test("the memory-map tag is found among others", () => {
    expect(entriesFromMultiboot2(information(name, { type: 6, body: map }))).toEqual([
      { base: 0n, length: 0x9fc00n, type: 1 },
      { base: 0x100000n, length: 0x7ee0000n, type: 1 },
      { base: 0xfffc0000n, length: 0x40000n, type: 2 },
      { base: 1n << 40n, length: 4096n, type: 2 },
    ]);
  });

  test("the EFI tag serves where there is no other", () => {
    const body = new Uint8Array(8 + 48);
    const view = new DataView(body.buffer);
    view.setUint32(0, 48, true);
    view.setUint32(8, 7, true);
    view.setBigUint64(8 + 24, 3n, true);
    expect(entriesFromMultiboot2(information({ type: 17, body }))).toEqual([{ base: 0n, length: 0x3000n, type: 1 }]);
  });

  test("cut short, inconsistent or without a map: refused, never read beyond the end", () => {
    const good = information(name, { type: 6, body: map });
    expect(() => entriesFromMultiboot2(information(name))).toThrow("no memory map");
    expect(() => entriesFromMultiboot2(good.subarray(0, good.length - 8))).toThrow("bytes of");
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
        const bad = good.slice();
        bad[at] = value;
        try {
          entriesFromMultiboot2(bad);
        } catch (error) {
          expect(error).toHaveProperty("code", "bad-firmware-map");
        }
      }),
    );
  });
});

describe("E801 sizes", () => {
  test("a full 15 MiB joins what is above it; less leaves the ISA hole", () => {
    expect(entriesFromE801({ below16MiB: 0x3c00, above16MiB: 0x700 })).toEqual([
      { base: 0n, length: 0xa0000n, type: 1 },
      { base: 0x100000n, length: 0x7f00000n, type: 1 },
    ]);
    expect(entriesFromE801({ below16MiB: 0x3800, above16MiB: 0x700, conventional: 639 })).toEqual([
      { base: 0n, length: 0x9fc00n, type: 1 },
      { base: 0x100000n, length: 0xe00000n, type: 1 },
      { base: 0x1000000n, length: 0x7000000n, type: 1 },
    ]);
    expect(entriesFromE801({ below16MiB: 0, above16MiB: 0 })).toHaveLength(1);
    expect(() => entriesFromE801({ below16MiB: 0x3c01, above16MiB: 0 })).toThrow("15361");
  });
});

describe("bad memory", () => {
  test("a pattern with the low bits masked out is one range, as the kernel's own documentation says", () => {
    expect(framesOfPattern({ address: 0x18690000n, mask: 0xffff0000n }, 2 ** 32)).toEqual([
      { start: 0x18690, end: 0x186a0 },
    ]);
    expect(badFramesOfText("badram=0x18690000,0xffff0000")).toEqual([{ start: 0x18690, end: 0x186a0 }]);
  });

  test("words of kernel logs and of GRUB", () => {
    const log = `[ 12.3] Memory failure: 0x10d88e: recovery action for clean LRU page: Recovered
[ 12.4] soft offline: 0x208900: page already poisoned
[ 12.5] mce: Uncorrected hardware memory error in user-access at 1850602400
[ 12.6]   0000000012345000 bad mem addr 0x0000000012345000 - 0x0000000012347000 reserved
[ 12.7] EDAC MC0: 1 CE memory read error on CPU_SrcID#0 (channel:0 slot:0 page:0x7d0a1 offset:0x0 grain:32)
[ 12.8] {3}[Hardware Error]:   section_type: memory error
[ 12.8] {3}[Hardware Error]:   physical_address: 0x000000b50c68ce80
[ 12.8] {3}[Hardware Error]:   physical_address_mask: 0xffffffffffffffff
GRUB_BADRAM="0x15c1e3c20,0xfffffffffffffff8"`;
    expect(badFramesOfText(log).map(({ start, end }) => [start, end])).toEqual([
      [0x12345, 0x12347],
      [0x7d0a1, 0x7d0a2],
      [0x10d88e, 0x10d88f],
      [0x15c1e3, 0x15c1e4],
      [0x208900, 0x208901],
      [0x1850602, 0x1850603],
      [0xb50c68c, 0xb50c68d],
    ]);
  });

  test("memmap= words in a boot loader's file, several in a line, and rows of memtest86+ 6", () => {
    const line = String.raw`GRUB_CMDLINE_LINUX_DEFAULT="quiet memmap=64K\\\$0x18690000 memmap=4K\$0x20000000,1M@4G"`;
    expect(badFramesOfText(line)).toEqual([
      { start: 0x18690, end: 0x186a0 },
      { start: 0x20000, end: 0x20001 },
    ]);
    expect(badFramesOfText("memmap=nonsense quiet")).toEqual([]);
    expect(badFramesOfText("   0     4     5  000018690a10 (390MB)  ffffffff  fffffffb")).toEqual([
      { start: 0x18690, end: 0x18691 },
    ]);
  });

  test("older kernels' words, lists of memtest86+ and memmap= words", () => {
    const log = `MCE 0x10d88e: dirty LRU page recovery: Recovered
Soft offlining pfn 0x208900 at process virtual address 0x7f0000000000
RAS: Soft-offlining pfn: 0x208901
Injecting memory failure for pfn 0x300001 at process virtual address 0x7f0000001000
MCE: killing memhog due to hardware memory corruption fault
Tst  Pass   Failing Address          Good       Bad     Err-Bits  Count CPU
  5     0   00007a3ce1c -  122.2MB  ffffffff  ffffffdf  00000020     1    0
Kernel command line: root=/dev/sda1 memmap=64K$0x18690000,1M@16M memmap=8G!8G quiet`;
    expect(badFramesOfText(log).map(({ start, end }) => [start, end])).toEqual([
      [0x7a3c, 0x7a3d],
      [0x18690, 0x186a0],
      [0x10d88e, 0x10d88f],
      [0x208900, 0x208902],
      [0x300001, 0x300002],
    ]);
  });

  test("property: a frame is listed exactly if one of its addresses agrees with the pattern", () => {
    fc.assert(
      fc.property(fc.nat(0xfffff), fc.nat(0xfffff), (address, mask) => {
        const spans = framesOfPattern({ address: BigInt(address), mask: BigInt(mask) }, 2 ** 20);
        for (let pfn = 0; pfn < 256; pfn++) {
          const listed = spans.some((span) => pfn >= span.start && pfn < span.end);
          expect(listed).toBe(((pfn * 4096) & mask & ~0xfff) === (address & mask & ~0xfff));
        }
      }),
    );
  });

  test("broken lists and endless patterns are refused", () => {
    expect(() => badRamPatternsOf("badram=0x1000")).toThrow("1 numbers");
    expect(() => badRamPatternsOf("")).toThrow("0 numbers");
    expect(framesOfPattern({ address: 0n, mask: 0x1000n }, 2 ** 20)).toHaveLength(128);
    expect(() => framesOfPattern({ address: 0n, mask: 0x5555_5555_5555_5000n }, 2 ** 40)).not.toThrow();
    expect(() => framesOfPattern({ address: 0n, mask: 0x8000_0000_0000_1000n }, 2 ** 52)).toThrow("repeats");
  });
});

withInputs("bad memory of real machines", (dir) => {
  interface Sample {
    readonly kind: string;
    readonly pairs?: readonly (readonly [string, string])[];
    readonly pfns?: readonly string[] | string;
    readonly pfn?: string;
  }
  const samples = JSON.parse(readFileSync(join(dir, "bad-memory-samples.json"), "utf8")) as Sample[];

  test("BadRAM pairs name the frames that memtest named", () => {
    const sample = samples.find((one) => one.kind === "badram");
    const spans = badFramesOfText(`badram=${(sample?.pairs ?? []).flat().join(",")}`);
    const frames = spans.flatMap(({ start, end }) =>
      Array.from({ length: end - start }, (_, i) => `0x${(start + i).toString(16)}`),
    );
    expect(frames).toEqual(sample?.pfns);
  });

  test("memory-failure messages name their frame", () => {
    const failures = samples.filter((one) => one.kind === "memory-failure");
    expect(failures.length).toBeGreaterThan(0);
    for (const { pfn } of failures)
      expect(badFramesOfText(`Memory failure: ${pfn ?? ""}: recovery action`)).toEqual([
        { start: Number(pfn), end: Number(pfn) + 1 },
      ]);
  });
});
