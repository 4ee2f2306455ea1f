/**
 * The event stream of a machine: faults, interrupts, writes of CR0, CR3, CR4 and EFER, invalidations of TLB and caches, and
 * power cycles, in order, for logs and debuggers. Without a listener nothing is made, and an access costs the same.
 *
 * Not in the stream: what has a port of its own. Memory errors go to the `MachineCheckHandler`, modules that come and go to the
 * `HotplugHandler`.
 */
import type { VirtAddr } from "../units.ts";

/** Something that a CPU did, as an event sink is told it. */
export type CpuEvent =
  | { readonly kind: "page-fault"; readonly va: VirtAddr; readonly error: number }
  | { readonly kind: "protection-fault"; readonly va: VirtAddr }
  | { readonly kind: "interrupt"; readonly vector: number }
  | { readonly kind: "cr3"; readonly low: number; readonly high: number }
  | { readonly kind: "cr0" | "cr4" | "efer"; readonly value: number }
  | { readonly kind: "invlpg"; readonly va: VirtAddr }
  | { readonly kind: "invpcid"; readonly type: number; readonly pcid: number; readonly va: VirtAddr }
  | { readonly kind: "wbinvd" };

/** One thing that happened, with the virtual time in ns. */
export type MachineEvent =
  | (CpuEvent & { readonly time: number; readonly cpu: number })
  | { readonly kind: "power-cycle"; readonly time: number };

/** Called for every event of a machine. */
export type EventSink = (event: MachineEvent) => void;

/** Called for every event of a CPU. */
export type CpuTrace = (event: CpuEvent) => void;
