import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { withInputs } from "@pagewright/tooling/inputs";
import type { ReplayReport } from "../../src/replay/report.ts";
import { installedServer, LocalRedis } from "../../../../examples/redis-swap/redis-server.ts";
import { pagewright } from "../program.ts";

const program = installedServer();
const TIER = fileURLToPath(new URL("../../../../examples/redis-swap/tier.ts", import.meta.url));
const KILLS = 3;

/** Pages that the server holds; 0 where it does not answer. */
function pagesIn(server: LocalRedis): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.once("connect", () => socket.write("DBSIZE\r\n"));
    socket.once("data", (data) => {
      socket.destroy();
      resolve(Number(data.toString().slice(1)));
    });
    socket.once("error", () => {
      resolve(0);
    });
  });
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

withInputs("a replay whose remote store is killed and restarted", (dir) => {
  describe.skipIf(program === null)(program ?? "no server is installed", () => {
    test.each(["gcc-cc1.window", "sqlite-index.window", "python-dict.window"])(
      "%s: everything that was acknowledged comes back",
      async (trace) => {
        const server = await LocalRedis.start(program ?? "");
        try {
          const run = { over: false };
          const args = ["replay", `${dir}/page-traces/${trace}.pgt.gz`, "--ram", "25%", "--swap", TIER, "--json"];
          const replay = pagewright(args, { env: { REDIS_URL: server.url, REDIS_TIMEOUT_MS: "10000" } });
          void replay.then(() => (run.over = true));
          let kills = 0;
          while (!run.over && kills < KILLS) {
            if ((await pagesIn(server)) > 50 * (kills + 1)) {
              await server.restart();
              kills++;
            }
            await pause(100);
          }
          expect(kills).toBe(KILLS);
          const { code, stdout, stderr } = await replay;
          expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
          const report = JSON.parse(stdout) as ReplayReport;
          expect(report).toMatchObject({
            mismatches: 0,
            audit: { ok: true, problems: [] },
            pagesVerified: report.pages,
          });
          expect(report.swapStores).toMatchObject([{ fenced: false, bad: 0, failedReads: 0, mismatches: 0 }]);
          expect(report.swap.in).toBeGreaterThan(0);
        } finally {
          await server.stop();
        }
      },
    );
  });
});
