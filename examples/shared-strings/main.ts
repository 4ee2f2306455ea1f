/** Strings and records in one shared WebAssembly.Memory: two workers make them, the main thread reads and frees them. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { SharedHeap } from "@pagewright/heap";

const wasm = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
const buffer = wasm.buffer as unknown as SharedArrayBuffer;
const heap = SharedHeap.create(buffer, { start: 1024, slots: 4 });
const words = new Int32Array(buffer);
const bytes = new Uint8Array(buffer);

const workers = ["Ada", "Grace"].map(
  (name) => new Worker(new URL("writer.mjs", import.meta.url), { workerData: { buffer, name } }),
);
const lists = await Promise.all(workers.map(async (worker) => (await once(worker, "message"))[0] as number[]));

// A record: number, address of its text, length of its text.
let records = 0;
const texts: string[] = [];
for (const list of lists) {
  for (const record of list) {
    const [, text = 0, length = 0] = words.subarray(record / 4, record / 4 + 3);
    texts.push(new TextDecoder().decode(bytes.slice(text, text + length)));
    heap.free(text);
    heap.free(record);
    records++;
  }
}
console.log(`${records} records read, the first is "${texts[0]}", the last "${texts.at(-1)}"`);
// What was freed here belongs to the workers' slabs: it goes home, and the workers take it in.
heap.flush();
for (const worker of workers) {
  worker.postMessage("done");
  await once(worker, "exit");
}
console.log(`after both workers have left ${heap.stats().liveBlocks} blocks are live`);
heap.check();
