/** Facts B056 to B062 and B080 to B082: shared memory, pagers, errors of files. */
import { expect } from "vitest";

import { MemoryBacking, READ, type IoOutcome, type Pager } from "@pagewright/vmm";

import { P, byteOf, fact, load, look, paint, poke, readText, store } from "./kit.ts";

const ROOM = 2 ** 36;

fact("B056", ({ vmm, space, map }) => {
  const object = vmm.createAnonymous(2 * P, true);
  const at = map(2, { object, shared: true });
  space.unmap(at, P);
  expect(object.addSeals(["write"])).toBe("busy");
  space.remap({ address: at + P, bytes: P, newBytes: P, mayMove: true, target: ROOM });
  expect(object.addSeals(["write"])).toBe("busy");
  space.unmap(ROOM, P);
  expect(object.addSeals(["write"])).toBe("ok");
});

fact("B057", ({ shared }) => {
  const object = shared(1);
  poke(object, 0, "a");
  expect([object.punch(2 * P, 3 * P), object.size, readText(object, 0, 1)]).toEqual(["ok", P, "a"]);
});

fact("B058", ({ space, map, shared }) => {
  const object = shared(1);
  const at = map(2, { object, shared: true });
  expect([store(space, at + P, 1), object.size]).toEqual(["bus", P]);
});

fact("B059", ({ vmm, space, map }) => {
  const object = vmm.createAnonymous(P, true);
  poke(object, 0, "a");
  object.addSeals(["grow"]);
  expect(look(space, map(2, { object, shared: true }), 2)).toBe("a#");
});

fact("B060", ({ vmm, space, map }) => {
  const object = vmm.createAnonymous(P, true);
  poke(object, 0, "a");
  const at = map(1, { object });
  expect(object.addSeals(["write"])).toBe("ok");
  paint(space, at, "z");
  expect([look(space, at, 1), readText(object, 0, 1)]).toEqual(["z", "a"]);
});

fact("B061", ({ space, map, shared }) => {
  const object = shared(0);
  const at = map(1, { object, shared: true });
  expect(load(space, at)).toBe("bus");
  object.resize(1);
  expect(load(space, at)).toBe(0);
});

fact("B062", ({ space, map, shared }) => {
  const [one, two] = [map(1, { object: shared(1), shared: true }), map(1, { object: shared(1), shared: true })];
  paint(space, one, "x");
  expect([look(space, one, 1), look(space, two, 1)]).toEqual(["x", "."]);
});

/** A pager that fills every page with a letter, and counts how often it is asked. */
class Letters implements Pager {
  asked = 0;
  request(_index: number, into: Uint8Array): "filled" {
    this.asked++;
    into.fill(byteOf("l"));
    return "filled";
  }
}

fact("B080", ({ vmm, space, map }) => {
  const object = vmm.createPaged(2 * P, new Letters());
  const at = map(2, { object, shared: true });
  expect(look(space, at, 2)).toBe("ll");
  object.poison(1);
  expect([look(space, at, 2), store(space, at + P, 1)]).toEqual(["l#", "bus"]);
});

fact("B081", ({ vmm, space, map }) => {
  const pager = new Letters();
  const object = vmm.createPaged(P, pager);
  const at = map(1, { object, shared: true });
  expect(look(space, at, 1)).toBe("l");
  paint(space, at, "x");
  object.punch(0, P);
  expect([look(space, at, 1), pager.asked]).toEqual(["l", 2]);
});

/** A file whose next writes fail. */
class Failing extends MemoryBacking {
  failures = 0;
  override write(offset: number, from: Uint8Array): IoOutcome {
    return this.failures-- > 0 ? "failed" : super.write(offset, from);
  }
}

fact("B082", ({ vmm, space, map }) => {
  const backing = new Failing(P);
  const object = vmm.openFile(backing);
  const at = map(1, { object, shared: true });
  const [one, two] = [object.cursor(), object.cursor()];
  paint(space, at, "x");
  backing.failures = 1;
  expect([object.sync(one), object.sync(one)]).toEqual(["failed", "ok"]);
  expect([object.sync(two), object.sync(two)]).toEqual(["failed", "ok"]);
  expect([space.sync(at, P), backing.bytes[0]]).toEqual(["failed", byteOf("x")]);
  expect(space.sync(at, P)).toBe("ok");
  expect(look(space, map(1, { object, rights: READ }), 1)).toBe("x");
});
