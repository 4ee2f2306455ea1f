/** What compressors and replacement policies do. */
import { SeededRandom } from "../environment.ts";
import type { Compressor, ReplacementPolicy } from "../ports.ts";
import { claim, pageOf, same, sameBytes, type ConformanceCase } from "./case.ts";

function pages(): Uint8Array[] {
  const random = new SeededRandom(5);
  const noise = Uint8Array.from({ length: 4096 }, () => random.uint32() & 255);
  const text = new TextEncoder().encode("the quick brown fox jumps over the lazy dog ".repeat(94)).slice(0, 4096);
  const words = new Uint8Array(Uint32Array.from({ length: 1024 }, (_, at) => 0x7f000000 + at * 16).buffer);
  const sparse = pageOf(0);
  for (let at = 0; at < 4096; at += 97) sparse[at] = at & 255;
  return [pageOf(0), pageOf(255), text, words, sparse, noise];
}

/** Claims about a `Compressor`. */
export const compressorSuite: readonly ConformanceCase<Compressor>[] = [
  {
    name: "every page that fits comes back as it was, and nothing is written behind it",
    run(make): void {
      const compressor = make();
      for (const [at, page] of pages().entries())
        for (const room of [64, 1024, 4096, 8192]) {
          const to = new Uint8Array(room + 16).fill(0xee);
          const length = compressor.compress(page, to.subarray(0, room));
          claim(length === -1 || (length > 0 && length <= room), `page ${at} takes no more than there is`);
          claim(
            to.subarray(room).every((byte) => byte === 0xee),
            "nothing is written behind the room",
          );
          if (length === -1) continue;
          const back = pageOf(1);
          claim(compressor.expand(to, length, back), `page ${at} can be expanded`);
          sameBytes(back, page, `page ${at} in ${room} bytes`);
        }
    },
  },
  {
    name: "a page of one byte becomes small",
    run(make): void {
      const length = make().compress(pageOf(0), new Uint8Array(4096));
      claim(length > 0 && length < 1024, "zeroes take less than a quarter");
    },
  },
  {
    name: "damaged bytes never write outside the page, and may be refused",
    run(make): void {
      const compressor = make();
      const random = new SeededRandom(11);
      const to = new Uint8Array(8192);
      const length = compressor.compress(pages()[2] ?? pageOf(0), to);
      claim(length > 0, "text can be compressed");
      const around = new Uint8Array(4096 + 128).fill(0xaa);
      for (let round = 0; round < 300; round++) {
        const damaged = to.slice();
        damaged[random.uint32() % length] = random.uint32() & 255;
        compressor.expand(damaged, length - (random.uint32() % 3), around.subarray(64, 64 + 4096));
        claim(
          around.subarray(0, 64).every((byte) => byte === 0xaa)
            && around.subarray(64 + 4096).every((byte) => byte === 0xaa),
          "nothing is written outside the page",
        );
      }
    },
  },
];

/** Frames that a policy of the suite has. */
export const POLICY_FRAMES = 8;
/** Pages that a policy of the suite knows. */
export const POLICY_SLOTS = 64;

/** Claims about a `ReplacementPolicy` of {@link POLICY_FRAMES} frames and {@link POLICY_SLOTS} slots. */
export const replacementPolicySuite: readonly ConformanceCase<ReplacementPolicy>[] = [
  {
    name: "an empty policy has no victim",
    run(make): void {
      const policy = make();
      same([policy.victim(), policy.evict()], [-1, -1], "victims");
      policy.check();
    },
  },
  {
    name: "what is evicted was resident, and is so no more",
    run(make): void {
      const policy = make();
      const random = new SeededRandom(3);
      const resident = new Set<number>();
      for (let step = 0; step < 5000; step++) {
        const slot = random.uint32() % POLICY_SLOTS;
        if (resident.has(slot)) {
          if (random.uint32() % 16 === 0) {
            policy.remove(slot);
            resident.delete(slot);
          } else policy.accessed(slot);
        } else {
          if (resident.size === POLICY_FRAMES) claim(resident.delete(policy.evict()), "a resident page leaves");
          policy.insert(slot);
          resident.add(slot);
        }
        if (step % 500 === 0) policy.check();
      }
      while (resident.size > 0) claim(resident.delete(policy.evict()), "every resident page leaves once");
      same(policy.evict(), -1, "the last victim");
      policy.check();
    },
  },
  {
    name: "evict after victim takes that page",
    run(make): void {
      const policy = make();
      for (let slot = 0; slot < POLICY_FRAMES; slot++) policy.insert(slot);
      for (let left = POLICY_FRAMES; left > 0; left--) {
        const victim = policy.victim();
        same(policy.evict(), victim, "the victim");
      }
    },
  },
  {
    name: "a grown policy knows the new pages",
    run(make): void {
      const policy = make();
      policy.grow(4 * POLICY_SLOTS);
      policy.insert(3 * POLICY_SLOTS);
      same(policy.evict(), 3 * POLICY_SLOTS, "the only page");
      policy.check();
    },
  },
];
