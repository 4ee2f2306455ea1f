import { MIB } from "@pagewright/machine";
import type { Machine, MachineEvent } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

function* count(log: string[], name: string, steps: number): Generator<undefined> {
  for (let step = 0; step < steps; step++) {
    log.push(`${name}${step}`);
    yield;
  }
}

function interleaving(seed: number): string[] {
  const machine = ramMachine(MIB, { cpus: 3, seed });
  const log: string[] = [];
  for (const [cpu, name] of ["a", "b", "c"].entries()) machine.scheduler.spawn(cpu, count(log, name, 6));
  machine.scheduler.run();
  machine.check();
  return log;
}

describe("the scheduler", () => {
  test("interleaves by seed: equal seeds equal runs, other seeds other runs", () => {
    expect(interleaving(7)).toEqual(interleaving(7));
    expect(interleaving(7)).not.toEqual(interleaving(8));
    expect(interleaving(7).toSorted()).toEqual(interleaving(8).toSorted());
  });

  test("other CPUs run inside a yield point, the CPU that yields does not", () => {
    const machine = ramMachine(MIB, { cpus: 2, seed: 3 });
    machine.scheduler.interleaving = 0.9;
    const seen: number[] = [];
    machine.scheduler.spawn(1, count([], "other", 50));
    machine.scheduler.spawn(0, count([], "own", 50));
    machine.scheduler.as(0, () => {
      for (let i = 0; i < 20; i++) {
        machine.scheduler.yieldPoint();
        seen.push(machine.scheduler.current);
      }
    });
    expect(seen.every((cpu) => cpu === 0)).toBe(true);
    expect(machine.scheduler.stats().interleavings).toBeGreaterThan(0);
    expect(machine.scheduler.isIdle(0)).toBe(false);
  });

  test("a wait that nobody can end is a deadlock, not a hang", () => {
    const machine = ramMachine(MIB, { cpus: 2 });
    expect(() => {
      machine.scheduler.as(0, () => {
        machine.scheduler.waitUntil(() => false);
      });
    }).toThrow(/waits for something/);
  });
});

/** Changes a page on CPU 0 and shoots the translation down on all others. */
function shootDown(machine: Machine, va: number, change: () => void): void {
  const acknowledged = new Set<number>();
  for (const cpu of machine.cpus)
    cpu.interruptHandler = {
      interrupt: (on) => {
        on.invlpg(va);
        acknowledged.add(on.id);
      },
    };
  machine.scheduler.as(0, () => {
    change();
    cpuOf(machine).invlpg(va);
    machine.interrupts.broadcast(0, 0xfd);
    machine.scheduler.waitUntil(() => acknowledged.size === machine.cpus.length - 1);
  });
}

describe("interrupts between processors", () => {
  test("a shootdown reaches idle and busy CPUs after the latency, and nobody is stale after it", () => {
    const machine = ramMachine(4 * MIB, { cpus: 4, seed: 5 });
    const tables = new Tables(machine, 1);
    tables.map(0x5000, 100);
    machine.memory.write(100 * 4096, 4, 1);
    machine.memory.write(101 * 4096, 4, 2);
    for (const cpu of machine.cpus) {
      tables.activate(cpu);
      expect(cpu.load32(0x5000)).toBe(1);
    }
    machine.scheduler.spawn(2, count([], "busy", 100_000));
    shootDown(machine, 0x5000, () => tables.map(0x5000, 101));
    for (const cpu of machine.cpus) expect(cpu.load32(0x5000)).toBe(2);
    expect(machine.clock.now).toBeGreaterThanOrEqual(machine.interrupts.latency);
    expect(machine.interrupts.stats()).toMatchObject({ sent: 3, taken: 3 });
    machine.check();
  });

  test("a shootdown takes its sender as long as the slowest CPU takes, and idle CPUs the latency", () => {
    const machine = ramMachine(4 * MIB, { cpus: 3, seed: 5, timing: { costs: { ipi: 2000 } } });
    for (const cpu of machine.cpus) new Tables(machine, 1).activate(cpu);
    const { clock } = machine;
    clock.spend(2, 9000);
    const before = clock.times[0] ?? 0;
    shootDown(machine, 0x5000, () => undefined);
    const [sender = 0, idle = 0, ahead = 0] = clock.times;
    expect(idle - before).toBeGreaterThanOrEqual(2000);
    expect(idle - before).toBeLessThan(2500);
    expect(ahead).toBeGreaterThanOrEqual(9000);
    expect(sender).toBe(Math.max(idle, ahead));
  });

  test("CPUs that shoot at each other both get through while their interrupts are on", () => {
    const machine = ramMachine(4 * MIB, { cpus: 2, seed: 3 });
    const acknowledged = new Set<number>();
    for (const cpu of machine.cpus) cpu.interruptHandler = { interrupt: (on) => void acknowledged.add(on.id) };
    function* shooter(id: number): Generator<undefined> {
      yield;
      machine.interrupts.send(id, 1 - id, 0xfd);
      machine.scheduler.waitUntil(() => acknowledged.has(1 - id));
    }
    for (const cpu of machine.cpus) machine.scheduler.spawn(cpu.id, shooter(cpu.id));
    machine.scheduler.run();
    expect([...acknowledged].toSorted()).toEqual([0, 1]);
    cpuOf(machine, 1).interruptsEnabled = false;
    machine.interrupts.send(0, 1, 0xfd);
    acknowledged.clear();
    expect(() => {
      machine.scheduler.as(0, () => {
        machine.scheduler.waitUntil(() => acknowledged.has(1));
      });
    }).toThrow("CPU 0 waits for something");
  });

  test("a vector that is pending already is taken once", () => {
    const machine = ramMachine(MIB, { cpus: 2 });
    let taken = 0;
    cpuOf(machine, 1).interruptHandler = {
      interrupt: () => {
        taken++;
      },
    };
    machine.interrupts.send(0, 1, 40);
    machine.interrupts.send(0, 1, 40);
    machine.scheduler.run();
    expect(taken).toBe(1);
    expect(() => {
      machine.interrupts.send(0, 5, 40);
    }).toThrow(/no CPU 5/);
  });

  test("a CPU with interrupts off takes them when they are on again", () => {
    const machine = ramMachine(MIB, { cpus: 2 });
    const cpu = cpuOf(machine, 1);
    let taken = 0;
    cpu.interruptHandler = {
      interrupt: () => {
        taken++;
      },
    };
    cpu.interruptsEnabled = false;
    machine.interrupts.send(0, 1, 40);
    machine.scheduler.run();
    expect(taken).toBe(0);
    cpu.interruptsEnabled = true;
    machine.scheduler.run();
    expect(taken).toBe(1);
  });
});

describe("faults that cannot be delivered", () => {
  test("a handler path that is not mapped makes a double fault, a stack that is gone a triple fault", () => {
    const machine = ramMachine(4 * MIB);
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0x10000, 200);
    tables.map(0x20000, 201);
    cpu.faultHandler = { pageFault: () => false };
    cpu.delivery = { idt: 0x10000, stack: 0x21000 };
    expect(cpu.load32(0x9000)).toBe(-1);
    expect(cpu.fault.kind).toBe("page");
    expect(cpu.outcome).toBe("running");
    cpu.delivery = { idt: 0x11000 - 14 * 16, stack: 0x21000 };
    expect(cpu.load32(0x9000)).toBe(-1);
    expect(cpu.fault.kind).toBe("double");
    cpu.reset(cpu.registers);
    cpu.delivery = { idt: 0x10000, stack: 0x31000 };
    expect(cpu.load32(0x9000)).toBe(-1);
    expect(cpu.outcome).toBe("triple");
  });
});

describe("the event stream", () => {
  test("tells of faults, interrupts and control-register writes, and costs nothing when off", () => {
    const machine = ramMachine(MIB);
    const kinds: string[] = [];
    machine.eventSink = (event) => void kinds.push(event.kind);
    cpuOf(machine).writeCr3(0x1000);
    cpuOf(machine).load32(0x1234);
    cpuOf(machine).invlpg(0x1000);
    machine.powerCycle();
    machine.eventSink = null;
    cpuOf(machine).load32(0x1234);
    expect(kinds).toEqual(["cr3", "page-fault", "invlpg", "power-cycle"]);
  });

  test("tells of every register that changes translations, and of every invalidation", () => {
    const machine = ramMachine(MIB);
    const cpu = cpuOf(machine);
    const { cr0, cr4, efer } = cpu.registers;
    const events: MachineEvent[] = [];
    machine.eventSink = (event) => void events.push(event);
    cpu.writeCr0(cr0);
    cpu.writeCr4(cr4);
    cpu.writeEfer(efer);
    cpu.invpcid(2, 7, 0x5000);
    cpu.wbinvd();
    machine.eventSink = null;
    cpu.writeCr0(cr0);
    const [time, at] = [machine.clock.now, { cpu: 0 }];
    expect(events).toEqual([
      { ...at, time, kind: "cr0", value: cr0 },
      { ...at, time, kind: "cr4", value: cr4 },
      { ...at, time, kind: "efer", value: efer },
      { ...at, time, kind: "invpcid", type: 2, pcid: 7, va: 0x5000 },
      { ...at, time, kind: "wbinvd" },
    ]);
  });
});
