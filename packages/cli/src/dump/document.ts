/** Runs and differences as text lines, and runs as JSON with symbols. */
import { attributeFields, bigintOfVpn, formatBigint, jsonRun, rightsText } from "@pagewright/x86-paging";
import type { Difference, PagingMode, Run, Side } from "@pagewright/x86-paging";
import type { Symbols } from "../symbols.ts";

function sizeText(pages: number): string {
  let size = pages * 4;
  for (const unit of "KMGT") {
    if (size < 1024 || !Number.isInteger(size / 1024)) return `${size}${unit}`;
    size /= 1024;
  }
  return `${size}P`;
}

/** What of the attributes is worth a word. */
function flagsText(packed: number): string {
  const { global, memoryType, key, encrypted, ignorePat } = attributeFields(packed);
  const words = [
    global ? "global" : "",
    memoryType === 0 ? "" : `type ${memoryType}`,
    key === 0 ? "" : `key ${key}`,
    encrypted ? "encrypted" : "",
    ignorePat ? "ignore-PAT" : "",
  ];
  return words.filter((word) => word !== "").join(" ");
}

function spanText(vpn: number, pages: number): string {
  const start = bigintOfVpn(vpn);
  return `${formatBigint(start)}-${formatBigint(start + BigInt(pages) * 4096n)}`;
}

/** A run as one line. */
export function runText(mode: PagingMode, run: Run, symbols: Symbols | undefined): string {
  const page = mode.levels[run.level]?.page ?? "";
  const symbol = symbols?.nameOf(bigintOfVpn(run.vpn)) ?? "";
  const words = [
    spanText(run.vpn, run.pages),
    sizeText(run.pages).padStart(6),
    rightsText(run.rights),
    formatBigint(BigInt(run.pfn) * 4096n),
    page,
    flagsText(run.attributes),
    symbol,
  ];
  return `${words.join(" ").trimEnd()}\n`;
}

/** A run as JSON; `start`, `end` and `physical` are hex strings. */
export function runDocument(mode: PagingMode, run: Run, symbols: Symbols | undefined): unknown {
  const symbol = symbols?.nameOf(bigintOfVpn(run.vpn));
  return { ...jsonRun(mode, run), ...(symbol === undefined ? {} : { symbol }) };
}

function sideText(side: Side | undefined): string {
  return side === undefined
    ? "-"
    : `${formatBigint(BigInt(side.pfn) * 4096n)} ${rightsText(side.rights)} ${flagsText(side.attributes)}`.trimEnd();
}

/** A difference as one line. */
export function differenceText(difference: Difference): string {
  const { kind, vpn, pages, before, after } = difference;
  const sign = kind === "mapped" ? "+" : kind === "unmapped" ? "-" : "~";
  const how = kind === "changed" ? `${sideText(before)} -> ${sideText(after)}` : sideText(before ?? after);
  return `${sign} ${spanText(vpn, pages)} ${sizeText(pages).padStart(6)} ${how}\n`;
}
