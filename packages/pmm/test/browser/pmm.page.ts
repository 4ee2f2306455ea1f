/** Runs in the page and in its workers: the page makes an allocator on shared memory, workers attach to it; see chromium.test.ts. */
import { NO_FRAME, Pmm } from "../../src/index.ts";
import type { PmmShare } from "../../src/index.ts";
import { randomOf, range } from "../ranges.ts";

/** What the page hands to a worker. */
interface Task {
  readonly share: PmmShare;
  readonly worker: number;
  readonly mailboxes: Int32Array;
  readonly stop: Int32Array;
}

/** What the page reports to the test. */
export interface Report {
  /** True where the page has shared memory. */
  readonly isolated: boolean;
  /** Takes of all workers. */
  readonly takes: number;
  /** Frames that could be taken at the end, and frames that there are. */
  readonly taken: number;
  readonly frames: number;
}

const BLOCK = { order: 9, node: -1, colour: -1, movable: 1 };
const WORKERS = 3;

/** A worker: takes frames and blocks, and swaps them with others through mailboxes, until told to stop; the first ends without draining. */
function work({ share, worker, mailboxes, stop }: Task): void {
  const pmm = new Pmm({ share, worker });
  const random = randomOf(worker);
  postMessage("ready");
  while (Atomics.load(stop, worker) === 0) {
    const box = Math.floor(random() * mailboxes.length);
    const isBlock = random() < 0.02;
    const pfn = random() < 0.5 ? NO_FRAME : isBlock ? pmm.take(BLOCK) : pmm.take();
    const posted = pfn === NO_FRAME ? 0 : (pfn + 1) * 2 + Number(isBlock);
    const old = Atomics.exchange(mailboxes, box, posted);
    if (old !== 0) pmm.give(Math.floor(old / 2) - 1, (old & 1) === 1 ? 9 : 0);
  }
  if (worker > 1) pmm.drain();
  postMessage("done");
}

/** The page: three workers at once, one of which ends with its page stacks full; then every frame is accounted for. */
async function run(): Promise<Report> {
  const pmm = new Pmm({ ranges: [range(0, 159), range(256, 4096 + 16 * 512)], shared: true, workers: WORKERS + 1 });
  const mailboxes = new Int32Array(new SharedArrayBuffer(4 * 700));
  const stop = new Int32Array(new SharedArrayBuffer(4 * (WORKERS + 1)));
  const workers = Array.from({ length: WORKERS }, (_, i) => {
    const thread = new Worker("/script.js", { type: "module" });
    const messages: (() => void)[] = [];
    thread.onmessage = () => messages.shift()?.();
    const next = (): Promise<void> => new Promise((resolve) => messages.push(resolve));
    const ready = next();
    const task: Task = { share: pmm.share, worker: i + 1, mailboxes, stop };
    thread.postMessage(task);
    return { thread, ready, done: next() };
  });
  await Promise.all(workers.map(({ ready }) => ready));
  await new Promise((resolve) => setTimeout(resolve, 300));
  /* `terminate()` would let a busy worker run on for two seconds: this one ends by itself, its page stacks full. */
  Atomics.store(stop, 1, 1);
  await workers[0]?.done;
  pmm.recover(1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (let worker = 2; worker <= WORKERS; worker += 1) Atomics.store(stop, worker, 1);
  await Promise.all(workers.map(({ done }) => done));
  pmm.check();
  const takes = pmm.stats().zones.reduce((sum, zone) => sum + zone.takenFrames, 0);
  for (let pfn = 0; pfn < 4096 + 16 * 512; pfn += 1) {
    const use = pmm.useOf(pfn);
    if (use === "taken") pmm.give(pfn);
    else if (use === "taken-2M") pmm.give(pfn, 9);
  }
  pmm.check();
  const frames = pmm.stats().totalFrames;
  let taken = 0;
  while (pmm.take({ ...BLOCK, order: 0, borrow: true }) !== NO_FRAME) taken += 1;
  return { isolated: crossOriginIsolated, takes, taken, frames };
}

if (typeof document === "undefined") {
  addEventListener("message", (event: MessageEvent<Task>) => work(event.data));
} else {
  Object.assign(globalThis, { report: run() });
}
