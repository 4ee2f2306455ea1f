/** A program with three bugs, under the debug heap. */
import { BufferMemory, DebugHeap, GeneralHeap, isHeapError } from "@pagewright/heap";

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
