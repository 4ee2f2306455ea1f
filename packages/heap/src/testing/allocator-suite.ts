import { NO_ADDRESS } from "../allocator.ts";
import type { Allocator } from "../allocator.ts";
import { allocateMany, allocateZeroed, freeMany } from "../operations.ts";
import type { BlockMemory } from "../ports.ts";
import { claim, seeded, throwsCode } from "./case.ts";
import type { ConformanceCase } from "./case.ts";

/** An allocator over little memory (64 KiB to 4 MiB), and what it claims to be. */
export interface AllocatorFixture {
  readonly allocator: Allocator;
  /** The bytes of its blocks, or null. */
  readonly memory: BlockMemory | null;
  /** The largest block that it is meant for; of an empty heap one of this size can be had. */
  readonly largest: number;
  /** The largest alignment that it is meant for. */
  readonly alignment: number;
  /** How many blocks a full one may hold more or fewer from one time to the next, as chance has it: those that sampling guards have in slots of their own; 0 by default. */
  readonly byChance?: number;
  /** False where it keeps no record of blocks (a bump arena): then misuse, walk and reuse are not asked for. */
  readonly records: boolean;
}

interface Live {
  readonly address: number;
  readonly size: number;
  readonly stamp: number;
}

/** Fills the first `size` bytes of a block with its stamp. */
function fill(memory: BlockMemory | null, { address, size, stamp }: Live): void {
  memory?.fill(address, size, stamp & 255);
}

/** Whether the first `size` bytes of a block, as far as whole words go, are its stamp. */
function isIntact(memory: BlockMemory | null, { address, size, stamp }: Live): boolean {
  if (memory === null || address % 4 !== 0) return true;
  const word = Math.imul(stamp & 255, 0x01010101);
  for (let at = 0; at + 4 <= size; at += 4) if (memory.load32(address + at) !== word) return false;
  return true;
}

/**
 * Uses an allocator at random beside a plain list of blocks: they do not overlap, are aligned, keep their bytes, and `check()` holds after every step. Then frees all, and
 * allocates everything.
 *
 * @param seed what happens depends on it alone.
 */
export function useAtRandom(fixture: AllocatorFixture, seed: number, steps: number): void {
  const { allocator, memory, largest, records } = fixture;
  const random = seeded(seed);
  const blocks: Live[] = [];
  const sizes = [0, 1, 7, 8, 9, 24, 60, 100, 128, 250, 511, 700, 1024, 1500, 4096, 9000].filter(
    (size) => size <= largest,
  );
  for (let step = 0; step < steps; step++) {
    const choice = random();
    const at = Math.floor(random() * blocks.length);
    const block = blocks[at];
    const size = sizes[Math.floor(random() * sizes.length)] ?? 0;
    if (choice < 0.55 || block === undefined) {
      const alignment = choice < 0.45 ? 0 : Math.min(2 ** Math.floor(random() * 9), fixture.alignment);
      const address =
        choice < 0.1 && memory !== null
          ? allocateZeroed(allocator, memory, size, alignment)
          : allocator.allocate(size, alignment);
      if (address !== NO_ADDRESS) {
        const made = { address, size, stamp: step };
        claim(
          alignment === 0 || address % alignment === 0,
          `${String(seed)}/${String(step)}: a block is aligned as asked`,
        );
        claim(
          choice >= 0.1 || isIntact(memory, { address, size, stamp: 0 }),
          `${String(seed)}/${String(step)}: a zeroed block reads as zero`,
        );
        for (const other of blocks)
          claim(
            address + Math.max(size, 1) <= other.address || address >= other.address + Math.max(other.size, 1),
            `${String(seed)}/${String(step)}: block ${String(address)} overlaps ${String(other.address)}`,
          );
        claim(!records || allocator.usableSize(address) >= size, "a block holds what was asked for");
        fill(memory, made);
        blocks.push(made);
      }
    } else {
      claim(isIntact(memory, block), `${String(seed)}/${String(step)}: block ${String(block.address)} kept its bytes`);
      if (choice < 0.75 && memory !== null) {
        const address = allocator.resize(block.address, size);
        if (address !== NO_ADDRESS) {
          const made = { address, size: Math.min(size, block.size), stamp: block.stamp };
          claim(isIntact(memory, made), `${String(seed)}/${String(step)}: resizing keeps the bytes`);
          blocks[at] = { address, size, stamp: step };
          fill(memory, { address, size, stamp: step });
        }
      } else {
        allocator.free(block.address);
        blocks[at] = blocks[blocks.length - 1] ?? block;
        blocks.length--;
      }
    }
    allocator.check();
  }
  if (!records) return;
  const seen = new Set<number>();
  allocator.walk((address, bytes) => {
    claim(bytes >= 0 && !seen.has(address), "walk visits a block once");
    seen.add(address);
  });
  claim(
    seen.size === blocks.length && blocks.every(({ address }) => seen.has(address)),
    "walk visits exactly the live blocks",
  );
  const usable = blocks.reduce((sum, { address }) => sum + allocator.usableSize(address), 0);
  const stats = allocator.stats();
  claim(stats.liveBlocks === blocks.length, "stats count the live blocks");
  claim(stats.liveBytes === usable, "stats count what the live blocks can hold");
  claim(stats.reservedBytes >= usable, "live blocks lie in what was reserved");
  for (const block of blocks) {
    claim(isIntact(memory, block), "every block kept its bytes to the end");
    allocator.free(block.address);
  }
  allocator.check();
  allocateEverything(fixture);
}

/** Nothing leaked and everything has merged: the largest block can be had, and the memory filled with small ones twice alike. */
function allocateEverything({ allocator, largest, byChance = 0 }: AllocatorFixture): void {
  claim(allocator.stats().liveBlocks === 0, "nothing is live");
  const one = allocator.allocate(largest);
  claim(one !== NO_ADDRESS, `a block of ${String(largest)} can be had of an empty heap`);
  allocator.free(one);
  const size = Math.min(largest, 48);
  const counts = [0, 1].map(() => {
    const into = new Float64Array(100_000);
    const count = allocateMany(allocator, into, into.length, size);
    allocator.check();
    freeMany(allocator, into, count);
    return count;
  });
  // What was held back for speed may have stood in the way the first time.
  claim(
    (counts[0] ?? 0) > 0 && (counts[1] ?? 0) >= (counts[0] ?? 0) - byChance,
    "a heap that was filled and emptied can be filled again",
  );
}

/** Claims about any {@link Allocator}. */
export const allocatorSuite: readonly ConformanceCase<AllocatorFixture>[] = [
  {
    name: "blocks do not overlap, are aligned, keep their bytes, and the invariants hold after every step",
    run(make): void {
      for (let seed = 1; seed <= 2; seed++) useAtRandom(make(), seed, 300);
    },
  },
  {
    name: "exhaustion is a value, and everything freed can be had again",
    run(make): void {
      const fixture = make();
      const { allocator, largest, records } = fixture;
      const size = Math.min(largest, 100);
      const first: number[] = [];
      for (let address = allocator.allocate(size); address !== NO_ADDRESS; address = allocator.allocate(size))
        first.push(address);
      claim(first.length > 0 && allocator.allocate(size) === NO_ADDRESS, "a full heap says so, again and again");
      allocator.check();
      if (!records) return;
      for (let at = 0; at < first.length; at += 2) allocator.free(first[at] ?? 0);
      let again = 0;
      while (allocator.allocate(size) !== NO_ADDRESS) again++;
      claim(again >= Math.ceil(first.length / 2), "every block that was freed can be had again");
      allocator.reset();
      allocator.check();
      allocateEverything(fixture);
    },
  },
  {
    name: "zero, odd and huge sizes are defined",
    run(make): void {
      const { allocator, largest } = make();
      const zero = allocator.allocate(0);
      claim(zero !== NO_ADDRESS && allocator.allocate(0) !== zero, "blocks of no bytes have addresses of their own");
      for (const size of [2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER])
        claim(allocator.allocate(size) === NO_ADDRESS, `${String(size)} bytes are not there`);
      for (const size of [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 31 + 0.5])
        claim(
          throwsCode(() => void allocator.allocate(size), ["bad-size"])
            || (size === Infinity && allocator.allocate(size) === NO_ADDRESS),
          `a size of ${String(size)} is refused`,
        );
      for (const alignment of [-8, 3, 12, 0.5, NaN, 2 ** 31, -(2 ** 31), 2 ** 32])
        claim(
          throwsCode(() => void allocator.allocate(8, alignment), ["bad-alignment"]),
          `an alignment of ${String(alignment)} is refused`,
        );
      claim(allocator.allocate(Math.min(3, largest)) !== NO_ADDRESS, "odd sizes are served");
      allocator.check();
    },
  },
  {
    name: "every alignment up to the largest is served",
    run(make): void {
      const { allocator, alignment } = make();
      for (let asked = 1; asked <= alignment; asked *= 2) {
        const address = allocator.allocate(8, asked);
        claim(
          address !== NO_ADDRESS && address / asked === Math.floor(address / asked),
          `a block is aligned to ${String(asked)}`,
        );
      }
      claim(
        allocator.allocate(8, 2 ** 30) % 2 ** 30 === 0 || allocator.allocate(8, 2 ** 30) === NO_ADDRESS,
        "1G is served or not there",
      );
      allocator.check();
    },
  },
  {
    name: "a block that is resized moves to the alignment asked for, or stays where it is",
    run(make): void {
      const { allocator, memory, largest, alignment } = make();
      const sizes = [8, 40, 200, 1000, 3000].filter((size) => size <= largest);
      for (let asked = 1; asked <= alignment; asked *= 2)
        for (const size of sizes)
          for (const wanted of sizes) {
            const address = allocator.allocate(size);
            memory?.fill(address, size, 0x5a);
            const to = allocator.resize(address, wanted, asked);
            if (to === NO_ADDRESS) {
              claim(memory === null || wanted > largest / 2, "a block that can be moved is resized");
              continue;
            }
            claim(
              to === address || to / asked === Math.floor(to / asked),
              `a moved block is aligned to ${String(asked)}`,
            );
            claim(
              isIntact(memory, { address: to, size: Math.min(size, wanted), stamp: 0x5a }),
              "a block that has moved keeps its bytes",
            );
            allocator.free(to);
          }
      const block = allocator.allocate(8);
      claim(
        throwsCode(() => void allocator.resize(block, Math.min(largest, 3000), 3), ["bad-alignment"]),
        "an alignment of 3 is refused",
      );
      allocator.check();
    },
  },
  {
    name: "double and wild frees are refused and change nothing",
    run(make): void {
      const { allocator, memory, largest, records } = make();
      if (!records) return;
      const size = Math.min(largest, 64);
      const blocks = Array.from({ length: 20 }, () => allocator.allocate(size));
      for (const block of blocks) memory?.fill(block, size, 0xff);
      const twice = blocks[7] ?? 0;
      allocator.free(twice);
      const misuse = ["double-free", "wild-free"];
      claim(
        throwsCode(() => allocator.free(twice), misuse),
        "a double free is refused",
      );
      claim(
        throwsCode(() => void allocator.usableSize(twice), misuse),
        "a freed block has no size",
      );
      claim(
        throwsCode(() => void allocator.resize(twice, 8), misuse),
        "a freed block is not resized",
      );
      const inside = (blocks[3] ?? 0) + 8;
      for (const wild of [
        inside,
        (blocks[4] ?? 0) + 1,
        (blocks[4] ?? 0) + 0.5,
        -1,
        -8,
        2 ** 31,
        2 ** 33 + (blocks[4] ?? 0),
        2 ** 50,
        NaN,
        Infinity,
      ])
        claim(
          throwsCode(() => allocator.free(wild), misuse),
          `a free of ${String(wild)} is refused`,
        );
      claim(
        !allocator.owns(twice) && !allocator.owns(inside) && allocator.owns(blocks[3] ?? 0),
        "owns tells blocks from other addresses",
      );
      allocator.check();
      claim(allocator.stats().liveBlocks === 19, "a refused free changes nothing");
      for (const block of blocks) if (block !== twice) allocator.free(block);
      for (const block of blocks)
        claim(
          throwsCode(() => allocator.free(block), misuse),
          "after all are freed none can be freed again",
        );
      allocator.check();
    },
  },
  {
    name: "reset ends all lives at once, destroy also all use",
    run(make): void {
      const { allocator, largest, records } = make();
      const size = Math.min(largest, 200);
      for (let at = 0; at < 50; at++) allocator.allocate(size);
      allocator.reset();
      allocator.check();
      claim(allocator.stats().liveBlocks === 0, "nothing is live after reset");
      const address = allocator.allocate(size);
      claim(address !== NO_ADDRESS && (!records || allocator.owns(address)), "a heap lives on after reset");
      allocator.destroy();
      claim(
        throwsCode(() => void allocator.allocate(size), ["destroyed"]),
        "a destroyed heap refuses use",
      );
      // Anything else finds no live block, or says that the heap is destroyed.
      for (const use of [
        (): boolean => (allocator.destroy(), true),
        (): boolean => (allocator.check(), true),
        (): boolean => !allocator.owns(address),
        (): boolean => allocator.stats().liveBlocks === 0,
      ]) {
        let isEmpty = true;
        const isRefused = throwsCode(() => void (isEmpty = use()), ["destroyed"]);
        claim(isRefused || isEmpty, "nothing is live in a destroyed heap");
      }
      claim(
        !records || throwsCode(() => allocator.free(address), ["double-free", "wild-free", "destroyed"]),
        "a block of a destroyed heap cannot be freed",
      );
    },
  },
];
