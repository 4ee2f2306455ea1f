/**
 * A file on a web server as the read-only backing of an object, fetched by HTTP ranges as its pages are needed (RFC 9110, "Range Requests").
 *
 * A server that ignores ranges, compresses them, or answers with other bytes than asked is refused; so is a file that is replaced while it is in use: its
 * entity tag, date and length are compared on every answer. Pages of two versions never meet in one object.
 */
import type { AsyncBackingStore } from "../ports.ts";
import { VmmError } from "../errors.ts";
import { parseContentRange, type ContentRange } from "./content-range.ts";
import { isStoreFailure, reasonOf, storeFailure } from "./store-failure.ts";
import { bytesWithin } from "./transfer-range.ts";

/** How an {@link HttpBacking} talks to its server. */
export interface HttpBackingOptions {
  /** Headers sent with every request, such as an authorization. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Requests made for one transfer before it rejects, 1 … 100. Default 4. */
  readonly attempts?: number;
  /** Milliseconds that one request may take. Default 30,000. */
  readonly timeoutMs?: number;
  /** The wait before attempt 2, 3, …: default 100 ms, doubled each time, or what the server's `Retry-After` asks for, at most 10 s. */
  readonly pause?: (attempt: number, askedMs: number) => Promise<void>;
  /** Ends all transfers when aborted: they reject with `store-unreachable`. */
  readonly signal?: AbortSignal;
  /** What makes the requests. Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
}

/** What an {@link HttpBacking} has done so far. */
export interface HttpBackingStats {
  /** Requests sent, the one that opened the file included. */
  readonly requests: number;
  /** Requests after the first of a transfer. */
  readonly retries: number;
  /** Bytes of the file received. */
  readonly readBytes: number;
}

/** How an answer ends: the bytes are there, or the transfer may be tried again after `askedMs` (−1: no wish), and why. */
type Answer = { readonly retry: false } | { readonly retry: true; readonly why: string; readonly askedMs: number };

const DONE: Answer = { retry: false };
const LONGEST_PAUSE_MS = 10_000;

/** The bytes behind a URL. Make one with {@link HttpBacking.open}. */
export class HttpBacking implements AsyncBackingStore {
  /** Where the file is. */
  readonly url: string;
  readonly #options: HttpBackingOptions;
  readonly #attempts: number;
  /** −1 until the first answer. */
  #size = -1;
  #etag: string | null = null;
  #modified: string | null = null;
  #requests = 0;
  #retries = 0;
  #readBytes = 0;

  private constructor(url: string, options: HttpBackingOptions) {
    const attempts = options.attempts ?? 4;
    if (!Number.isInteger(attempts) || attempts < 1 || attempts > 100)
      throw new VmmError("out-of-range", `a transfer is tried 1 … 100 times, not ${attempts}`, { attempts });
    this.url = url;
    this.#options = options;
    this.#attempts = attempts;
  }

  /**
   * Learns the file's size and version with a request for its first byte.
   *
   * Rejects with `store-unreachable` where no attempt got an answer, `store-refused` where the server says no (4xx), `store-contract` where it does
   * not serve ranges of plain bytes.
   */
  static async open(url: string | URL, options: HttpBackingOptions = {}): Promise<HttpBacking> {
    const store = new HttpBacking(String(url), options);
    await store.#transfer(0, new Uint8Array(1), 1);
    return store;
  }

  /** Bytes in the file. */
  size(): number {
    return this.#size;
  }

  /**
   * Reads `into.length` bytes at `offset` in one request; what lies beyond the end reads as zero.
   *
   * Rejects with `store-unreachable`, `store-refused`, `store-changed` or `store-contract`; `into` may then hold a part.
   */
  async readLater(offset: number, into: Uint8Array): Promise<void> {
    const bytes = bytesWithin(offset, into.length, this.#size);
    if (bytes > 0) await this.#transfer(offset, into, bytes);
    into.fill(0, bytes);
  }

  /** Requests, retries and bytes so far. */
  stats(): HttpBackingStats {
    return { requests: this.#requests, retries: this.#retries, readBytes: this.#readBytes };
  }

  /** Fetches `into[0 … bytes)`; an attempt goes on where the one before broke off. */
  async #transfer(offset: number, into: Uint8Array, bytes: number): Promise<void> {
    const progress = { done: 0 };
    let why = "";
    for (let attempt = 1; attempt <= this.#attempts; attempt++) {
      const answer = await this.#attempt(offset, into, bytes, progress);
      if (!answer.retry) return;
      why = answer.why;
      if (this.#options.signal?.aborted === true) break;
      if (attempt === this.#attempts) break;
      this.#retries++;
      await (this.#options.pause ?? pause)(attempt + 1, answer.askedMs);
    }
    throw storeFailure("store-unreachable", `${this.url} did not answer: ${why}`, { offset, bytes });
  }

  async #attempt(offset: number, into: Uint8Array, bytes: number, progress: { done: number }): Promise<Answer> {
    const start = offset + progress.done;
    const end = offset + bytes;
    const given = this.#options.signal;
    const late = AbortSignal.timeout(this.#options.timeoutMs ?? 30_000);
    const signal = given === undefined ? late : AbortSignal.any([given, late]);
    this.#requests++;
    try {
      const response = await (this.#options.fetch ?? globalThis.fetch)(this.url, {
        headers: { ...this.#options.headers, "accept-encoding": "identity", range: `bytes=${start}-${end - 1}` },
        cache: "no-store",
        signal,
      });
      try {
        const refusal = this.#judge(response, start, end);
        if (refusal !== null) return refusal;
        return await this.#receive(response, into, bytes, progress);
      } finally {
        if (response.body !== null && !response.bodyUsed) await response.body.cancel();
      }
    } catch (thrown) {
      if (isStoreFailure(thrown)) throw thrown;
      return { retry: true, why: reasonOf(thrown), askedMs: -1 };
    }
  }

  /** Whether the head of an answer is right: null if its body is to be read; throws where asking again cannot help. */
  #judge(response: Response, start: number, end: number): Answer | null {
    const { status, headers } = response;
    if (status === 429 || status === 408 || status >= 500)
      return { retry: true, why: `status ${status}`, askedMs: askedPause(headers.get("retry-after")) };
    const range = parseContentRange(headers.get("content-range"));
    if (status === 416 && range !== null) {
      this.#requireVersion(headers, range);
      if (range.size !== 0) this.#break(`it refuses bytes ${start} to ${end - 1} of ${range.size}`, status);
      return DONE;
    }
    if (status >= 400) throw storeFailure("store-refused", `${this.url} answers ${status}`, { status });
    if (status !== 206) this.#break("it does not serve ranges", status);
    const encoding = headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") this.#break(`it encodes ranges (${encoding})`, status);
    if (range === null || range.start < 0) this.#break("its Content-Range cannot be read", status);
    this.#requireVersion(headers, range);
    if (range.start !== start || range.end !== Math.min(end, this.#size))
      this.#break(`asked for bytes ${start} to ${end - 1}, it sends ${range.start} to ${range.end - 1}`, status);
    return null;
  }

  /** The first answer fixes size and version; every other one has to agree. */
  #requireVersion(headers: Headers, range: ContentRange): void {
    const etag = headers.get("etag");
    const modified = headers.get("last-modified");
    if (range.size < 0) this.#break("it does not say the file's size", 206);
    if (this.#size < 0) {
      this.#size = range.size;
      this.#etag = etag;
      this.#modified = modified;
      return;
    }
    if (range.size !== this.#size || etag !== this.#etag || modified !== this.#modified)
      throw storeFailure("store-changed", `${this.url} was replaced while it was in use`, {
        size: range.size,
        expectedSize: this.#size,
        etag: etag ?? "",
        expectedEtag: this.#etag ?? "",
      });
  }

  async #receive(response: Response, into: Uint8Array, bytes: number, progress: { done: number }): Promise<Answer> {
    if (response.body === null) return { retry: true, why: "the answer has no body", askedMs: -1 };
    const reader = response.body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (value.length > bytes - progress.done) this.#break("it sends more bytes than it announced", 206);
        into.set(value, progress.done);
        progress.done += value.length;
        this.#readBytes += value.length;
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
    if (progress.done === bytes) return DONE;
    return { retry: true, why: `the answer ends after ${progress.done} of ${bytes} bytes`, askedMs: -1 };
  }

  #break(sentence: string, status: number): never {
    throw storeFailure("store-contract", `${this.url} cannot be used: ${sentence}`, { status });
  }
}

/** Milliseconds of a `Retry-After` header in seconds, −1 without one (its date form needs a clock, and is ignored). */
function askedPause(header: string | null): number {
  return header !== null && /^\d{1,6}$/.test(header.trim()) ? Number(header) * 1000 : -1;
}

async function pause(attempt: number, askedMs: number): Promise<void> {
  const ms = Math.min(LONGEST_PAUSE_MS, askedMs >= 0 ? askedMs : 100 * 2 ** (attempt - 2));
  await new Promise((resolve) => setTimeout(resolve, ms));
}
