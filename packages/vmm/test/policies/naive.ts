/** The policies once more, as slow and as plain as their papers' pseudo-code: arrays, scans, nothing shared. Oracles. */

/** Says for each request whether it missed. */
export type NaivePolicy = (requests: readonly number[], frames: number) => boolean[];

/** Runs a policy that is given as "is it resident" and "what happens". */
function run(requests: readonly number[], access: (page: number, moment: number) => boolean): boolean[] {
  return requests.map((page, moment) => access(page, moment));
}

function drop(list: number[], page: number): boolean {
  const at = list.indexOf(page);
  if (at >= 0) list.splice(at, 1);
  return at >= 0;
}

const opt: NaivePolicy = (requests, frames) => {
  const resident: number[] = [];
  return run(requests, (page, moment) => {
    if (resident.includes(page)) return false;
    const distance = (other: number): number => {
      const next = requests.indexOf(other, moment + 1);
      return next < 0 ? Infinity : next;
    };
    if (resident.length === frames) {
      resident.sort((a, b) => (distance(a) === distance(b) ? 0 : distance(a) - distance(b)));
      resident.pop();
    }
    resident.push(page);
    return true;
  });
};

const lru: NaivePolicy = (requests, frames) => {
  const stack: number[] = [];
  return run(requests, (page) => {
    const hit = drop(stack, page);
    if (!hit && stack.length === frames) stack.pop();
    stack.unshift(page);
    return !hit;
  });
};

const fifo: NaivePolicy = (requests, frames) => {
  const queue: number[] = [];
  return run(requests, (page) => {
    if (queue.includes(page)) return false;
    if (queue.length === frames) queue.pop();
    queue.unshift(page);
    return true;
  });
};

/** A ring of frames, filled in order, one hand. */
const clockWith =
  (bitOnInsert: boolean): NaivePolicy =>
  (requests, frames) => {
    const ring: { page: number; used: boolean }[] = [];
    let hand = 0;
    return run(requests, (page) => {
      const entry = ring.find((other) => other.page === page);
      if (entry !== undefined) {
        entry.used = true;
        return false;
      }
      const fresh = { page, used: bitOnInsert };
      if (ring.length < frames) {
        ring.push(fresh);
        return true;
      }
      for (let looked = ring[hand]; looked?.used === true; looked = ring[hand]) {
        looked.used = false;
        hand = (hand + 1) % frames;
      }
      ring[hand] = fresh;
      hand = (hand + 1) % frames;
      return true;
    });
  };

/** The queue newest first; the hand as an index into it. */
const sieve: NaivePolicy = (requests, frames) => {
  const queue: { page: number; visited: boolean }[] = [];
  let hand: { page: number; visited: boolean } | undefined;
  return run(requests, (page) => {
    const entry = queue.find((other) => other.page === page);
    if (entry !== undefined) {
      entry.visited = true;
      return false;
    }
    if (queue.length === frames) {
      let at = hand === undefined ? queue.length - 1 : queue.indexOf(hand);
      for (;;) {
        const looked = queue[at];
        if (looked?.visited !== true) break;
        looked.visited = false;
        at = at === 0 ? queue.length - 1 : at - 1;
      }
      hand = queue[at - 1];
      queue.splice(at, 1);
    }
    queue.unshift({ page, visited: false });
    return true;
  });
};

const twoQueue: NaivePolicy = (requests, frames) => {
  const a1in: number[] = [];
  const a1out: number[] = [];
  const am: number[] = [];
  const reclaim = (): void => {
    if (a1in.length + am.length < frames) return;
    if (a1in.length > Math.floor(frames / 4) || am.length === 0) {
      a1out.unshift(...a1in.splice(-1));
      if (a1out.length > Math.floor(frames / 2)) a1out.pop();
    } else am.pop();
  };
  return run(requests, (page) => {
    if (drop(am, page)) {
      am.unshift(page);
      return false;
    }
    if (a1in.includes(page)) return false;
    const remembered = drop(a1out, page);
    reclaim();
    (remembered ? am : a1in).unshift(page);
    return true;
  });
};

const arc: NaivePolicy = (requests, c) => {
  const t1: number[] = [];
  const t2: number[] = [];
  const b1: number[] = [];
  const b2: number[] = [];
  let p = 0;
  const replace = (page: number): void => {
    if (t1.length >= 1 && ((b2.includes(page) && t1.length === p) || t1.length > p)) b1.unshift(...t1.splice(-1));
    else b2.unshift(...t2.splice(-1));
  };
  return run(requests, (page) => {
    if (drop(t1, page) || drop(t2, page)) {
      t2.unshift(page);
      return false;
    }
    if (b1.includes(page)) {
      p = Math.min(c, p + (b1.length >= b2.length ? 1 : b2.length / b1.length));
      replace(page);
      drop(b1, page);
      t2.unshift(page);
      return true;
    }
    if (b2.includes(page)) {
      p = Math.max(0, p - (b2.length >= b1.length ? 1 : b1.length / b2.length));
      replace(page);
      drop(b2, page);
      t2.unshift(page);
      return true;
    }
    if (t1.length + b1.length === c) {
      if (t1.length < c) {
        b1.pop();
        replace(page);
      } else t1.pop();
    } else if (t1.length + t2.length + b1.length + b2.length >= c) {
      if (t1.length + t2.length + b1.length + b2.length === 2 * c) b2.pop();
      replace(page);
    }
    t1.unshift(page);
    return true;
  });
};

const lirs: NaivePolicy = (requests, frames) => {
  const lirLimit = frames - Math.max(1, Math.floor(frames / 100));
  const stack: number[] = [];
  const queue: number[] = [];
  const lir = new Set<number>();
  const prune = (): void => {
    while (stack.length > 0 && !lir.has(stack[stack.length - 1] ?? -1)) stack.pop();
  };
  const becomeLir = (page: number): void => {
    lir.add(page);
    if (lir.size > lirLimit) {
      const bottom = stack.pop() ?? -1;
      lir.delete(bottom);
      queue.push(bottom);
    }
    prune();
  };
  return run(requests, (page) => {
    const inStack = drop(stack, page);
    stack.unshift(page);
    if (lir.has(page)) {
      prune();
      return false;
    }
    const hit = drop(queue, page);
    if (!hit && lir.size + queue.length === frames) queue.shift();
    if (inStack || (!hit && lir.size < lirLimit)) becomeLir(page);
    else queue.push(page);
    prune();
    return !hit;
  });
};

const s3Fifo: NaivePolicy = (requests, frames) => {
  const small: number[] = [];
  const main: number[] = [];
  const ghost: number[] = [];
  const uses = new Map<number, number>();
  const usesOf = (page: number | undefined): number => uses.get(page ?? -1) ?? 0;
  const evictMain = (): boolean => {
    for (let page = main.pop(); page !== undefined; page = main.pop()) {
      if (usesOf(page) === 0) return true;
      uses.set(page, usesOf(page) - 1);
      main.unshift(page);
    }
    return false;
  };
  const evictSmall = (): boolean => {
    for (let page = small.pop(); page !== undefined; page = small.pop()) {
      if (usesOf(page) <= 1) {
        ghost.unshift(page);
        if (ghost.length > Math.floor(frames * 0.9)) ghost.pop();
        return true;
      }
      uses.set(page, 0);
      main.unshift(page);
    }
    return false;
  };
  return run(requests, (page) => {
    if (small.includes(page) || main.includes(page)) {
      uses.set(page, Math.min(usesOf(page) + 1, 3));
      return false;
    }
    if (small.length + main.length === frames) {
      const smallFirst = small.length >= Math.max(1, Math.floor(frames / 10));
      const evicted = smallFirst ? evictSmall() || evictMain() : evictMain() || evictSmall();
      if (!evicted) throw new Error("nothing to evict");
    }
    (drop(ghost, page) ? main : small).unshift(page);
    uses.set(page, 0);
    return true;
  });
};

/** By the name of the policy. */
export const naivePolicies: Readonly<Record<string, NaivePolicy>> = {
  opt,
  lru,
  fifo,
  clock: clockWith(true),
  clock0: clockWith(false),
  "2q": twoQueue,
  arc,
  lirs,
  "s3-fifo": s3Fifo,
  sieve,
};
