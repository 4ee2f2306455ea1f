import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isVmmError } from "../../src/errors.ts";
import { StallMeter } from "../../src/pressure/stall-meter.ts";

const SECOND = 1e9;

class ManualClock {
  now: number = 0;
  nanoseconds(): number {
    return this.now;
  }
}

describe("the stall meter", () => {
  test("one of two tasks waiting is some pressure, both waiting is full", () => {
    const clock = new ManualClock();
    const meter = new StallMeter(clock);
    meter.activate();
    meter.activate();
    meter.stall();
    clock.now += SECOND;
    meter.stall();
    clock.now += 3 * SECOND;
    meter.resume();
    meter.resume();
    clock.now += SECOND;
    expect(meter.some().totalNanoseconds).toBe(4 * SECOND);
    expect(meter.full().totalNanoseconds).toBe(3 * SECOND);
    meter.check();
  });

  test("a stall that lasts brings every average to 1, the short one first", () => {
    const clock = new ManualClock();
    const meter = new StallMeter(clock);
    meter.activate();
    meter.stall();
    clock.now += 20 * SECOND;
    const early = meter.full();
    expect(early.average10).toBeCloseTo(1 - Math.exp(-2), 10);
    expect(early.average60).toBeCloseTo(1 - Math.exp(-20 / 60), 10);
    expect(early.average300).toBeCloseTo(1 - Math.exp(-20 / 300), 10);
    clock.now += 3600 * SECOND;
    expect(meter.full().average300).toBeCloseTo(1, 4);
    meter.resume();
    clock.now += 10 * SECOND;
    expect(meter.some().average10).toBeCloseTo(Math.exp(-1), 4);
  });

  test("is the same however often it is read, and agrees with steps of two seconds taken one by one", () => {
    const event = fc.tuple(fc.nat(9_000), fc.constantFrom("read", "stall", "resume"));
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const clock = new ManualClock();
        const often = new StallMeter(clock);
        const seldom = new StallMeter(clock);
        for (const meter of [often, seldom]) meter.activate();
        let stalled = false;
        let expected = 0;
        let inStep = 0;
        let average = 0;
        const keep = Math.exp(-2 / 10);
        for (const [milliseconds, kind] of events) {
          for (let left = milliseconds; left > 0;) {
            const part = Math.min(left, 2000 - ((clock.now / 1e6) % 2000));
            clock.now += part * 1e6;
            left -= part;
            if (stalled) inStep += part;
            if ((clock.now / 1e6) % 2000 === 0) {
              average = average * keep + (inStep / 2000) * (1 - keep);
              expected += inStep;
              inStep = 0;
            }
          }
          if (kind === "read") often.some();
          else if (stalled === (kind === "resume")) {
            for (const meter of [often, seldom])
              if (stalled) meter.resume();
              else meter.stall();
            stalled = !stalled;
          }
          often.check();
        }
        expect(often.some().totalNanoseconds).toBe(seldom.some().totalNanoseconds);
        expect(often.some().average60).toBeCloseTo(seldom.some().average60, 12);
        expect(seldom.some().average10).toBeCloseTo(average, 9);
        expect(seldom.some().totalNanoseconds).toBe((expected + inStep) * 1e6);
      }),
    );
  });

  test("refuses what does not balance", () => {
    const meter = new StallMeter(new ManualClock());
    for (const action of ["retire", "stall", "resume"] as const) {
      let thrown: unknown;
      try {
        meter[action]();
      } catch (error) {
        thrown = error;
      }
      expect(isVmmError(thrown) && thrown.code).toBe("unbalanced");
    }
  });
});
