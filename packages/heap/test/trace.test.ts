import { decodeHeapTrace } from "@pagewright/heap";
import { expect, test } from "vitest";

test("what is no trace is told apart: too short for a header, or of another kind", () => {
  expect(() => decodeHeapTrace(new Uint8Array(5))).toThrow(/fewer bytes than its header of 32 \(5\)/);
  expect(() => decodeHeapTrace(new Uint8Array(40).fill(1))).toThrow(/does not start with HTRC/);
});
