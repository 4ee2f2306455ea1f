/** What invalidation and the switch of address spaces owe, tried through processors that remember translations. */
import type { AddressSpaceSwitch, TlbControl } from "../ports.ts";
import type { Pfn, Vpn } from "../units.ts";
import { claim, same, type ConformanceCase } from "./case.ts";

/** Processors, a space with one mapped page, and a table entry that can change behind their backs. */
export interface TlbFixture {
  /** The implementation. */
  readonly control: TlbControl & AddressSpaceSwitch;
  /** Processors, at least 2. */
  readonly cpus: number;
  /** Root of the space's tables. */
  readonly root: number;
  /** Tag of the space. */
  readonly asid: number;
  /** The mapped page. */
  readonly page: Vpn;
  /** Processor `cpu` is the one that runs from now on. */
  run(cpu: number): void;
  /** The frame that processor `cpu` reaches through the page, by what it remembers or by the tables; −1: it faults. */
  reach(cpu: number): Pfn;
  /** Points the page's entry at another frame, telling nobody, and returns that frame. */
  repoint(): Pfn;
}

/** All processors in the space, all having used the page. */
function entered(make: () => TlbFixture): TlbFixture {
  const fixture = make();
  for (let cpu = 0; cpu < fixture.cpus; cpu++) {
    fixture.run(cpu);
    fixture.control.activate(fixture.root, fixture.asid, cpu);
    claim(fixture.reach(cpu) >= 0, `processor ${cpu} must reach the page after activate`);
  }
  fixture.run(0);
  return fixture;
}

/** What a `TlbControl` that is also an `AddressSpaceSwitch` owes. */
export const tlbControlSuite: readonly ConformanceCase<TlbFixture>[] = [
  {
    name: "after an invalidation the running processor goes by the tables",
    run(make) {
      const fixture = entered(make);
      const frame = fixture.repoint();
      fixture.control.invalidate(fixture.asid, Float64Array.of(fixture.page), 1);
      same(fixture.reach(0), frame, "frame of the running processor");
    },
  },
  {
    name: "after a shootdown every processor goes by the tables",
    run(make) {
      const fixture = entered(make);
      const frame = fixture.repoint();
      fixture.control.shootdown(fixture.asid, Float64Array.of(fixture.page), 1);
      for (let cpu = 0; cpu < fixture.cpus; cpu++) same(fixture.reach(cpu), frame, `frame of processor ${cpu}`);
    },
  },
  {
    name: "a shootdown of everything reaches every page of the space",
    run(make) {
      const fixture = entered(make);
      const frame = fixture.repoint();
      fixture.control.shootdown(fixture.asid, new Float64Array(0), -1);
      for (let cpu = 0; cpu < fixture.cpus; cpu++) same(fixture.reach(cpu), frame, `frame of processor ${cpu}`);
    },
  },
  {
    name: "a new activation of the space goes by the tables",
    run(make) {
      const fixture = entered(make);
      const frame = fixture.repoint();
      fixture.run(1);
      fixture.control.shootdown(fixture.asid, Float64Array.of(fixture.page), 1);
      fixture.control.activate(fixture.root, fixture.asid, 1);
      same(fixture.reach(1), frame, "frame after the activation");
    },
  },
  {
    name: "where later is offered, the running processor is told at once, and tickets grow",
    run(make) {
      const fixture = entered(make);
      const before = fixture.control.ticket();
      const frame = fixture.repoint();
      const pages = Float64Array.of(fixture.page);
      if (!fixture.control.later(fixture.asid, pages, 1)) fixture.control.shootdown(fixture.asid, pages, 1);
      same(fixture.reach(0), frame, "frame of the running processor");
      claim(fixture.control.ticket() >= before, "tickets must not go back");
      claim(fixture.control.quiesced() <= fixture.control.ticket(), "nobody passes a point that has not come");
    },
  },
  {
    name: "when every processor has entered again, the latest ticket has been passed",
    run(make) {
      const fixture = entered(make);
      const frame = fixture.repoint();
      fixture.control.later(fixture.asid, Float64Array.of(fixture.page), 1);
      const ticket = fixture.control.ticket();
      for (let cpu = 0; cpu < fixture.cpus; cpu++) {
        fixture.run(cpu);
        fixture.control.activate(fixture.root, fixture.asid, cpu);
        same(fixture.reach(cpu), frame, `frame of processor ${cpu}`);
      }
      claim(fixture.control.quiesced() >= ticket, "all have passed a point since the ticket");
    },
  },
  {
    name: "what was left for later is done by all when it is settled",
    run(make) {
      const fixture = entered(make);
      const frame = fixture.repoint();
      const pages = Float64Array.of(fixture.page);
      if (!fixture.control.later(fixture.asid, pages, 1)) fixture.control.shootdown(fixture.asid, pages, 1);
      const ticket = fixture.control.ticket();
      fixture.control.settle();
      claim(fixture.control.quiesced() >= ticket, "nobody owes anything");
      for (let cpu = 0; cpu < fixture.cpus; cpu++) same(fixture.reach(cpu), frame, `frame of processor ${cpu}`);
    },
  },
  {
    name: "a shootdown because tables are set free may name no page, and everybody goes by the tables",
    run(make) {
      const fixture = entered(make);
      const frame = fixture.repoint();
      fixture.control.shootdown(fixture.asid, new Float64Array(0), 0, true);
      fixture.control.shootdown(fixture.asid, Float64Array.of(fixture.page), 1, true);
      for (let cpu = 0; cpu < fixture.cpus; cpu++) same(fixture.reach(cpu), frame, `frame of processor ${cpu}`);
    },
  },
  {
    name: "a retired space is reached by no processor",
    run(make) {
      const fixture = entered(make);
      fixture.control.retire(fixture.asid);
      for (let cpu = 0; cpu < fixture.cpus; cpu++) {
        fixture.run(cpu);
        same(fixture.reach(cpu), -1, `frame of processor ${cpu}`);
      }
    },
  },
];
