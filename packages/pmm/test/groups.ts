/** What threads do to groups, in every order; for groups of two blocks only: mock units.ts before this is imported. */
import type { Pmm } from "../src/index.ts";
import { ORDER_1G, ORDER_2M } from "../src/units.ts";
import type { Explored, Steps } from "./interleave.ts";
import { draining, givingGroup, Instance, taking, takingGroup, takingWhole } from "./protocol.ts";
import { range } from "./ranges.ts";

/** Frames of the group that the scenarios are about. */
const GROUP = 1024;
const LARGE = { node: -1, colour: -1, movable: 1 };

/** Worker 1 has split the group, and holds one frame on its stack: the last that the group lacks. */
function allButOne(pmms: Pmm[]): void {
  const pfn = pmms[1]?.take() ?? -1;
  pmms[1]?.drain();
  pmms[1]?.give(pfn);
}

/** The group is split, and all its blocks are whole. */
function splitWhole(pmms: Pmm[]): void {
  pmms[1]?.give(pmms[1].take({ ...LARGE, order: ORDER_2M }), ORDER_2M);
}

function groupTaken(pmms: Pmm[]): void {
  pmms[0]?.take({ ...LARGE, order: ORDER_1G });
}

interface GroupScenario {
  readonly name: string;
  readonly run: (deaths: boolean) => Explored;
}

function scenario(
  name: string,
  prepare: (pmms: Pmm[]) => void,
  threads: (instance: Instance, groups: number[], frames: number[]) => (() => Steps)[],
): GroupScenario {
  const run = (deaths: boolean): Explored => {
    let groups: number[] = [];
    let frames: number[] = [];
    const instance = new Instance([range(0, GROUP)], 4, prepare);
    const made = (thread: number) => (): Steps => {
      if (thread === 0) [groups, frames] = [[], []];
      return threads(instance, groups, frames)[thread]?.() ?? taking(instance, thread, frames);
    };
    const count = threads(instance, groups, frames).length;
    return instance.explore(
      Array.from({ length: count }, (_, thread) => made(thread)),
      deaths,
      () => {
        if (groups.length + Math.min(1, frames.length) > 1) throw new Error("The group and a part of it were taken");
      },
    );
  };
  return { name, run };
}

/** The scenarios of two threads. */
export const groupScenarios: readonly GroupScenario[] = [
  scenario(
    "a whole group is taken while another worker splits it",
    () => undefined,
    (instance, groups, frames) => [() => takingGroup(instance, 0, groups), () => taking(instance, 1, frames)],
  ),
  scenario(
    "two workers split one group",
    () => undefined,
    (instance, _, frames) => [() => taking(instance, 0, []), () => taking(instance, 1, frames)],
  ),
  scenario("a split group is joined while another worker takes one of its blocks", splitWhole, (instance, groups) => [
    () => takingGroup(instance, 0, groups),
    () => takingWhole(instance, 1),
  ]),
  scenario("a split group is joined while another worker refills from it", splitWhole, (instance, groups, frames) => [
    () => takingGroup(instance, 0, groups),
    () => taking(instance, 1, frames),
  ]),
  scenario("two workers join one group", splitWhole, (instance, groups) => [
    () => takingGroup(instance, 0, groups),
    () => takingGroup(instance, 1, groups),
  ]),
  scenario("the last frame of a group comes home while another worker joins it", allButOne, (instance, groups) => [
    () => takingGroup(instance, 0, groups),
    () => draining(instance, 1, 1),
  ]),
  scenario("a group comes home while another worker wants a frame of it", groupTaken, (instance, _, frames) => [
    () => givingGroup(instance, 0),
    () => taking(instance, 1, frames),
  ]),
];

/** The scenario of three threads: the group's last frame comes home, one joins the group, one takes a block of it. */
export const threeOnAGroup: GroupScenario = scenario(
  "the last frame of a group comes home, one worker joins it, another takes a block of it",
  allButOne,
  (instance, groups) => [
    () => takingGroup(instance, 0, groups),
    () => draining(instance, 1, 1),
    () => takingWhole(instance, 2),
  ],
);
