/**
 * Physical frames without anything around them: `@pagewright/pmm` needs no machine, only the ranges that are RAM.
 *
 * The ranges are those of a PC with 64 MiB: RAM below 636 KiB and above 1 MiB, one frame of which a memory test found bad.
 */
import { Pmm, PmmError } from "@pagewright/pmm";

const properties = { node: 0, rank: 0, hotPluggable: false };
const pmm = new Pmm({
  ranges: [
    { start: 0, end: 159, faulty: [], ...properties },
    { start: 256, end: 16384, faulty: [5000], ...properties },
  ],
});

// An ordinary frame comes from above 16 MiB: what lies below is kept for devices that can reach nothing else.
const frame = pmm.take();
console.log(`an ordinary frame lies above 16 MiB: ${frame * 4096 >= 16 * 2 ** 20}`);

// An ISA DMA controller: 64 KiB in a row, below 16 MiB, crossing no 64 KiB boundary.
const buffer = pmm.request({ frames: 16, below: 4096, boundary: 16 });
if (buffer.ok) console.log(`a DMA buffer of ${buffer.frames} frames, boundary crossed: ${(buffer.start & 15) !== 0}`);

pmm.give(frame);
try {
  pmm.give(frame);
} catch (error) {
  if (!PmmError.is(error)) throw error;
  console.log(`giving a frame twice: ${error.code}`);
}

const { totalFrames, freeFrames, retiredFrames } = pmm.stats();
console.log(`${totalFrames} frames, ${freeFrames} free, ${retiredFrames} retired`);
pmm.check();
