import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { withInputs } from "@pagewright/tooling/inputs";
import { spawnTs } from "@pagewright/tooling/worker";
import { decodeHeapTrace, SharedHeap, TraceOp } from "@pagewright/heap";
import type { TraceJob } from "./shared-trace.worker.ts";

/** A copy of an array of numbers in memory that workers share. */
function shared<Numbers extends Uint8Array | Uint32Array>(from: Numbers): Numbers {
  const make = from.constructor as new (buffer: SharedArrayBuffer) => Numbers;
  const copy = new make(new SharedArrayBuffer(from.byteLength));
  copy.set(from);
  return copy;
}

withInputs("a program of three threads on the shared heap, a worker for each", (dir) => {
  test.each([
    ["as recorded", 0],
    ["each block freed by another thread than took it", 1],
  ])(
    "blocks keep their contents and none is lost: %s",
    async (_name, shift) => {
      const trace = decodeHeapTrace(gunzipSync(readFileSync(join(dir, "heap-traces/git-repack-2t.bin.gz"))));
      const buffer = new SharedArrayBuffer(64 * 2 ** 20);
      const heap = SharedHeap.create(buffer, { slots: 4 });
      const turns = new Uint32Array(trace.objects);
      const turn = new Uint32Array(trace.events);
      for (let event = 0; event < trace.events; event++) turn[event] = turns[trace.id[event]!]!++;
      const words = (): Int32Array => new Int32Array(new SharedArrayBuffer(trace.objects * 4));
      const [done, addresses, sizes] = [words(), words(), words()];
      const job = {
        buffer,
        op: shared(trace.op),
        id: shared(trace.id),
        size: shared(trace.size),
        log2align: shared(trace.log2align),
        turn: shared(turn),
        done,
        addresses,
        sizes,
        positions: new Int32Array(new SharedArrayBuffer(trace.threads * 4)),
      };
      const numbers = Uint32Array.from({ length: trace.events }, (_, event) => event);
      const crew = Array.from({ length: trace.threads }, (_, thread) => {
        const workerOf = (event: number): number =>
          (trace.thread[event]! + (trace.op[event] === TraceOp.free ? shift : 0)) % trace.threads;
        const events = numbers.filter((event) => workerOf(event) === thread);
        const whole: TraceJob = { ...job, events, me: thread };
        return spawnTs(new URL("./shared-trace.worker.ts", import.meta.url), whole);
      });
      const results = await Promise.all(
        crew.map(async (worker) => (await once(worker, "message"))[0] as { failures: number; handedOver: number }),
      );
      expect(results.map(({ failures }) => failures)).toEqual(crew.map(() => 0));
      const frees = trace.op.filter((op) => op === TraceOp.free).length;
      expect(results.reduce((sum, { handedOver }) => sum + handedOver, 0)).toBe(shift * frees);
      await Promise.all(
        crew.map(async (worker) => {
          worker.postMessage("leave");
          await once(worker, "exit");
        }),
      );
      const heirs = crew.map(() => SharedHeap.attach(buffer));
      for (const heir of heirs) heir.flush();
      heap.flush();
      const left = new Set<number>(trace.id);
      trace.op.forEach((op, event) => op === TraceOp.free && left.delete(trace.id[event]!));
      expect(heap.stats().liveBlocks).toBe(left.size);
      heap.walk((address) => expect([...left].some((object) => addresses[object] === address)).toBe(true));
      for (const each of [heap, ...heirs]) each.check();
    },
    120_000,
  );
});
