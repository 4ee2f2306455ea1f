import type { Pfn } from "../units.ts";

/** Frames of a leaf: 4 MiB of physical memory. */
const LEAF = 1024;
/** Leaves of a branch: 4 GiB of physical memory. */
const BRANCH = 1024;
/** Branches that are found by number; those above (16 TiB) by a map. */
const FLAT_BRANCHES = 4096;

type Branch = (Int32Array | undefined)[];

/**
 * One 32-bit number per frame, 0 where nothing was stored, for frame numbers up to 2^40. Leaves of 1024 frames come into
 * being when one of them is stored to.
 *
 * Invariant: a leaf that exists holds exactly 1024 numbers. Look-up: three array reads below 16 TiB.
 */
export class SparseTable {
  private readonly low: (Branch | undefined)[] = [];
  private readonly high = new Map<number, Branch>();

  private branch(leaf: number): Branch | undefined {
    const branch = Math.floor(leaf / BRANCH);
    return branch < FLAT_BRANCHES ? this.low[branch] : this.high.get(branch);
  }

  /** Returns the number stored for a frame, or 0. */
  get(pfn: Pfn): number {
    const leaf = Math.floor(pfn / LEAF);
    const words = this.branch(leaf)?.[leaf & (BRANCH - 1)];
    return words === undefined ? 0 : words[pfn & (LEAF - 1)]!;
  }

  /** Stores a number for a frame. */
  set(pfn: Pfn, value: number): void {
    const leaf = Math.floor(pfn / LEAF);
    const at = Math.floor(leaf / BRANCH);
    let branch = this.branch(leaf);
    if (branch === undefined) {
      branch = new Array<Int32Array | undefined>(BRANCH).fill(undefined);
      if (at < FLAT_BRANCHES) {
        while (this.low.length <= at) this.low.push(undefined);
        this.low[at] = branch;
      } else this.high.set(at, branch);
    }
    const words = (branch[leaf & (BRANCH - 1)] ??= new Int32Array(LEAF));
    words[pfn & (LEAF - 1)] = value;
  }

  /** Forgets everything. */
  clear(): void {
    this.low.length = 0;
    this.high.clear();
  }

  /** Calls `visit` for every frame with a number other than 0; in ascending order below 16 TiB. */
  forEach(visit: (pfn: Pfn, value: number) => void): void {
    const visitBranch = (branch: Branch | undefined, at: number): void => {
      branch?.forEach((words, leaf) => {
        words?.forEach((value, frame) => {
          if (value !== 0) visit((at * BRANCH + leaf) * LEAF + frame, value);
        });
      });
    };
    this.low.forEach(visitBranch);
    for (const [at, branch] of this.high) visitBranch(branch, at);
  }
}
