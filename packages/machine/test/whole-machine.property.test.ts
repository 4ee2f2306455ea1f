import { deserialize, serialize } from "node:v8";
import { restoreSnapshot, Stepper, takeSnapshot } from "@pagewright/machine";
import type { MachineOptions, MachineSnapshot } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { TIMED, WholeMachine } from "./whole-machine.ts";

const KINDS: readonly (readonly [string, Partial<MachineOptions>])[] = [
  ["plain", {}],
  ["timed", TIMED],
  ["under an adversary", { adversary: { onStale: "collect" } }],
];

function run(whole: WholeMachine, steps: number): readonly string[] {
  const from = whole.log.length;
  for (let i = 0; i < steps; i++) whole.step();
  return whole.log.slice(from);
}

/** Runs `before` steps, takes a snapshot, runs `after` more; returns the machine and what was seen. */
function recorded(
  seed: number,
  options: Partial<MachineOptions>,
  before: number,
  after: number,
): {
  whole: WholeMachine;
  snapshot: MachineSnapshot;
  atSnapshot: unknown;
  events: readonly string[];
  atEnd: unknown;
} {
  const whole = new WholeMachine(options);
  whole.dice.restoreState(seed);
  run(whole, before);
  const snapshot = takeSnapshot(whole.machine);
  const atSnapshot = whole.view();
  const events = run(whole, after);
  whole.check();
  return { whole, snapshot, atSnapshot, events, atEnd: whole.view() };
}

describe.each(KINDS)("a machine with all devices, %s", (_, options) => {
  test.each([1, 2])("property: restored, it runs on exactly as it did (seed %i)", (seed) => {
    const { whole, snapshot, atSnapshot, events, atEnd } = recorded(seed * 7919, options, 300, 250);
    for (let again = 0; again < 2; again++) {
      restoreSnapshot(whole.machine, snapshot);
      whole.check();
      expect(whole.view()).toEqual(atSnapshot);
      expect(run(whole, 250)).toEqual(events);
      expect(whole.view()).toEqual(atEnd);
    }
  });

  test("another machine that is made alike takes the snapshot over, through a file", () => {
    const { snapshot, events, atEnd } = recorded(11, options, 400, 250);
    const file = serialize(snapshot);
    const other = new WholeMachine(options);
    run(other, 100);
    restoreSnapshot(other.machine, deserialize(file) as MachineSnapshot);
    expect(run(other, 250)).toEqual(events);
    expect(other.view()).toEqual(atEnd);
    const third = new WholeMachine(options);
    restoreSnapshot(third.machine, structuredClone(snapshot));
    expect(run(third, 250)).toEqual(events);
  });
});

test("stepping backwards leads a machine with all devices through the same states", () => {
  const whole = new WholeMachine();
  const stepper = new Stepper(
    whole.machine,
    () => {
      whole.step();
    },
    40,
  );
  const states: unknown[] = [];
  for (let position = 0; position <= 200; position += 25) {
    stepper.goTo(position);
    states.push(whole.view());
  }
  for (let position = 200; position >= 0; position -= 25) {
    stepper.goTo(position);
    expect(whole.view()).toEqual(states[position / 25]);
  }
});
