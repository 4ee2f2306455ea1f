/*
 * The host's side of ballooning: several guests whose memory together exceeds the real one. A guest frame has real memory
 * behind it from its first touch until a balloon takes it or the guest reports it free.
 */
import type { Balloon } from "./balloon.ts";
import { PmmError } from "./errors.ts";
import type { FrameSource } from "./ports.ts";
import { NO_FRAME } from "./units.ts";
import type { Pfn } from "./units.ts";

/** What a host does when a guest touches a frame and no real frame is left. */
export type HostTouch = "backed" | "fresh" | "out-of-memory";

/** One guest: which real frame is behind each of its frames. */
export class HostedGuest {
  /** The guest's name. */
  readonly name: string;
  /** The guest's balloon, once it has one. */
  balloon: Balloon | null = null;
  readonly #real: FrameSource;
  readonly #backing = new Map<Pfn, Pfn>();

  constructor(name: string, real: FrameSource) {
    this.name = name;
    this.#real = real;
  }

  /** Real frames behind this guest. */
  get backedFrames(): number {
    return this.#backing.size;
  }

  /** The real frame behind a guest frame, or `NO_FRAME`. */
  realOf(pfn: Pfn): Pfn {
    return this.#backing.get(pfn) ?? NO_FRAME;
  }

  /** The guest touches a frame: real memory appears behind it. */
  touch(pfn: Pfn): HostTouch {
    if (this.#backing.has(pfn)) return "backed";
    const real = this.#real.take();
    if (real === NO_FRAME) return "out-of-memory";
    this.#backing.set(pfn, real);
    return "fresh";
  }

  /** The guest does not need what is in `[pfn, pfn + frames)`: balloon or free-frame report. Returns real frames regained. */
  reclaim(pfn: Pfn, frames: number): number {
    let regained = 0;
    for (let at = pfn; at < pfn + frames; at += 1) {
      const real = this.#backing.get(at);
      if (real === undefined) continue;
      this.#backing.delete(at);
      this.#real.give(real);
      regained += 1;
    }
    return regained;
  }

  /** The real frames behind this guest. */
  realFrames(): Pfn[] {
    return [...this.#backing.values()];
  }
}

/** Real memory that several guests share, whose memory together exceeds it: a guest's frame has a real one from its first touch until a balloon takes it. */
export class BalloonHost {
  readonly #real: FrameSource;
  readonly #guests = new Map<string, HostedGuest>();

  /** Over the host's own frames. */
  constructor(real: FrameSource) {
    this.#real = real;
  }

  /** The guests, in the order they came. */
  get guests(): readonly HostedGuest[] {
    return [...this.#guests.values()];
  }

  /** Admits a guest. Throws `bad-argument` for a name that is taken. */
  admit(name: string): HostedGuest {
    if (this.#guests.has(name)) throw new PmmError("bad-argument", `There is a guest ${name} already`);
    const guest = new HostedGuest(name, this.#real);
    this.#guests.set(name, guest);
    return guest;
  }

  /** Asks the other guests' balloons for `frames` real frames, from the largest guest down; returns how many came. */
  squeeze(frames: number, except: HostedGuest): number {
    let regained = 0;
    const others = this.guests.filter((guest) => guest !== except && guest.balloon !== null);
    for (const guest of others.sort((a, b) => b.backedFrames - a.backedFrames)) {
      if (regained >= frames || guest.balloon === null) break;
      const before = guest.backedFrames;
      guest.balloon.resize(guest.balloon.frames + frames - regained);
      regained += before - guest.backedFrames;
    }
    return regained;
  }

  /** Checks that no real frame is behind two guest frames. */
  check(): void {
    const seen = new Set<Pfn>();
    for (const guest of this.#guests.values()) {
      for (const pfn of guest.realFrames()) {
        if (seen.has(pfn)) throw new PmmError("broken-invariant", "A real frame is behind one guest frame", { pfn });
        seen.add(pfn);
      }
    }
  }
}
