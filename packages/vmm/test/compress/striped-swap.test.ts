import { expect, test } from "vitest";

import { isVmmError } from "../../src/errors.ts";
import { MemorySwap } from "../../src/swap/memory-swap.ts";
import { StripedSwap } from "../../src/swap/striped-swap.ts";

test("slots in a row lie on stores in turn, and come back from them", () => {
  const stores = [new MemorySwap(4), new MemorySwap(3), new MemorySwap(9)];
  const stripe = new StripedSwap(stores);
  expect(stripe.slots).toBe(9);
  for (let slot = 0; slot < 9; slot++) stripe.write(slot, new Uint8Array(4096).fill(slot + 1));
  const into = new Uint8Array(4096);
  expect(stores.map((store) => (store.read(1, into), into[0]))).toEqual([4, 5, 6]);
  expect([stripe.read(8, into), into[0]]).toEqual(["ok", 9]);
  stripe.discard(8);
  expect(stripe.read(8, into)).toBe("failed");
});

test("a slot beyond the smallest store's is refused", () => {
  const stripe = new StripedSwap([new MemorySwap(1), new MemorySwap(5)]);
  let thrown: unknown;
  try {
    stripe.write(2, new Uint8Array(4096));
  } catch (error) {
    thrown = error;
  }
  expect(isVmmError(thrown) && thrown.code).toBe("out-of-range");
});
