import { describe, test } from "vitest";

import { Pmm } from "../src/index.ts";
import { framePressureSuite, frameSourceSuite, specialFramesSuite } from "../src/testing.ts";
import { NaiveSource } from "./naive-source.ts";
import { range } from "./ranges.ts";

const ranges = [range(0, 159), range(256, 9000), range(20000, 21000, { node: 1 })];
const makers = {
  Pmm: () => new Pmm({ ranges }),
  "Pmm on shared memory": () => new Pmm({ ranges, shared: true }),
  "Pmm with tables and colours": () => new Pmm({ ranges, colours: 8, tables: { owners: true, counts: true } }),
  "the naive source": () => new NaiveSource(),
};

for (const [name, make] of Object.entries(makers)) {
  describe(name, () => {
    for (const each of frameSourceSuite) test(each.name, () => each.run(make));
    for (const each of specialFramesSuite) test(each.name, () => each.run(make));
    for (const each of framePressureSuite) test(each.name, () => each.run(make));
  });
}
