import { Arena, BufferMemory, TraceOp, Tracer } from "@pagewright/heap";
import { expect, test } from "vitest";
import { hintsOf } from "../src/heap-replay/hints.ts";
import { makeBench } from "../src/heap-replay/subjects.ts";
import { verify } from "../src/heap-replay/verify.ts";

test("blocks may start at any byte, and move to any other", async () => {
  const tracer = new Tracer(new Arena(new BufferMemory(new ArrayBuffer(2 ** 17))));
  const blocks = [5, 9, 2, 13, 1, 30].map((size) => tracer.allocate(size, 1));
  expect(new Set(blocks.map((address) => address % 4)).size).toBeGreaterThan(2);
  for (const address of blocks) tracer.resize(address, 40);
  const plain = tracer.trace();
  const trace = { ...plain, op: plain.op.map((op) => (op === TraceOp.malloc ? TraceOp.memalign : op)) };
  const bench = await makeBench("arena", trace);
  if (typeof bench === "string") throw new Error(bench);
  expect(verify(trace, bench, hintsOf(trace, []), () => undefined)).toMatchObject({ failed: null, verifiedBlocks: 12 });
});
