/**
 * A program draws on a screen: its memory is mapped write-combined, so that stores leave the processor as bursts of a whole line, and for comparison
 * uncached, one bus transaction for each store.
 */
import { AddressClaims, Framebuffer, physicalMapFromJson } from "@pagewright/machine";
import { createStack } from "@pagewright/stack";
import { UNCACHED, WRITE_COMBINING, type MemoryType } from "@pagewright/vmm";

const WIDTH = 64;
const HEIGHT = 32;

const map = physicalMapFromJson({ entries: [{ base: 2 ** 20, length: 63 * 2 ** 20, type: 1 }] });
const stack = createStack({ map });
const { vmm, machine } = stack;
const screen = new Framebuffer(WIDTH, HEIGHT);
const window = new AddressClaims(machine.map).allocate(
  { size: screen.size, alignment: 4096, below: 2 ** 32 },
  { owner: "screen", device: screen },
);
const device = vmm.openDevice(window.start / 4096, screen.size / 4096);

const space = vmm.createSpace();
if (space === null) throw new Error("no frame for a space");
const cpu = stack.enter(space);

const combined = draw("write-combining", WRITE_COMBINING);
const single = draw("uncached", UNCACHED);
console.log(`${single / combined} stores in each burst`);

// The two types never meet: the processor's behaviour would be undefined.
const first = space.map({ bytes: screen.size, object: device, type: WRITE_COMBINING });
const second = space.map({ bytes: screen.size, object: device, type: UNCACHED });
console.log(`mapped write-combining: ${typeof first === "number"}; uncached at the same time: ${second}`);

console.log("the screen:");
for (let row = 0; row < HEIGHT; row += 4) {
  let line = "";
  for (let column = 0; column < WIDTH; column += 2)
    line += " .:-=+*#%@"[Math.floor(((screen.pixels[row * WIDTH + column] ?? 0) & 0xff) / 26)] ?? " ";
  console.log(line.trimEnd());
}
vmm.check();

/** Draws a ball through a mapping of one memory type; returns the bus transactions that it took. */
function draw(name: string, type: MemoryType): number {
  const at = space?.map({ bytes: screen.size, object: device, type }) ?? "no-memory";
  if (typeof at === "string") throw new Error(at);
  const before = screen.stats();
  for (let row = 0; row < HEIGHT; row++)
    for (let column = 0; column < WIDTH; column++) {
      const distance = Math.hypot(column / 2 - 16, row - 16) / 15;
      const light = Math.max(0, Math.floor(255 * (1 - distance)));
      cpu.store32(at + (row * WIDTH + column) * 4, light * 0x010101);
    }
  cpu.fence();
  const after = screen.stats();
  const [bursts, writes] = [after.bursts - before.bursts, after.singleWrites - before.singleWrites];
  console.log(
    `${name}: ${WIDTH * HEIGHT} stores, effective type ${cpu.memoryTypeOf(at) ?? "none"}: ${bursts} bursts, ${writes} single writes`,
  );
  space?.unmap(at, screen.size);
  return bursts + writes;
}
