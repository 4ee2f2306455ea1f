import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CLASS_OF_UNITS, SIZE_CLASSES, SLAB_BYTES, SMALL_BYTES } from "../src/size-classes.ts";

/** Per class: size, slots of a slab, tail of a slab that is no slot, smallest size that is rounded up to it, bytes wasted then. */
function table(): string[] {
  return SIZE_CLASSES.map((size, at) => {
    const slots = Math.floor(SLAB_BYTES / size);
    const smallest = (SIZE_CLASSES[at - 1] ?? 0) + 1;
    const waste = size - smallest;
    return `| ${String(size)} | ${String(slots)} | ${String(SLAB_BYTES - slots * size)} | ${String(smallest)} | ${String(waste)} | ${((100 * waste) / size).toFixed(1)} % |`;
  });
}

test("every size up to 1 KiB has the smallest class that holds it", () => {
  for (let size = 0; size <= SMALL_BYTES; size++) {
    const chosen = SIZE_CLASSES[CLASS_OF_UNITS[(size + 7) >>> 3]!] ?? 0;
    expect(chosen).toBe(SIZE_CLASSES.find((candidate) => candidate >= size));
  }
});

test("rounding up wastes at most 7 bytes up to 128, 15 up to 256, and a fifth above; a slab's tail at most 3.6 %", () => {
  for (let size = 1; size <= SMALL_BYTES; size++) {
    const chosen = SIZE_CLASSES[CLASS_OF_UNITS[(size + 7) >>> 3]!] ?? 0;
    const waste = chosen - size;
    if (size <= 128) expect(waste).toBeLessThanOrEqual(7);
    else if (size <= 256) expect(waste).toBeLessThanOrEqual(15);
    else expect(waste / chosen).toBeLessThanOrEqual(0.205);
  }
  for (const size of SIZE_CLASSES) expect((SLAB_BYTES % size) / SLAB_BYTES).toBeLessThanOrEqual(0.036);
});

test("the table in DESIGN.md is the one of the code", () => {
  const design = readFileSync(new URL("../DESIGN.md", import.meta.url), "utf8").replace(/ +/g, " ");
  for (const row of table()) expect(design).toContain(row);
});
