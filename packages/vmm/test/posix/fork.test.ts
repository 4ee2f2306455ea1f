/** Facts A170 to A178: clones of a space and copy-on-write. */
import { expect } from "vitest";

import { READ, WRITE } from "@pagewright/vmm";

import { P, byteOf, fact, fork, load, look, memoryOf, paint, store } from "./kit.ts";

fact("A170", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "0");
  const child = fork(space);
  const grandchild = fork(child);
  paint(child, at, "C");
  expect(look(grandchild, at, 1)).toBe("0");
  paint(grandchild, at, "G");
  expect(look(space, at, 1) + look(child, at, 1) + look(grandchild, at, 1)).toBe("0CG");
});

fact("A171", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "o");
  const child = fork(space);
  paint(space, at, "n");
  expect(look(child, at, 1) + look(space, at, 1)).toBe("on");
});

fact("A172", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "0");
  const middle = fork(space);
  paint(middle, at, "m");
  const grandchild = fork(middle);
  middle.destroy();
  expect(look(grandchild, at, 1)).toBe("m");
  paint(grandchild, at, "g");
  expect(look(space, at, 1)).toBe("0");
});

fact("A173", ({ space, map, shared }) => {
  const at = map(1, { object: shared(1), shared: true });
  const child = fork(space);
  paint(child, at, "c");
  expect(look(space, at, 1)).toBe("c");
  child.unmap(at, P);
  expect(look(child, at, 1) + look(space, at, 1)).toBe("!c");
});

fact("A174", ({ space, map, file, bytesOf }) => {
  const object = file("ab");
  const at = map(2, { object });
  paint(space, at, "x");
  const child = fork(space);
  expect(look(child, at, 2)).toBe("xb");
  paint(child, at + P, "y");
  expect(look(child, at, 2) + look(space, at, 2) + bytesOf(object)).toBe("xyxbab");
});

fact("A175", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "o");
  space.protect(at, P, READ);
  const child = fork(space);
  child.protect(at, P, READ + WRITE);
  paint(child, at, "c");
  expect(look(space, at, 1) + look(child, at, 1)).toBe("oc");
});

fact("A176", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "o");
  const child = fork(space);
  space.protect(at, P, READ);
  space.protect(at, P, READ + WRITE);
  paint(space, at, "n");
  expect(look(child, at, 1) + look(space, at, 1)).toBe("on");
});

fact("A177", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "o");
  const child = fork(space);
  space.unmap(at, P);
  expect(look(child, at, 1)).toBe("o");
});

fact("A178", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "o");
  const child = fork(space);
  expect(memoryOf(child).copyIn(at, Uint8Array.of(byteOf("n")))).toBe(1);
  expect(load(child, at)).toBe(byteOf("n"));
  expect(load(space, at)).toBe(byteOf("o"));
  expect(store(space, at + 1, 1)).toBe("ok");
  expect(load(child, at + 1)).toBe(0);
});
