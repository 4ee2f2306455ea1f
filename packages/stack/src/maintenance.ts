/**
 * What an operating system does for its memory while programs run: frames that fail leave, modules go and come, ranks sleep, and a balloon gives memory to a
 * hypervisor. pmm says which frames have to be empty, vmm moves the pages, and the machine does the rest.
 */
import type {
  Balloon as HypervisorBalloon,
  Dimm,
  HotplugHandler,
  MachineCheck,
  MachineCheckHandler,
} from "@pagewright/machine";
import type { EvacuationRefusal, EvacuationStart, FrameSpan, Quarantine } from "@pagewright/pmm";
import type { Pfn, StuckFrame } from "@pagewright/vmm";
import type { Stack } from "./stack.ts";

const FRAME_BYTES = 4096;

/** What became of frames that were to be emptied. */
export interface Emptied {
  /** Whether all of them are empty, and out of use where that was asked for. */
  readonly ok: boolean;
  /** Pages that were moved. */
  readonly moved: number;
  /** Frames that stay where they are, and why; then nothing is out of use. */
  readonly stuck: readonly StuckFrame[];
}

/** Takes a frame out of use for good: its page moves to another one. `ok: false`: it is no page (a table, a buffer) or pinned, and retires when it is given back. */
export function retireFrame(stack: Stack, pfn: Pfn): Emptied {
  const retirement = stack.pmm.retire(pfn);
  if (retirement.retired) return { ok: true, moved: 0, stuck: [] };
  const outcome = stack.vmm.migrator.vacate(pfn);
  if (typeof outcome === "number") return { ok: true, moved: 1, stuck: [] };
  return { ok: false, moved: 0, stuck: [{ pfn, reason: outcome }] };
}

/** Takes a range of frames out of use, all or nothing: the first step of removing a module. */
export function takeOffline(stack: Stack, span: FrameSpan): Emptied {
  return empty(stack, stack.pmm.offline(span));
}

/** Empties a rank, so that it can sleep until frames of it are needed again. All or nothing. */
export function emptyRank(stack: Stack, rank: number): Emptied {
  return empty(stack, stack.pmm.emptyRank(rank));
}

function empty({ vmm }: Stack, start: EvacuationStart | EvacuationRefusal): Emptied {
  if (!start.ok) return { ok: false, moved: 0, stuck: start.fixed.map((pfn) => ({ pfn, reason: "not-a-page" })) };
  vmm.core.keeper.emptyStock();
  return vmm.migrator.evacuate(start.plan);
}

/**
 * Answers memory errors: a frame with too many corrected ones retires, what cannot be corrected costs the page its content, unless there is a copy. Errors come in the
 * middle of accesses, the kernel's own among them, so they are only noted then; {@link settle} moves pages when nothing is under way. In between, a page whose bytes could not be
 * corrected stays where it is, is written nowhere and copied nowhere, and its frame goes to nobody else.
 */
export class ErrorResponse implements MachineCheckHandler {
  /** Pages whose content was lost. */
  lost = 0;
  /** Pages that were moved or will be read again. */
  saved = 0;
  readonly #stack: Stack;
  readonly #quarantine: Quarantine;
  /** Frames that wait, and whether their bytes can still be read. */
  readonly #waiting: Map<Pfn, boolean> = new Map();

  /** Answers for a stack; the quarantine counts corrected errors. */
  constructor(stack: Stack, quarantine: Quarantine) {
    this.#stack = stack;
    this.#quarantine = quarantine;
  }

  /** See MachineCheckHandler of the machine. */
  machineCheck({ address, corrected }: MachineCheck): void {
    const pfn = Math.floor(address / FRAME_BYTES);
    if (!corrected) {
      this.#stack.pmm.retire(pfn);
      this.#stack.vmm.migrator.suspect(pfn);
      this.#waiting.set(pfn, false);
    } else if (this.#quarantine.corrected(pfn)?.retired === false && !this.#waiting.has(pfn))
      this.#waiting.set(pfn, true);
  }

  /** Does what has to be done about the errors so far; returns how many frames were dealt with. Frames that a device uses wait for the next time. */
  settle(): number {
    const { vmm } = this.#stack;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    let dealt = 0;
    for (const [pfn, isReadable] of waiting) {
      const outcome = isReadable ? vmm.migrator.vacate(pfn) : vmm.migrator.discard(pfn);
      if (outcome === "pinned" && !isReadable) {
        this.#waiting.set(pfn, false);
        continue;
      }
      dealt++;
      if (outcome === "lost") this.lost++;
      else if (outcome === "recovered" || typeof outcome === "number") this.saved++;
    }
    return dealt;
  }
}

/** Memory modules: inserted ones are used, those to be removed are emptied first. */
export class ModuleHandler implements HotplugHandler {
  readonly #stack: Stack;
  /** Why the last removal was refused. */
  stuck: readonly StuckFrame[] = [];

  /** Handles the modules of a stack's machine. */
  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** See HotplugHandler of the machine. */
  inserted({ start, end, node }: Dimm): void {
    const range = { start: start / FRAME_BYTES, end: end / FRAME_BYTES };
    this.#stack.manage({ ...range, node, rank: 0, hotPluggable: true, faulty: [] });
  }

  /** See HotplugHandler of the machine. */
  mayRemove({ start, end }: Dimm): boolean {
    const outcome = takeOffline(this.#stack, { start: start / FRAME_BYTES, end: end / FRAME_BYTES });
    this.stuck = outcome.stuck;
    return outcome.ok;
  }

  /** See HotplugHandler of the machine: what was in the module is lost, unless there is a copy. */
  lost({ start, end }: Dimm): void {
    const { pmm, vmm } = this.#stack;
    for (let pfn = start / FRAME_BYTES; pfn < end / FRAME_BYTES; pfn++) {
      pmm.retire(pfn);
      vmm.migrator.discard(pfn);
    }
  }
}

/** A program's side of a hypervisor's balloon: frames that the stack can do without. */
export class BalloonDriver {
  readonly #stack: Stack;
  readonly #balloon: HypervisorBalloon;
  readonly #held: Pfn[] = [];

  /** A driver between a stack and the hypervisor's balloon. */
  constructor(stack: Stack, balloon: HypervisorBalloon) {
    this.#stack = stack;
    this.#balloon = balloon;
  }

  /** The frames that are in the balloon. */
  get frames(): readonly Pfn[] {
    return this.#held;
  }

  /** Comes as near to so many frames as it can, pages leaving for it where no frame is free; returns how many there are. */
  resize(target: number): number {
    const { vmm } = this.#stack;
    const { frames } = vmm.core;
    while (this.#held.length < target) {
      let pfn = frames.take();
      if (pfn < 0 && vmm.reclaim(1) === 1) pfn = frames.take();
      if (pfn < 0) break;
      this.#balloon.inflate([pfn]);
      this.#stack.lent.add(pfn);
      this.#held.push(pfn);
    }
    while (this.#held.length > target) {
      const pfn = this.#held.pop();
      if (pfn === undefined) break;
      this.#balloon.deflate([pfn]);
      this.#stack.lent.delete(pfn);
      frames.give(pfn);
    }
    return this.#held.length;
  }
}
