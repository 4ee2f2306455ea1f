/**
 * Snapshots of a whole machine: the state of each of its parts as plain data, which structured clone takes. A snapshot may be
 * restored on the machine that it was taken from, or on another one made in the same way, in another process too.
 *
 * Kept: the map; the bytes of every touched frame; of every CPU registers, TLB, paging-structure caches and
 * write-combining buffers; MTRRs and PATs; pending interrupts; times, chance and figures; the last-level cache; every part
 * that was attached ({@link Machine.attach}).
 *
 * Not kept: wiring (who handles faults, interrupts, events), and what runs on the host's stack. A generator's position cannot
 * be copied: while a task that is no part of the machine has not ended, a snapshot is refused; see `Stepper` for how one
 * steps backwards all the same.
 */
import { MachineError } from "../errors.ts";
import type { Machine } from "../machine.ts";

/** The state of a machine at one moment, as plain data. Treat it as opaque and do not write to it. */
export interface MachineSnapshot {
  /** What the machine is built like; only one that is built alike can take the snapshot. */
  readonly shape: string;
  /** States by the name of the part, in the order in which they are restored. */
  readonly parts: ReadonlyMap<string, unknown>;
}

function shapeOf(machine: Machine): string {
  const { cache, cpus } = machine;
  const tlb = cpus.map((cpu) => cpu.mmu.tlb.geometry);
  return JSON.stringify([tlb, cache === null ? null : [cache.sets, cache.ways, cache.lineBytes]]);
}

/** Returns why no snapshot can be taken now, null when one can. */
export function snapshotObstacle(machine: Machine): string | null {
  return machine.scheduler.obstacle();
}

/**
 * Takes a snapshot; what is as it was in `before` is shared with it. Throws `snapshot-refused` where there is a
 * {@link snapshotObstacle}. Cost: a comparison of all touched memory, a copy of what changed.
 */
export function takeSnapshot(machine: Machine, before: MachineSnapshot | null = null): MachineSnapshot {
  const parts = new Map<string, unknown>();
  machine.parts.forEach((part, name) => {
    parts.set(name, part.saveState(before?.parts.get(name)));
  });
  return { shape: shapeOf(machine), parts };
}

/**
 * Brings a machine back to a snapshot. Throws `snapshot-mismatch`, changing nothing, when the machine is built otherwise or
 * has other parts, and `snapshot-refused` while a CPU is in the middle of its code.
 */
export function restoreSnapshot(machine: Machine, snapshot: MachineSnapshot): void {
  const here = machine.parts.names;
  const there = [...snapshot.parts.keys()];
  if (here.join("\n") !== there.join("\n"))
    throw new MachineError(
      "snapshot-mismatch",
      `The machine has the parts ${here.join(", ")}; the snapshot ${there.join(", ")}`,
      {
        machine: here,
        snapshot: there,
      },
    );
  if (shapeOf(machine) !== snapshot.shape)
    throw new MachineError("snapshot-mismatch", "The CPUs or caches of the machine are not those of the snapshot", {
      machine: shapeOf(machine),
      snapshot: snapshot.shape,
    });
  if (machine.scheduler.current >= 0)
    throw new MachineError("snapshot-refused", `CPU ${machine.scheduler.current} is in the middle of its code`, {
      cpu: machine.scheduler.current,
    });
  machine.parts.forEach((part, name) => {
    const reason = part.mismatch?.(snapshot.parts.get(name)) ?? null;
    if (reason !== null)
      throw new MachineError("snapshot-mismatch", `The part ${name} differs: ${reason}`, { part: name });
  });
  machine.parts.forEach((part, name) => {
    part.restoreState(snapshot.parts.get(name));
  });
}
