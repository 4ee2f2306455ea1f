import { createHash } from "node:crypto";
import {
  AddressClaims,
  Balloon,
  BlockDevice,
  BlockMemoryDevice,
  BusMaster,
  CR4_PCIDE,
  DimmSlots,
  FaultyRam,
  firmwareMapOf,
  Framebuffer,
  GIB,
  IoPorts,
  IsaDma,
  LAYER,
  Machine,
  MARCH_C_MINUS,
  MarchTest,
  MemoryMedium,
  MIB,
  MtrrManager,
  MtrrRegisters,
  mtrrNeeds,
  PciBridge,
  PciBus,
  PciFunction,
  PciResources,
  PhysicalMap,
  printFlat,
  printTree,
  probeBars,
  programIsaDma,
  RankPower,
  Scrubber,
  SeededRandom,
  SKYLAKE_TLB,
  takeSnapshot,
  traitsOf,
  uniformDistances,
  writeScatterGatherList,
} from "@pagewright/machine";
import type { Cpu, MachineOptions, MapNode, PciNode, Snapshotted, Task } from "@pagewright/machine";
import { cpuOf, Tables } from "./fixtures.ts";

/** A task that can say where it stands: stores a word per step until it has done them all. */
class CountingTask implements Task, Snapshotted<number> {
  readonly #cpu: Cpu;
  #left = 0;

  constructor(cpu: Cpu) {
    this.#cpu = cpu;
  }

  /** Makes it run for another `steps` steps. */
  wind(steps: number): void {
    this.#left += steps;
  }

  next(): IteratorResult<undefined, undefined> {
    if (this.#left === 0) return { done: true, value: undefined };
    this.#left--;
    this.#cpu.store32(0x3000 + (this.#left & 255) * 4, this.#left);
    return { done: false, value: undefined };
  }

  saveState(): number {
    return this.#left;
  }

  restoreState(left: number): void {
    this.#left = left;
  }
}

const RAM = 32 * MIB;
const DIMM_AT = 4 * GIB;
const BLOCKS_AT = 8 * GIB;

/** A machine with every device there is, all of them parts of it. */
export class WholeMachine {
  readonly machine: Machine;
  readonly ports: IoPorts = new IoPorts();
  readonly claims: AddressClaims;
  readonly pci: PciBus;
  readonly resources: PciResources;
  readonly isa: IsaDma;
  readonly master: BusMaster;
  readonly disk: BlockDevice;
  readonly screen: Framebuffer;
  readonly screenNode: PciNode;
  readonly bridge: PciBridge = new PciBridge("bridge");
  readonly balloon: Balloon;
  readonly blocks: BlockMemoryDevice;
  readonly dimms: DimmSlots;
  readonly ranks: RankPower;
  readonly faults: FaultyRam;
  readonly scrubber: Scrubber;
  readonly march: MarchTest;
  readonly mtrrs: MtrrManager;
  readonly dice: SeededRandom = new SeededRandom(77);
  readonly tasks: CountingTask[];
  readonly tables: Tables;
  /** Where the leaf entries of the first 64 pages are. */
  readonly #leaves: number;
  /** The tables as they were at the start. */
  readonly #tableBytes = new Uint8Array(8 * 4096);
  /** What happened, in order: what two runs are compared by. */
  readonly log: string[] = [];

  constructor(options: Partial<MachineOptions> = {}) {
    const map = new PhysicalMap(
      firmwareMapOf(
        [
          { base: 0n, length: 0x9f000n, type: 1 },
          { base: BigInt(MIB), length: BigInt(RAM - MIB), type: 1 },
          { base: BigInt(RAM), length: 0x10000n, type: 4 },
        ],
        {
          affinity: [
            { node: 0, base: 0, end: RAM, hotPluggable: false, nonVolatile: false },
            { node: 1, base: DIMM_AT, end: DIMM_AT + GIB, hotPluggable: true, nonVolatile: false },
          ],
        },
      ),
    );
    this.machine = new Machine({ map, cpus: 2, tlb: SKYLAKE_TLB, seed: 5, ...options });
    const { machine } = this;
    const { memory } = machine;
    this.claims = machine.attach("claims", new AddressClaims(map));
    machine.attach("ports", this.ports);
    this.pci = machine.attach("pci", new PciBus(map, this.ports));
    this.resources = machine.attach("resources", new PciResources(this.pci, this.claims));
    this.isa = machine.attach("isa dma", new IsaDma(memory, this.ports));
    this.master = new BusMaster(memory, 32);
    this.disk = machine.attach("disk", new BlockDevice(new MemoryMedium(64 * 512), machine.clock));
    this.screen = machine.attach("screen", new Framebuffer(64, 64));
    this.balloon = machine.attach("balloon", new Balloon(memory));
    this.blocks = machine.attach(
      "memory device",
      new BlockMemoryDevice(map, memory, { start: BLOCKS_AT, bytes: 16 * MIB, blockBytes: 2 * MIB, node: 1 }),
    );
    this.dimms = machine.attach("dimms", new DimmSlots(map, memory));
    this.ranks = machine.attach("ranks", new RankPower(2, machine.clock));
    this.faults = machine.attach("faults", new FaultyRam(memory, { ecc: true }));
    this.scrubber = machine.attach("scrubber", new Scrubber(this.faults, 16 * MIB, 17 * MIB));
    this.march = machine.attach("march", new MarchTest(memory, MARCH_C_MINUS, 20 * MIB, 20 * MIB + 8192));
    this.mtrrs = machine.attach("mtrrs", new MtrrManager(new MtrrRegisters(10), mtrrNeeds(map.firmware, "lenient")));
    machine.attach("dice", this.dice);
    this.tasks = machine.cpus.map((cpu) => machine.attach(`task ${cpu.id}`, new CountingTask(cpu)));
    this.faults.handler = {
      machineCheck: ({ address, corrected }) => void this.log.push(`mc ${address} ${String(corrected)}`),
    };
    machine.eventSink = (event) => void this.log.push(JSON.stringify(event));
    this.tables = new Tables(machine, 1);
    this.screenNode = this.#plugPci();
    this.#startCpus();
    this.#leaves = this.tables.entryAddress(0, 1);
    memory.readBytes(4096, this.#tableBytes);
  }

  #plugPci(): PciNode {
    this.pci.plug(this.bridge, 1);
    this.bridge.writeConfig(0x18, 4, 0x00010100);
    this.bridge.writeConfig(0x04, 2, 7);
    this.bridge.openWindow("memory", 0xe000_0000, 0xf000_0000);
    const uart = { value: 0, readPort: () => 0x5a, writePort: () => undefined };
    const vga = new PciFunction({ name: "vga", vendor: 0x1234, device: 0x1111, classCode: 0x030000 }, [
      { kind: "memory32", size: 64 * 64 * 4, device: this.screen },
      { kind: "io", size: 16, device: uart },
    ]);
    const node = this.pci.plug(vga, 2, 0, this.bridge);
    this.resources.assignAll();
    return node;
  }

  #startCpus(): void {
    for (let page = 0; page < 64; page++) this.tables.map(page * 4096, 512 + page, page % 3 === 0 ? 0x107 : 7);
    const [vga] = this.pci.nodes[1]?.unit instanceof PciFunction ? this.pci.nodes[1].unit.bars : [];
    const at = this.screenNode.unit instanceof PciFunction && vga ? this.screenNode.unit.addressOf(vga) : 0;
    for (let page = 0; page < 4; page++) this.tables.map(0x40_0000 + page * 4096, at / 4096 + page, 0xf);
    for (const cpu of this.machine.cpus) {
      this.tables.activate(cpu);
      cpu.writeCr4(cpu.registers.cr4 + CR4_PCIDE + 0x80);
      cpu.pat.program(["WB", "WC", "UC-", "UC", "WB", "WP", "UC-", "WT"]);
      cpu.interruptHandler = {
        interrupt: (on, vector) => {
          this.log.push(`irq ${on.id} ${vector}`);
          on.invlpg((vector - 32) * 4096);
        },
      };
    }
  }

  /** Does one operation of chance; the machine's own chance decides which, so that a restored machine does the same. */
  step(): void {
    const kinds = this.#operations();
    const number = this.dice.below(kinds.length);
    try {
      this.log.push(`${number}: ${String(kinds[number]?.())}`);
    } catch (error) {
      this.log.push(`${number}: ${error instanceof Error ? error.message : "?"}`);
    }
  }

  #operations(): readonly (() => unknown)[] {
    const { machine, dice, disk, faults, tables } = this;
    const { memory, map } = machine;
    const cpu = cpuOf(machine, dice.below(2));
    const va = dice.below(66) * 4096 + dice.below(1024) * 4;
    const frame = 512 + dice.below(80);
    return [
      () => cpu.load32(va),
      () => cpu.store32(va + dice.below(4), dice.uint32()),
      () => cpu.fetch32(va),
      () => [cpu.load64(va + 1), cpu.high],
      () => cpu.compareExchange32(va, memory.read(frame * 4096, 4), 7),
      () => cpu.store32(0x40_0000 + dice.below(4096) * 4, dice.uint32()),
      () => {
        cpu.fence();
      },
      () => {
        tables.write(this.#leaves + dice.below(64) * 8, frame * 4096 + 7 + dice.below(2) * 256, 0);
      },
      () => {
        cpu.invlpg(va);
      },
      () => {
        cpu.invpcid(dice.below(4), dice.below(3), va);
      },
      () => {
        cpu.writeCr3(tables.root * 4096 + dice.below(3), dice.below(2) * 2 ** 31);
      },
      () => {
        cpu.setCpl(dice.below(2) * 3);
      },
      () => {
        machine.interrupts.send(cpu.id, 1 - cpu.id, 32 + dice.below(64));
      },
      () => {
        const task = this.tasks[cpu.id];
        if (task === undefined) return;
        if (machine.scheduler.isIdle(cpu.id)) machine.scheduler.spawn(cpu.id, task);
        task.wind(dice.below(20));
      },
      () => machine.scheduler.run(dice.below(10)),
      () => {
        machine.clock.advance(dice.below(100_000));
      },
      () => disk.submit("write", dice.below(60), new Uint8Array(1024).fill(dice.below(256)))?.id,
      () => disk.submit("read", dice.below(60), new Uint8Array(512))?.id,
      () => disk.submit("flush")?.id,
      () => {
        disk.fail("write", "torn", dice.below(60));
      },
      () => disk.poll().map(({ id, status, bytes }) => `${id} ${status} ${bytes[0] ?? -1}`),
      () => disk.crash((block) => block % 2 === 0).length,
      () => {
        programIsaDma(this.ports, 2, 0x10000 + dice.below(0x20000), 64, "device-to-memory");
        return this.isa.transfer(2, new Uint8Array(48).fill(dice.below(256)))?.wraps;
      },
      () => this.ports.read(0xc000 + dice.below(64), 1) + this.ports.read(0x87, 1),
      () => {
        writeScatterGatherList(memory, 0x8000, [{ address: frame * 4096, length: 256 }]);
        return this.master.toMemory(0x8000, new Uint8Array(256).fill(dice.below(256))).bytes;
      },
      () => {
        const bar = this.screenNode.unit instanceof PciFunction ? probeBars(this.screenNode.unit)[0] : undefined;
        return bar && this.resources.move(this.screenNode, bar, 0xe000_0000 + dice.below(64) * 0x4000).start;
      },
      () => {
        this.screenNode.unit.writeConfig(0x04, 2, dice.below(4));
      },
      () => {
        this.screenNode.unit.writeConfig(0x14, 4, 0xc000 + dice.below(4) * 16);
      },
      () => {
        this.bridge.writeConfig(0x04, 2, dice.below(8));
      },
      () => this.claims.allocate({ size: 2 ** (12 + dice.below(8)) }, { owner: `device ${dice.below(100)}` }).start,
      () => {
        const claim = this.claims.claims.find(({ owner }) => owner.startsWith("device"));
        if (claim !== undefined) this.claims.release(claim);
      },
      () => map.overlay(frame * 4096, (frame + 1) * 4096, traitsOf("rom", "shadow"), LAYER.overlay).name,
      () => {
        const node = map.nodes.find((one: MapNode) => one.traits?.owner === "shadow");
        return node !== undefined && map.remove(node);
      },
      () => this.balloon.inflate([1024 + dice.below(64)]),
      () => this.balloon.deflate([1024 + dice.below(64)]),
      () => {
        this.blocks.requestedBytes = dice.below(9) * 2 * MIB;
        return this.blocks.plug(dice.below(8));
      },
      () => this.blocks.unplug(dice.below(8)),
      () => {
        memory.write(BLOCKS_AT + dice.below(8) * 2 * MIB, 4, dice.uint32());
      },
      () => this.dimms.insert(`DIMM ${dice.below(3)}`, DIMM_AT + dice.below(4) * 128 * MIB, 128 * MIB, 1).start,
      () => {
        const [dimm] = this.dimms.dimms;
        if (dimm === undefined) return false;
        if (dice.chance(0.5)) return this.dimms.remove(dimm);
        this.dimms.surpriseRemove(dimm);
        return true;
      },
      () => {
        memory.write(DIMM_AT + dice.below(4) * 128 * MIB + 64, 4, dice.uint32());
      },
      () => this.ranks.setState(dice.below(2), dice.chance(0.5) ? "self-refresh" : "power-down"),
      () => this.ranks.access(dice.below(2)),
      () => {
        faults.flip(16 * MIB + dice.below(4) * 4096 + dice.below(64), dice.below(8));
      },
      () => {
        faults.stick(frame * 4096 + dice.below(64), dice.below(8), 1);
      },
      () => {
        faults.repair(512 * 4096, 520 * 4096);
      },
      () => {
        this.scrubber.step(dice.below(2000));
      },
      () => this.march.step(dice.below(500)),
      () =>
        this.mtrrs.add(0xe000_0000 + dice.below(8) * 0x100_0000, 0xe100_0000 + dice.below(8) * 0x100_0000, "WC", "x")
          .ok,
      () => {
        const [claim] = this.mtrrs.claims;
        return claim && this.mtrrs.remove(claim).length;
      },
      () => {
        machine.mtrrs.loadAll(this.mtrrs.registers);
      },
      () => {
        if (!dice.chance(0.1)) return;
        machine.powerCycle();
        memory.writeBytes(4096, this.#tableBytes);
        for (const one of machine.cpus) tables.activate(one);
      },
    ];
  }

  /** Everything that can be seen of the machine, to be compared; large states as digests. */
  view(): unknown {
    const { machine } = this;
    const { parts } = takeSnapshot(machine);
    // The order in which a TLB looks at its ways is no state of the architecture: CPUs are compared by what follows.
    const states = [...parts].filter(([name]) => !name.startsWith("cpu")).map(([name, state]) => [name, digest(state)]);
    return {
      states,
      flat: printFlat(machine.map),
      tree: printTree(machine.map),
      cpus: machine.cpus.map((cpu) => [
        cpu.stats(),
        cpu.registers,
        cpu.cr2,
        cpu.fault.toString(),
        cpu.mtrrs.saveState(),
      ]),
    };
  }

  check(): void {
    const { machine } = this;
    machine.check();
    for (const part of [this.claims, this.ports, this.pci, this.disk, this.balloon, this.blocks, this.dimms])
      if (part !== this.balloon) part.check();
    for (const part of [this.ranks, this.faults, this.scrubber, this.mtrrs]) part.check();
  }
}

/** The hash of a state: maps as lists, bytes as text. */
function digest(state: unknown): string {
  const plain = (_: string, value: unknown): unknown => {
    if (value instanceof Map || value instanceof Set) return [...(value as Iterable<unknown>)];
    if (ArrayBuffer.isView(value))
      return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    return typeof value === "bigint" ? value.toString() : value;
  };
  return createHash("sha256").update(JSON.stringify(state, plain)).digest("hex");
}

/** Timing with a cache and two nodes. */
export const TIMED: Partial<MachineOptions> = {
  timing: { cache: { bytes: 64 * 1024, ways: 4 }, distances: uniformDistances(2), cpuNodes: [0, 1] },
};
