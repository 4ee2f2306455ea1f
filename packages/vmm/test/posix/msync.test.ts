/** Facts A084 to A090: writing mapped files back. */
import { expect } from "vitest";

import { P, fact, look, paint, throwsCode } from "./kit.ts";

fact("A086", ({ space, map, file }) => {
  const at = map(1, { object: file("a"), shared: true });
  expect(space.sync(at, 0)).toBe("ok");
  expect(space.sync(2 ** 40, 0)).toBe("ok");
});

fact("A085", ({ space, map, file }) => {
  const at = map(1, { object: file("a"), shared: true });
  throwsCode("unaligned", () => space.sync(at + 1, P));
  throwsCode("unaligned", () => space.sync(at + 1, 0));
});

fact("A087", ({ space }) => {
  expect(space.sync(2 ** 40, P)).toBe("unmapped");
});

fact("A090", ({ space, map, file, bytesOf }) => {
  const object = file("a");
  const at = map(1, { object });
  paint(space, at, "z");
  expect(space.sync(at, P)).toBe("ok");
  expect(bytesOf(object)).toBe("a");
  expect(look(space, at, 1)).toBe("z");
});
