import { parentPort, workerData } from "node:worker_threads";
import { SharedHeap } from "@pagewright/heap";

const { buffer, name } = workerData as { readonly buffer: SharedArrayBuffer; readonly name: string };
const heap = SharedHeap.attach(buffer, 1024);
const words = new Int32Array(buffer);
const bytes = new Uint8Array(buffer);
const records: number[] = [];
for (let number = 0; number < 1000; number++) {
  const text = new TextEncoder().encode(`${name} wrote line ${String(number)}`);
  const at = heap.allocate(text.length);
  const record = heap.allocate(12);
  if (at === -1 || record === -1) throw new Error("the memory is full");
  bytes.set(text, at);
  words.set([number, at, text.length], record / 4);
  records.push(record);
}
parentPort?.postMessage(records);
parentPort?.once("message", () => {
  heap.detach();
  parentPort?.close();
});
