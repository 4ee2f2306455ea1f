/**
 * `makeUsable` costs what is missing: with the range fixed it grows with the pages that have to be filled, and with nothing to fill it hardly grows with the range. Beside it the naive way, which asks for every page
 * of the range whether it is there, by an access.
 */
import { READ, USER, WRITE } from "@pagewright/vmm";

import { PAGE, bareRig, eachAlone, figure, mapped, quickest, spaceOf } from "./rig.ts";

const RANGE = 100_000;

/** Microseconds in which a range is made usable in which so many pages, evenly spread, are missing; by the manager, and by touching every page. */
function usable(pages: number, missing: number): { manager: number; naive: number } {
  const space = spaceOf(bareRig(pages + 4096));
  const at = mapped(space, { bytes: pages * PAGE });
  space.populateNow(at, pages * PAGE, WRITE);
  const step = missing === 0 ? 1 : Math.floor(pages / missing);
  const lose = (): void => {
    for (let page = 0; page < missing; page++) space.makeUnusable(at + page * step * PAGE, PAGE);
  };
  const rounds = pages > RANGE ? 5 : 20;
  const manager = quickest(rounds, lose, () => {
    if (space.makeUsable(at, pages * PAGE, READ + WRITE) !== "ok") throw new Error("not usable");
  });
  const naive = quickest(rounds, lose, () => {
    for (let page = 0; page < pages; page++) {
      const address = at + page * PAGE;
      if (space.regions.find(address / PAGE) === null) space.map({ address, bytes: PAGE, placement: "fixed-new" });
      space.fault(address, WRITE + USER);
    }
  });
  return { manager: manager / 1000, naive: naive / 1000 };
}

function row(what: string, { manager, naive }: { manager: number; naive: number }): void {
  figure("vmm usable", what, manager, "us", ["touching every page", naive]);
}

eachAlone(import.meta.url, {
  change: () => {
    usable(RANGE, 10);
    for (const missing of [0, 1, 10, 100, 1000, 10_000])
      row(`makeUsable of ${RANGE} pages, missing: ${missing}`, usable(RANGE, missing));
  },
  range: () => {
    usable(1000, 0);
    for (const pages of [1000, 10_000, 100_000, 1_000_000])
      row(`makeUsable with nothing missing, pages: ${pages}`, usable(pages, 0));
  },
});
