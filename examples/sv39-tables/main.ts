/**
 * An address space whose tables are RISC-V Sv39: demand paging, a fork with copy-on-write, swap. The manager is the same as on x86-64; only the port for
 * translations is another one. The bytes are reached through `SpaceMemory`.
 */
import { MemorySwap, PlainMemory, SpaceMemory, Vmm, vpnOf, type AddressSpace, type VirtAddr } from "@pagewright/vmm";

import { Sv39Tables, Sv39TranslationSystem } from "./tables.ts";

const PAGE = 4096;
const memory = new PlainMemory(64);
const tables = new Sv39TranslationSystem(memory, memory);
const vmm = new Vmm({ frames: memory, window: memory, tables, swap: [new MemorySwap(256)], residentLimit: 8 });
const space = vmm.createSpace();
const at = space?.map({ bytes: 32 * PAGE }) ?? "no-memory";
if (space === null || typeof at === "string") throw new Error("nothing can be mapped");

/** The leaf entry of a page as it lies in its table. */
function entryText(of: AddressSpace, address: VirtAddr): string {
  const entry = of.tables instanceof Sv39Tables ? of.tables.leaf(vpnOf(address)) : null;
  if (entry === null) return "no table";
  const letters = "DAGUXWRV";
  let text = "";
  for (let bit = 0; bit < 8; bit++) text += ((entry.low >>> (7 - bit)) & 1) === 1 ? (letters[bit] ?? "") : "-";
  return text;
}

console.log(`the mapping begins in the lower half of 39 bits: ${at > 0 && at < 2 ** 38}`);
console.log(`before the first store: ${entryText(space, at)}`);
const bytes = new SpaceMemory(space);
bytes.store32(at, 1);
console.log(`after it:               ${entryText(space, at)}`);

const clone = space.clone();
if (clone === null) throw new Error("no frame for a clone");
console.log(`after a fork:           ${entryText(space, at)}`);
const cloned = new SpaceMemory(clone);
cloned.store32(at, 2);
console.log(`each its own: parent ${bytes.load32(at)}, child ${cloned.load32(at)}`);
clone.destroy();

for (let page = 0; page < 32; page++) bytes.store32(at + page * PAGE, page);
let intact = 0;
for (let page = 0; page < 32; page++) if (bytes.load32(at + page * PAGE) === page) intact++;
console.log(`32 pages in 8 frames and swap: ${intact} as they were, ${vmm.residentPages} resident`);
vmm.check();

space.destroy();
vmm.close();
console.log(`every frame came back: ${memory.freeFrames === memory.totalFrames}`);
