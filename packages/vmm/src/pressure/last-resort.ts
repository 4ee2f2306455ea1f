/**
 * What happens when no frame can be had and nothing can leave: every space is judged, and the owner of the manager is told who should go and why.
 *
 * The manager ends no space by itself: what a space is (a process, a sandbox, a document) its owner knows.
 */
import type { Core } from "../core.ts";
import type { AddressSpace } from "../space/space.ts";
import { usageOfSpace } from "../space/report.ts";
import {
  chooseVictim,
  largestFirst,
  type OutOfMemoryCandidate,
  type OutOfMemoryChoice,
  type OutOfMemoryPolicy,
} from "./out-of-memory.ts";

/**
 * Told that memory is out: `needy` could not be given a frame, and `choice` says who should go. Sets memory free (by ending a space, say) and returns
 * true, and the access is tried again; false: it ends as `no-memory`. A space that is ended here must not be `needy` itself.
 */
export type OutOfMemoryHandler = (choice: OutOfMemoryChoice, needy: AddressSpace) => boolean;

/** Judges spaces. */
export class LastResort {
  readonly #core: Core;
  readonly #policy: OutOfMemoryPolicy;
  readonly #handler: OutOfMemoryHandler | null;
  #isAsking = false;

  /** The last resort of a core. */
  constructor(core: Core, policy: OutOfMemoryPolicy = largestFirst, handler: OutOfMemoryHandler | null = null) {
    this.#core = core;
    this.#policy = policy;
    this.#handler = handler;
  }

  /** Who would go now, and how every space is judged. O(pages that regions have). */
  choose(): OutOfMemoryChoice {
    const candidates = [...this.#core.spaces.values()].map(candidateOf);
    const { residentLimit, framePressure, swap } = this.#core;
    const frames = Math.min(residentLimit, framePressure?.totalFrames ?? residentLimit);
    const swapped = swap?.stats().reduce((sum, { slots }) => sum + slots, 0) ?? 0;
    return chooseVictim(candidates, (Number.isFinite(frames) ? frames : 0) + swapped, this.#policy);
  }

  /** A space could not be given a frame; true: some may be free now. */
  ask(needy: AddressSpace): boolean {
    if (this.#handler === null || this.#isAsking) return false;
    this.#isAsking = true;
    try {
      const freed = this.#handler(this.choose(), needy);
      if (freed) this.#core.quarantine?.drain();
      return freed;
    } finally {
      this.#isAsking = false;
    }
  }
}

function candidateOf(space: AddressSpace): OutOfMemoryCandidate {
  const usage = usageOfSpace(space);
  const isKernel = space === space.vmm.kernel;
  return {
    id: space.asid,
    name: space.name !== "" ? space.name : isKernel ? "kernel" : `space ${space.asid}`,
    residentPages: Math.round(usage.proportionalPages),
    swappedPages: usage.swappedPages,
    tablePages: space.sheets.count,
    adjustment: space.limits.outOfMemoryAdjustment,
    ...(isKernel ? { exempt: "it is the kernel" } : {}),
  };
}
