import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

import { expect, test } from "vitest";

import { withInputs } from "@pagewright/tooling/inputs";
import { PAGE_SIZE, PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

const GIB_PAGES = 262144;
/** Frames of the whole machine: resident pages and compressed ones. */
const FRAMES = 4 * GIB_PAGES;
const POOL_FRAMES = GIB_PAGES;
const PAGES = 5 * GIB_PAGES;

/** Pages of real processes, one after the other. */
function realPages(folder: string): Uint8Array {
  const files = readdirSync(folder).filter((name) => name.startsWith("perl") || name.startsWith("python"));
  return Buffer.concat(files.map((name) => gunzipSync(readFileSync(`${folder}/${name}`))));
}

withInputs("5 GiB of pages of real processes in 4 GiB of memory", (dir) => {
  test("every byte is there, nothing but memory is used", () => {
    const content = realPages(`${dir}/pages`);
    const kinds = Math.floor(content.length / PAGE_SIZE);
    const memory = new PlainMemory(FRAMES);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: POOL_FRAMES, slots: PAGES });
    const vmm = new Vmm({ frames: memory, window: memory, swap: [pool], residentLimit: FRAMES - POOL_FRAMES - 1024 });
    const space = vmm.createSpace();
    const at = space?.map({ bytes: PAGES * PAGE_SIZE }) ?? "no-memory";
    if (space === null || typeof at === "string") throw new Error("not mapped");
    const bytes = new SpaceMemory(space);
    const page = new Uint8Array(PAGE_SIZE);
    const stamp = new DataView(page.buffer);
    const make = (number: number): Uint8Array => {
      const from = (number % kinds) * PAGE_SIZE;
      page.set(content.subarray(from, from + PAGE_SIZE));
      stamp.setUint32(((number * 37) % 1024) * 4, number, true); // No two pages are alike.
      return page;
    };
    for (let number = 0; number < PAGES; number++)
      if (bytes.copyIn(at + number * PAGE_SIZE, make(number)) !== PAGE_SIZE)
        throw new Error(`page ${number}: ${bytes.fault}`);
    expect(vmm.residentPages + pool.stats().frames).toBeLessThanOrEqual(FRAMES);
    const read = new Uint8Array(PAGE_SIZE);
    let wrong = 0;
    for (let number = 0; number < PAGES; number++) {
      bytes.copyOut(at + number * PAGE_SIZE, read);
      if (Buffer.compare(read, make(number)) !== 0) wrong++;
    }
    expect(wrong).toBe(0);
    const { packedPages, frames } = pool.stats();
    expect(packedPages).toBeGreaterThanOrEqual(PAGES - FRAMES);
    expect(frames).toBeLessThanOrEqual(POOL_FRAMES);
    vmm.check();
    pool.check();
  });
});
