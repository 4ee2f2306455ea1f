/** The program of `../fail-each-call.test.ts`, once for every call of every port. */
import { test } from "vitest";

import { portsCalled, runFailing } from "../kit/each-call-program.ts";

/** Of a port with more calls than this, every so many of them fail. */
const MOST = 200;

test.each(await portsCalled())(
  "$port fails, at each of $calls calls in turn: nothing is lost",
  async ({ port, calls }) => {
    for (let call = 1; call <= calls; call += Math.ceil(calls / MOST)) await runFailing(port, call);
  },
);
