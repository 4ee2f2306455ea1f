/**
 * The event stream of a machine: what happened, in order, for logs and debuggers. Without a listener nothing is made.
 */
import type { VirtAddr } from "../units.ts";

/** Something that a CPU did. */
export type CpuEvent =
  | { readonly kind: "page-fault"; readonly va: VirtAddr; readonly error: number }
  | { readonly kind: "protection-fault"; readonly va: VirtAddr }
  | { readonly kind: "interrupt"; readonly vector: number }
  | { readonly kind: "cr3"; readonly low: number; readonly high: number }
  | { readonly kind: "invlpg"; readonly va: VirtAddr };

/** One thing that happened, with the virtual time in ns. */
export type MachineEvent =
  | (CpuEvent & { readonly time: number; readonly cpu: number })
  | { readonly kind: "power-cycle"; readonly time: number };

/** Called for every event of a machine. */
export type EventSink = (event: MachineEvent) => void;

/** Called for every event of a CPU. */
export type CpuTrace = (event: CpuEvent) => void;
