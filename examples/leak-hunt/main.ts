/** A program with three bugs, under the debug heap; and where its memory goes, as a file for `pprof`. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { BufferMemory, DebugHeap, GeneralHeap, isHeapError, Profiler } from "@pagewright/heap";

const memory = new BufferMemory(new ArrayBuffer(2 ** 22));
let site = "";
const debug = new DebugHeap(new GeneralHeap(memory), memory, { callSite: () => site, quarantine: 8 });

function attempt(what: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isHeapError(error)) throw error;
    console.log(`${what}: ${error.code}`);
  }
}

site = "parseHeader";
const header = debug.allocate(20);
memory.fill(header, 21, 0x41);
attempt("21 bytes written into a block of 20", () => debug.free(header));

site = "openConnection";
const connection = debug.allocate(64);
debug.free(connection);
memory.store32(connection + 8, 1);
attempt("a freed block written to", () => {
  for (let at = 0; at < 8; at++) debug.free(debug.allocate(64));
});

for (let request = 0; request < 100; request++) {
  site = request % 10 === 0 ? "cacheReply" : "readRequest";
  const block = debug.allocate(128);
  if (site === "readRequest") debug.free(block);
}
for (const leak of debug.leaks()) console.log(`${leak.blocks} blocks, ${leak.bytes} bytes live from ${leak.site}`);

// One sample for each 4 KiB on average; a seeded source of chance keeps the figures the same from run to run.
let state = 1;
const random = (): number => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
let stack: readonly string[] = [];
const profiler = new Profiler(new GeneralHeap(new BufferMemory(new ArrayBuffer(2 ** 24))), {
  random,
  intervalBytes: 4096,
  stack: () => stack,
});
for (let at = 0; at < 2000; at++) {
  stack = at % 4 === 0 ? ["decodeImage", "render", "main"] : ["splitLine", "parse", "main"];
  const block = profiler.allocate(at % 4 === 0 ? 3000 : 50);
  if (at % 4 !== 0) profiler.free(block);
}
const [largest] = profiler.samples().sort((a, b) => b.liveBytes - a.liveBytes);
console.log(
  `most live bytes: ${largest?.stack.join(" < ")}, within 10 %: ${Math.abs((largest?.liveBytes ?? 0) - 1_500_000) < 150_000}`,
);
const folder = mkdtempSync(join(tmpdir(), "leak-hunt-"));
const file = join(folder, "heap.pb.gz");
writeFileSync(file, gzipSync(profiler.encode()));
console.log("heap.pb.gz opens with: pprof -top heap.pb.gz");
rmSync(folder, { recursive: true });
