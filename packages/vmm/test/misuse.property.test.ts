/** Calls with numbers that mean nothing, or nearly nothing: each is refused by a value or a `VmmError`, never by anything else, and the manager holds together. */
import { expect, test } from "vitest";

import { MemoryBacking, PAGE_2M, PAGE_SIZE, SeededRandom, VmmError, type AddressSpace } from "@pagewright/vmm";

import { rigOf, spaceOf } from "./kit/rig.ts";

const ADVICE = [
  "normal",
  "will-need",
  "dont-need",
  "free",
  "cold",
  "page-out",
  "remove",
  "large",
  "guard",
  "no-guard",
] as const;

class Mischief {
  readonly #random: SeededRandom;
  readonly #rig: ReturnType<typeof rigOf> = rigOf({ commit: "strict", commitLimit: 4096 });
  readonly #spaces: AddressSpace[];
  readonly #objects;
  readonly outcomes: Map<string, number> = new Map();

  constructor(seed: number) {
    const { vmm } = this.#rig;
    this.#random = new SeededRandom(seed);
    this.#spaces = [spaceOf(vmm), spaceOf(vmm)];
    if (vmm.kernel !== null) this.#spaces.push(vmm.kernel);
    this.#objects = [
      vmm.createAnonymous(5 * PAGE_SIZE + 1, true),
      vmm.openFile(new MemoryBacking(3 * PAGE_SIZE + 5)),
      vmm.openDevice(2 ** 20, 4),
    ];
  }

  below(bound: number): number {
    return this.#random.uint32() % bound;
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new Error("nothing to pick");
    return picked;
  }

  /** A number near something that matters, or none at all. */
  number(space: AddressSpace): number {
    const known = space.regions.within(space.low, space.high);
    const page = known.length === 0 ? space.low : this.pick(known.flatMap(({ start, end }) => [start, end - 1, end]));
    const edge = this.pick([page, space.low, space.high, 0, 1, 512, 2 ** 40]) * PAGE_SIZE;
    const kind = this.below(12);
    if (kind === 0) return this.pick([NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 53), 1e300, 0.5, -0]);
    if (kind === 1) return edge + this.pick([1, -1, 0.5, 511]);
    return edge + this.pick([0, 0, PAGE_SIZE, -PAGE_SIZE, PAGE_2M]);
  }

  length(): number {
    const kind = this.below(10);
    if (kind === 0) return this.pick([NaN, Infinity, -1, -PAGE_SIZE, 2 ** 53, 0.5, 1e300]);
    return kind === 1 ? this.pick([2 ** 47, 2 ** 52, 2 ** 40]) : this.below(9) * PAGE_SIZE + this.pick([0, 0, 1]);
  }

  call(): unknown {
    const space = this.pick(this.#spaces);
    const other = this.pick(this.#spaces);
    const object = this.pick(this.#objects);
    const [address, target, bytes] = [this.number(space), this.number(other), this.length()];
    const { vmm } = this.#rig;
    switch (this.below(20)) {
      case 0:
      case 1:
        return space.map({
          bytes,
          ...(this.below(2) === 0 ? { object, offset: this.below(4) === 0 ? this.number(space) : 0 } : {}),
          ...(this.below(2) === 0 ? { shared: this.below(2) === 0 } : {}),
          ...(this.below(2) === 0 ? { address, placement: this.pick(["near", "fixed", "fixed-new"] as const) } : {}),
          ...(this.below(4) === 0 ? { guardPages: this.below(600) } : {}),
          ...(this.below(8) === 0 ? { growsDown: true } : {}),
        });
      case 2:
        return space.unmap(address, bytes);
      case 3:
        return space.protect(address, bytes, this.pick([0, 1, 3, 7, 8, 64, -1, NaN]));
      case 4:
      case 5:
        return space.remap({
          address,
          bytes,
          newBytes: this.length(),
          ...(this.below(2) === 0 ? { mayMove: true } : {}),
          ...(this.below(3) === 0 ? { target, mayMove: true } : {}),
        });
      case 6:
        return space.advise(address, bytes, this.pick(ADVICE));
      case 7:
        return space.discard(address, bytes);
      case 8:
        return space.lock(address, Math.min(bytes, 2 ** 20), this.pick(["all", "touched"] as const));
      case 9:
        return space.unlock(address, bytes);
      case 10:
        return space.sync(address, bytes);
      case 11:
        return space.residency(address, bytes, new Uint8Array(16));
      case 12:
        return space.setMemoryType(address, Math.min(bytes, 2 ** 20), this.pick([0, 1, 3]));
      case 13:
        return this.below(8) === 0
          ? space.seal(address, Math.min(bytes, PAGE_SIZE))
          : space.fault(address, this.below(64));
      case 14:
        return space.transfer(address, bytes, other, target);
      case 15:
        return space.share(address, bytes, other, target);
      case 16: {
        const transfer = vmm.beginTransfer(space, address, Math.min(bytes, 2 ** 20), "from-device");
        if (typeof transfer !== "string") transfer.complete();
        return transfer;
      }
      case 17:
        return object.kind === "device" ? object.punch() : object.read(address, new Uint8Array(8));
      case 18:
        return object.kind === "device" ? object.write(address, new Uint8Array(8)) : object.punch(address, bytes);
      default:
        return object.kind === "device" ? "ok" : object.resize(this.below(3) === 0 ? bytes : this.below(6 * PAGE_SIZE));
    }
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      let outcome: unknown;
      try {
        outcome = this.call();
      } catch (error) {
        if (!(error instanceof VmmError)) throw error;
        expect(["unaligned", "out-of-range", "bad-argument"]).toContain(error.code);
        outcome = error.code;
      }
      const name = typeof outcome === "string" ? outcome : typeof outcome;
      this.outcomes.set(name, (this.outcomes.get(name) ?? 0) + 1);
      if (step % 25 === 0) this.#rig.vmm.check();
    }
    this.#rig.vmm.check();
  }
}

test.each([1, 2, 3, 4, 5, 6])("seed %i", (seed) => {
  const mischief = new Mischief(seed);
  mischief.run(1500);
  expect(mischief.outcomes.size).toBeGreaterThan(12);
});
