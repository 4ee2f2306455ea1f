/** Steps below spaces: migration, reclaim, idle work, and transfers of devices. */
import { expect } from "vitest";

import { PAGE_SIZE, type Segment } from "@pagewright/vmm";

import { contentOf, setValue, type Content } from "./naive.ts";
import { WORD } from "./things.ts";
import type { Pair, Range, World } from "./world.ts";

/** Pages go to other frames. */
export function migrate(world: World): string {
  const { core, migrator } = world.vmm;
  const step = world.shape.frames / 10;
  for (let pfn = world.next(step); pfn < world.shape.frames; pfn += step) {
    const page = core.frameMap.pageAt(pfn);
    if (page < 0) continue;
    const isPinned = core.pages.pins[page]! > 0;
    const outcome = migrator.vacate(pfn);
    if (isPinned) expect(outcome).toBe("pinned");
    else if (typeof outcome === "number") expect(core.frameMap.pageAt(outcome)).toBe(page);
  }
  return "migrate";
}

/** Work that is done when nobody waits for it. */
export function background(world: World): string {
  const { vmm, shape } = world;
  switch (world.next(shape.units > 0 ? 8 : 5)) {
    case 0:
      vmm.idle(world.next(8));
      return "idle";
    case 1:
      vmm.sampleAccesses();
      return "sample";
    case 2:
      vmm.background(world.next(8));
      return "background";
    case 3:
    case 4:
      vmm.reclaim(world.next(shape.units > 0 ? 200 : 8));
      return "reclaim";
    default:
      vmm.collapser.step(2000);
      return "collapse";
  }
}

/** A device gets a range of a space; what it reads is what is there. */
export function beginTransfer(world: World, pair: Pair, { start, count }: Range): string {
  if (world.transfers.length >= 2) return "no transfer";
  const { vmm, memory } = world;
  const fromDevice = world.next(2) === 0;
  const pages = Math.min(count, 4);
  const reach = world.next(2) === 0 ? {} : { below: Math.floor(world.shape.frames / 2) * PAGE_SIZE };
  const direction = fromDevice ? "from-device" : "to-device";
  const transfer = vmm.beginTransfer(pair.real, start * PAGE_SIZE, pages * PAGE_SIZE, direction, reach);
  world.allowCopies(pair, start, pages);
  if (typeof transfer === "string") return `${direction}: ${transfer}`;
  const contents: Content[] = [];
  const frames: number[] = [];
  const records: number[] = [];
  world.adoptCopies();
  for (let vpn = start; vpn < start + pages; vpn++) {
    const page = pair.naive.pages.get(vpn);
    if (page === undefined) throw new Error("a page was pinned that is not mapped");
    const content = page.own ?? (page.object === null ? null : contentOf(page.object, page.index));
    if (content === null) throw new Error("a page was pinned that nobody has");
    pair.real.tables.query(vpn);
    frames.push(pair.real.tables.frame);
    records.push(vmm.core.frameMap.pageAt(pair.real.tables.frame));
    content.pins++;
    contents.push(content);
  }
  if (!fromDevice)
    eachPage(transfer.segments, (frame, at) => {
      const word = new Uint8Array(4);
      memory.read(frame, WORD, word);
      expect(new DataView(word.buffer).getUint32(0, true)).toBe(contents[at]?.value);
    });
  world.transfers.push({ transfer, contents, frames, pages: records, fromDevice });
  return direction;
}

/** A device has finished; what it wrote is there. */
export function endTransfer(world: World): string {
  const pinned = world.transfers.shift();
  if (pinned === undefined) return "no transfer to end";
  const { transfer, contents, fromDevice } = pinned;
  for (const content of contents) content.pins--;
  if (world.next(3) === 0) {
    transfer.cancel();
    return "transfer cancelled";
  }
  const values = contents.map(() => world.next(1000000000));
  if (fromDevice)
    eachPage(transfer.segments, (frame, at) => {
      const word = new Uint8Array(4);
      new DataView(word.buffer).setUint32(0, values[at] ?? 0, true);
      world.memory.write(frame, WORD, word);
    });
  transfer.complete();
  if (fromDevice) for (const [at, content] of contents.entries()) setValue(content, values[at] ?? 0);
  return "transfer completed";
}

/** The frames of a list of segments of whole pages. */
function eachPage(segments: readonly Segment[], visit: (frame: number, at: number) => void): void {
  let at = 0;
  for (const { address, bytes } of segments)
    for (let done = 0; done < bytes; done += PAGE_SIZE) visit((address + done) / PAGE_SIZE, at++);
}
