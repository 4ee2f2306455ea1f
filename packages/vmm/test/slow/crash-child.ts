/** Stores numbered versions into every page of a mapped file, syncs, and says on standard output which version is safe; until it is killed. */
import { PAGE_SIZE, PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";
import { FileBacking } from "@pagewright/vmm/node";

const [, , path = "", pageCount = "0"] = process.argv;
const pages = Number(pageCount);
const memory = new PlainMemory(pages);
const vmm = new Vmm({ frames: memory, window: memory, residentLimit: Math.floor(pages / 2) });
const space = vmm.createSpace();
if (space === null) throw new Error("no space");
const file = vmm.openFile(new FileBacking(path));
const at = Number(space.map({ bytes: pages * PAGE_SIZE, object: file, shared: true }));
const bytes = new SpaceMemory(space);
for (let version = 1; ; version++) {
  // Both ends of a page get the version: a page that is neither old nor new shows two numbers.
  for (let page = 0; page < pages; page++) {
    bytes.store32(at + page * PAGE_SIZE, version);
    bytes.store32(at + page * PAGE_SIZE + PAGE_SIZE - 4, version);
  }
  if (space.sync(at, pages * PAGE_SIZE) !== "ok") throw new Error("not written");
  process.stdout.write(`${version}\n`);
}
