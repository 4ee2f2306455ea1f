/**
 * Address spaces whose tables are RISC-V Sv39: demand paging, a fork with copy-on-write, swap, megapages, and whole tables that change hands. The manager is the same as on x86-64; only the port for
 * translations is another one. The bytes are reached through `SpaceMemory`.
 */
import {
  MemorySwap,
  PlainMemory,
  READ,
  SpaceMemory,
  Vmm,
  vpnOf,
  type AddressSpace,
  type VirtAddr,
} from "@pagewright/vmm";

import { Sv39TranslationSystem } from "./system.ts";
import { Sv39Tables } from "./tables.ts";

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

const MEGAPAGE = 2097152;

/** The megapage parts of the port: 2M pages, tables that move, tables in common. */
function handTablesAround(): void {
  const wide = new PlainMemory(4096);
  const manager = new Vmm({ frames: wide, window: wide, tables: new Sv39TranslationSystem(wide, wide) });
  const [one, two] = [manager.createSpace(), manager.createSpace()];
  const from = one?.map({ bytes: 2 * MEGAPAGE, pageSize: MEGAPAGE }) ?? "no-memory";
  if (one === null || two === null || typeof from === "string") throw new Error("no 2M page is to be had");
  const pagesOf = (of: AddressSpace, address: VirtAddr): number =>
    of.tables instanceof Sv39Tables ? of.tables.pagesAt(vpnOf(address)) : 0;
  new SpaceMemory(one).store32(from + 5 * PAGE, 55);
  console.log(`one leaf: ${pagesOf(one, from)} pages, ${entryText(one, from)}`);

  const to = one.transfer(from, MEGAPAGE, two);
  if (typeof to === "string") throw new Error(to);
  console.log(
    `handed over: ${pagesOf(two, to)} pages there, ${new SpaceMemory(two).load32(to + 5 * PAGE)} in the sixth`,
  );
  two.protect(to, PAGE, READ);
  console.log(`one page of them read-only: ${entryText(two, to)} beside ${entryText(two, to + PAGE)}`);

  const object = manager.createAnonymous(MEGAPAGE);
  const here = one.map({ bytes: MEGAPAGE, object, shared: true, alignment: MEGAPAGE });
  const there = typeof here === "string" ? here : one.share(here, MEGAPAGE, two);
  if (typeof here === "string" || typeof there === "string") throw new Error("no tables in common");
  new SpaceMemory(one).store32(here, 66);
  console.log(`tables in common: the page is there without a fault, ${entryText(two, there)}`);
  manager.check();
  for (const each of [one, two]) each.destroy();
  object.close();
  manager.close();
  console.log(`every frame came back: ${wide.freeFrames === wide.totalFrames}`);
}

handTablesAround();
