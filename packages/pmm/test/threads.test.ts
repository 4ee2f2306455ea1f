import { test } from "vitest";

import { stress } from "./threads.ts";

test("real threads hand frames around and die: every frame is accounted for once", async () => {
  await stress(1, 2, 150);
});
