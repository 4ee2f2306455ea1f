/** Memory managers that are wrong on purpose: each forgets one thing that the real one does. */
import type { Stack } from "../../src/index.ts";
import { ACCESSED, DIRTY } from "@pagewright/vmm";
import type { TranslationTables } from "@pagewright/vmm";

/** Breaks a stack that nothing has run on yet. */
export type Sabotage = (stack: Stack) => void;

/** By what is wrong with them. */
export const SABOTAGES: Readonly<Record<string, Sabotage>> = {
  "quarantined frames are released one quiescent point early"({ control }) {
    const quiesced = control.quiesced.bind(control);
    control.quiesced = () => quiesced() + 1;
  },
  "quarantined addresses are mapped again without waiting"({ vmm }) {
    const { quarantine } = vmm.core;
    if (quarantine !== null) quarantine.overlaps = () => false;
  },
  "one processor of four is forgotten"({ control }) {
    const { call } = control;
    control.call = (from, targets, work) => {
      call(
        from,
        targets.filter((cpu) => cpu !== 3),
        work,
      );
    };
  },
  "nobody is interrupted"({ control }) {
    control.call = () => undefined;
  },
  "rights are taken away at the processors' own pace"({ control }) {
    control.shootdown = (asid, vpns, count) => {
      if (!control.later(asid, vpns, count)) control.invalidate(asid, vpns, count);
    };
  },
  "processors that rest are spared where tables are set free"({ control }) {
    const shootdown = control.shootdown.bind(control);
    control.shootdown = (asid, vpns, count) => {
      shootdown(asid, vpns, count, false);
    };
  },
  "a processor that comes back drops nothing"(stack) {
    const { control } = stack;
    const resume = control.resume.bind(control);
    control.resume = (cpu) => {
      deaf(stack, cpu, () => {
        resume(cpu);
      });
    };
  },
  "a context that is entered again keeps what it missed"(stack) {
    const { control } = stack;
    const activate = control.activate.bind(control);
    control.activate = (root, asid, cpu) => {
      const target = stack.machine.cpus[cpu];
      if (target === undefined) return;
      const write = target.writeCr3.bind(target);
      target.writeCr3 = (low, high) => {
        const root = high ?? 0;
        write(low, root >= 2 ** 31 ? root : root + 2 ** 31);
      };
      deaf(stack, cpu, () => {
        activate(root, asid, cpu);
      });
      target.writeCr3 = write;
    };
  },
  "accessed bits are cleared with the dirty ones beside them"({ vmm }) {
    const create = vmm.core.tables.create.bind(vmm.core.tables);
    vmm.core.tables.create = () => {
      const tables = create();
      if (tables !== null) clearBoth(tables);
      return tables;
    };
  },
};

/** Frames that live on in a clone are left to quiescent points like those that die. */
export function leaveSharedFrames({ vmm }: Stack): void {
  vmm.core.endLater = (change, start, end) => {
    change.plan.completeLater(start, end);
  };
}

/** The processor's invalidations do nothing meanwhile. */
function deaf(stack: Stack, cpu: number, work: () => void): void {
  const target = stack.machine.cpus[cpu];
  if (target === undefined) return;
  const invlpg = target.invlpg.bind(target);
  const invpcid = target.invpcid.bind(target);
  target.invlpg = () => undefined;
  target.invpcid = () => undefined;
  work();
  target.invlpg = invlpg;
  target.invpcid = invpcid;
}

/** Harvests of accessed bits take dirty bits along, tell nobody, and invalidate nothing. */
function clearBoth(tables: TranslationTables): void {
  const harvest = tables.harvest.bind(tables);
  const nobody = { invalidate: () => undefined, invalidateSpace: () => undefined, tableFrame: () => undefined };
  tables.harvest = (start, end, bits, plan, sink) => {
    if (bits !== ACCESSED) harvest(start, end, bits, plan, sink);
    else
      harvest(start, end, ACCESSED | DIRTY, nobody, {
        entry: (vpn, pfn, state) => {
          if ((state & ACCESSED) !== 0) sink.entry(vpn, pfn, state & ~DIRTY);
        },
      });
  };
}
