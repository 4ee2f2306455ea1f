/** A swap tier that answers later, in memory: what a remote store looks like to the stack. */
import type { AsyncSwapStore, IoOutcome } from "@pagewright/vmm";

/** Makes the store, for `--swap ./late-tier.ts`. */
export default function lateTier({ slots }: { slots: number }): AsyncSwapStore {
  const pages = new Map<number, Uint8Array>();
  return {
    slots,
    depth: 8,
    writeLater: async (slot: number, from: Uint8Array): Promise<IoOutcome> => {
      const page = from.slice();
      await turn();
      pages.set(slot, page);
      return "ok";
    },
    readLater: async (slot: number, into: Uint8Array): Promise<IoOutcome> => {
      await turn();
      const page = pages.get(slot);
      if (page === undefined) return "failed";
      into.set(page);
      return "ok";
    },
    discardLater: async (slot: number): Promise<void> => {
      await turn();
      pages.delete(slot);
    },
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
