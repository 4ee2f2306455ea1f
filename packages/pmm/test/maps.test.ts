import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { withInputs } from "@pagewright/tooling/inputs";
import { expect, test } from "vitest";

import { NO_FRAME, Pmm } from "../src/index.ts";
import type { FrameRange } from "../src/index.ts";
import { range } from "./ranges.ts";

interface Entry {
  readonly base: string;
  readonly end: string;
  readonly type: number;
}
interface FirmwareMap {
  readonly entries: readonly Entry[];
  readonly srat?: readonly { readonly node: number; readonly base: string; readonly end: string }[];
}

/** Usable frames of a map that is sorted and disjoint: adjacent usable entries joined, then shrunk inwards; cut at nodes. */
function rangesOf(map: FirmwareMap): FrameRange[] {
  const joined: { start: number; end: number }[] = [];
  for (const { base, end, type } of map.entries) {
    if (type !== 1) continue;
    const last = joined[joined.length - 1];
    if (last?.end === Number(base)) last.end = Number(end) + 1;
    else joined.push({ start: Number(base), end: Number(end) + 1 });
  }
  const ranges: FrameRange[] = [];
  for (const { start, end } of joined) {
    const cuts = (map.srat ?? []).flatMap((each) => [Number(each.base), Number(each.end) + 1]);
    const points = [start, ...cuts.filter((cut) => cut > start && cut < end), end].sort((a, b) => a - b);
    const first = Math.ceil(start / 4096);
    for (let i = 0; i + 1 < points.length; i += 1) {
      const from = i === 0 ? first : Math.floor((points[i] ?? 0) / 4096);
      const to = Math.floor((points[i + 1] ?? 0) / 4096);
      const middle = ((points[i] ?? 0) + (points[i + 1] ?? 0)) / 2;
      const node = map.srat?.find((each) => middle >= Number(each.base) && middle <= Number(each.end))?.node ?? 0;
      if (from < to) ranges.push(range(from, to, { node }));
    }
  }
  return ranges;
}

interface Reference {
  readonly usablePages: number;
  readonly usablePagesBelow16MiB: number;
  readonly usablePagesByNode?: Readonly<Record<string, number>>;
}

withInputs("zones of real machines", (dir) => {
  const reference = JSON.parse(readFileSync(join(dir, "maps-reference.json"), "utf8")) as Record<string, Reference>;
  for (const file of readdirSync(join(dir, "maps"))) {
    const name = file.replace(".json", "");
    test(`${name}: the zones account for every usable frame once`, () => {
      const map = JSON.parse(readFileSync(join(dir, "maps", file), "utf8")) as FirmwareMap;
      const pmm = new Pmm({ ranges: rangesOf(map) });
      const { zones, totalFrames, freeFrames } = pmm.stats();
      expect(totalFrames).toBe(reference[name]?.usablePages);
      expect(freeFrames).toBe(totalFrames);
      const low = zones.filter((zone) => zone.name.startsWith("low"));
      expect(low.reduce((sum, zone) => sum + zone.frames, 0)).toBe(reference[name]?.usablePagesBelow16MiB);
      for (const [node, pages] of Object.entries(reference[name]?.usablePagesByNode ?? {})) {
        const ofNode = zones.filter((zone) => zone.node === Number(node));
        expect(ofNode.reduce((sum, zone) => sum + zone.frames, 0)).toBe(pages);
      }
      pmm.check();
      if (totalFrames > 2 ** 20) return;
      const seen = new Uint8Array(2 ** 21);
      let taken = 0;
      let twice = 0;
      for (;;) {
        const pfn = pmm.take({ order: 0, node: -1, colour: -1, movable: 1, borrow: true });
        if (pfn === NO_FRAME) break;
        twice += seen[pfn]!;
        seen[pfn] = 1;
        taken += 1;
      }
      expect(twice).toBe(0);
      expect(taken).toBe(totalFrames);
    });
  }
});
