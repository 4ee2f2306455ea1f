import fc from "fast-check";
import { expect, test } from "vitest";

import { Framebuffer } from "../../src/devices/framebuffer.ts";
import { WriteCombiner } from "../../src/devices/write-combining.ts";

/** A combiner in front of a framebuffer that starts at address 0. */
function drawing(buffers = 4): { screen: Framebuffer; combiner: WriteCombiner } {
  const screen = new Framebuffer(64, 16);
  const combiner = new WriteCombiner(
    {
      burst: (line, bytes) => {
        screen.writeBurst(line, bytes);
      },
      single: (address, size, value) => {
        screen.write(address, size, value);
      },
    },
    buffers,
  );
  return { screen, combiner };
}

test("drawing a row leaves in bursts: one transaction for sixteen pixels", () => {
  const { screen, combiner } = drawing();
  for (let x = 0; x < 64; x++) combiner.store(x * 4, 4, 0xff0000 + x);
  expect(screen.stats()).toEqual({ singleWrites: 0, bursts: 4, reads: 0 });
  expect(combiner.isEmpty).toBe(true);
  expect(screen.pixels[63]).toBe(0xff003f);
  combiner.check();
});

test("drawing a column of more lines than there are buffers leaves piecemeal", () => {
  const { screen, combiner } = drawing(4);
  for (let y = 0; y < 16; y++) combiner.store(y * 256, 4, y + 1);
  combiner.flush();
  expect(screen.stats()).toEqual({ singleWrites: 16, bursts: 0, reads: 0 });
  expect(combiner.stats()).toEqual({ stores: 16, bursts: 0, partials: 16 });
  combiner.check();
});

test("property: whatever is stored, after a flush the screen holds the last value of every byte", () => {
  const store = fc.record({ slot: fc.nat(1023), size: fc.constantFrom(1, 2, 4), value: fc.nat(0xffffffff) });
  fc.assert(
    fc.property(fc.array(store, { maxLength: 200 }), fc.integer({ min: 1, max: 6 }), (stores, buffers) => {
      const { screen, combiner } = drawing(buffers);
      const expected = new Uint8Array(4096);
      for (const { slot, size, value } of stores) {
        combiner.store(slot * 4, size, value);
        for (let i = 0; i < size; i++) expected[slot * 4 + i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
        combiner.check();
      }
      combiner.flush();
      expect(new Uint8Array(screen.pixels.buffer)).toEqual(expected);
      expect(combiner.isEmpty).toBe(true);
    }),
  );
});

test("a screen of no size is refused", () => {
  expect(() => new Framebuffer(0, 5)).toThrow("0 × 5");
});
