/** A real server of its own for the example: a child process that keeps every acknowledged write. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROGRAMS = ["redis-server", "valkey-server"];

/** The server program that is installed here, null if none is. */
export function installedServer(): string | null {
  return PROGRAMS.find((program) => spawnSync(program, ["--version"]).status === 0) ?? null;
}

/** A running server with a folder of its own; it can be killed and started again. */
export class LocalRedis {
  /** Where it listens. */
  readonly url: string;
  readonly #program: string;
  readonly #settings: readonly string[];
  readonly #port: number;
  readonly #folder: string = mkdtempSync(join(tmpdir(), "pagewright-redis-"));
  #process: ChildProcess | null = null;

  private constructor(program: string, port: number, settings: readonly string[]) {
    this.#program = program;
    this.#settings = settings;
    this.#port = port;
    this.url = `redis://127.0.0.1:${port}`;
  }

  /** Starts `program` on a free port; further settings as on its command line. */
  static async start(program: string, settings: readonly string[] = []): Promise<LocalRedis> {
    const server = new LocalRedis(program, await freePort(), settings);
    await server.start();
    return server;
  }

  /** Starts it, again after a {@link kill}. */
  async start(): Promise<void> {
    const durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
    this.#process = spawn(
      this.#program,
      ["--port", String(this.#port), "--bind", "127.0.0.1", "--dir", this.#folder, ...durable, ...this.#settings],
      { stdio: "ignore" },
    );
    for (let attempt = 0; attempt < 1200; attempt++) {
      if (await answers(this.#port)) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`${this.#program} does not answer`);
  }

  /** Kills it without warning; what it has not made durable is lost. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = null;
    if (process === null || process.exitCode !== null) return;
    const ended = new Promise((resolve) => process.once("exit", resolve));
    process.kill("SIGKILL");
    await ended;
  }

  /** {@link kill}, then {@link start}: what it has made durable is there again. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** Kills it and deletes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function answers(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => socket.write("PING\r\n"));
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString().startsWith("+PONG"));
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
}
