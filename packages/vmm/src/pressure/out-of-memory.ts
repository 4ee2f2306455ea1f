import { VmmError } from "../errors.ts";

/** What is known of a space when one has to go. All in pages. */
export interface OutOfMemoryCandidate {
  /** The space. */
  readonly id: number;
  /** Its name in reports. */
  readonly name: string;
  /** Pages in frames that would become free: shared ones count for their share. */
  readonly residentPages: number;
  /** Pages in swap. */
  readonly swappedPages: number;
  /** Frames of its tables. */
  readonly tablePages: number;
  /** −1000 … 1000: thousandths of all memory added to its size; −1000: never chosen. */
  readonly adjustment: number;
  /** Why it cannot go now (the kernel; it is going already), undefined where it can. */
  readonly exempt?: string;
}

/** How a candidate was judged. */
export interface OutOfMemoryScore {
  /** Which. */
  readonly candidate: OutOfMemoryCandidate;
  /** The higher, the sooner it goes; −Infinity: not at all. */
  readonly score: number;
  /** The score as a sentence. */
  readonly because: string;
}

/** A decision. */
export interface OutOfMemoryChoice {
  /** Who goes, null where nobody can. */
  readonly victim: OutOfMemoryCandidate | null;
  /** All candidates, the first to go first. */
  readonly scores: readonly OutOfMemoryScore[];
}

/** Judges a candidate; replaceable. */
export interface OutOfMemoryPolicy {
  /** The score of one candidate where memory and swap are `totalPages` pages in all. */
  score(candidate: OutOfMemoryCandidate, totalPages: number): OutOfMemoryScore;
}

/**
 * The policy that is used unless told otherwise: who sets the most memory free goes, as in Linux; `adjustment` shifts that.
 *
 * Source: Linux, mm/oom_kill.c, oom_badness; documentation, filesystems/proc, oom_score_adj.
 */
export const largestFirst: OutOfMemoryPolicy = {
  score(candidate, totalPages) {
    const { name, residentPages, swappedPages, tablePages, adjustment, exempt } = candidate;
    if (!(adjustment >= -1000 && adjustment <= 1000))
      throw new VmmError("out-of-range", "An adjustment is −1000 to 1000.", { adjustment });
    if (exempt !== undefined) return { candidate, score: -Infinity, because: `${name} is exempt: ${exempt}` };
    if (adjustment === -1000) return { candidate, score: -Infinity, because: `${name} is exempt: adjustment −1000` };
    const size = residentPages + swappedPages + tablePages;
    const shift = Math.round((adjustment * totalPages) / 1000);
    const parts = `${String(residentPages)} resident + ${String(swappedPages)} swapped + ${String(tablePages)} table pages`;
    const shifted =
      shift === 0 ? "" : `, ${shift > 0 ? "+" : "−"} ${String(Math.abs(shift))} by adjustment ${String(adjustment)}`;
    return { candidate, score: size + shift, because: `${name} would free ${String(size)}: ${parts}${shifted}` };
  },
};

/** Decides who goes: the highest score, among equals the highest id (the youngest). */
export function chooseVictim(
  candidates: readonly OutOfMemoryCandidate[],
  totalPages: number,
  policy: OutOfMemoryPolicy = largestFirst,
): OutOfMemoryChoice {
  const scores = candidates
    .map((candidate) => policy.score(candidate, totalPages))
    .sort((a, b) => (a.score === b.score ? b.candidate.id - a.candidate.id : b.score - a.score));
  const first = scores[0];
  return { victim: first === undefined || first.score === -Infinity ? null : first.candidate, scores };
}
