/** What the ports to the world owe: clocks and random numbers. */
import type { Clock, Random } from "../ports.ts";
import { claim, type ConformanceCase } from "./case.ts";

/** What a `Clock` owes. */
export const clockSuite: readonly ConformanceCase<Clock>[] = [
  {
    name: "time is a finite number and never goes back",
    run(make) {
      const clock = make();
      let before = clock.nanoseconds();
      claim(Number.isFinite(before), "a clock must show a finite number");
      for (let look = 0; look < 1000; look++) {
        const now = clock.nanoseconds();
        claim(now >= before, "a clock must not go back");
        before = now;
      }
    },
  },
];

/** What a `Random` owes. */
export const randomSuite: readonly ConformanceCase<Random>[] = [
  {
    name: "numbers are whole and have 32 bits",
    run(make) {
      const random = make();
      for (let draw = 0; draw < 1000; draw++) {
        const value = random.uint32();
        claim(value >>> 0 === value, `${value} is no unsigned 32-bit number`);
      }
    },
  },
  {
    name: "every bit is sometimes 0 and sometimes 1",
    run(make) {
      const random = make();
      let ones = 0;
      let zeros = 0;
      for (let draw = 0; draw < 1000; draw++) {
        const value = random.uint32();
        ones |= value;
        zeros |= ~value;
      }
      claim(ones === -1 && zeros === -1, "a bit never changed in a thousand numbers");
    },
  },
];
