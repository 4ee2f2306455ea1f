/** Where a heap's memory goes, by call stack: a sampled profile, written as a file that `pprof` opens. */
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { BufferMemory, GeneralHeap, Profiler } from "@pagewright/heap";

const file = process.argv[2] ?? "heap.pb.gz";

// One sample for each 4 KiB on average; a seeded source of chance keeps the figures the same from run to run.
let state = 1;
const random = (): number => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
const memory = new BufferMemory(new ArrayBuffer(2 ** 24));
const heap = new Profiler(new GeneralHeap(memory), { random, intervalBytes: 4096 });

function decodeImage(): number {
  return heap.allocate(3000);
}

function splitLine(): number {
  return heap.allocate(50);
}

function renderPage(images: number[]): void {
  for (let line = 0; line < 30; line++) heap.free(splitLine());
  images.push(decodeImage());
}

const images: number[] = [];
for (let page = 0; page < 500; page++) renderPage(images);

writeFileSync(file, gzipSync(heap.encode()));
const [largest] = heap.samples().sort((a, b) => b.liveBytes - a.liveBytes);
const live = largest?.liveBytes ?? 0;
console.log(
  `most live bytes: ${largest?.stack
    .slice(0, 2)
    .map(({ name }) => name)
    .join(" < ")}`,
);
console.log(
  `estimated within 10 % of the ${3000 * images.length} bytes that are live: ${Math.abs(live / (3000 * images.length) - 1) < 0.1}`,
);
