import { existsSync } from "node:fs";
import type { Command } from "commander";
import type { Item } from "../explain/item.ts";
import { explainNamed, REGISTER_NAMES } from "../explain/item.ts";
import { explainText } from "../explain/text.ts";
import { readText } from "../files.ts";
import { print, UsageError } from "../output.ts";
import { numberOf } from "../paging-options.ts";

/** Characters of a text that a complaint about it repeats. */
const SHOWN = 60;

/** Adds `pagewright explain …`: registers, error codes and pasted logs, in words. */
export function registerExplain(program: Command): void {
  program
    .command("explain")
    .summary("registers, error codes, a qemu -d int log or a kernel oops, in words")
    .description(
      `Explain NAME VALUE or NAME=VALUE (${REGISTER_NAMES.join(", ")}), or everything found in a log: a file, a pasted text, or standard input.`,
    )
    .argument("[what...]", "NAME=VALUE …, NAME VALUE …, a file, a quoted text; nothing or - for standard input")
    .option("--json", "print one JSON document")
    .action((what: string[], options: { readonly json?: boolean }) => {
      const items = itemsOf(what);
      print(
        options.json,
        () => ({ items }),
        () => items.map(textOf).join("\n"),
      );
    });
}

function itemsOf(what: readonly string[]): Item[] {
  const [first] = what;
  if (first === undefined || first === "-") return textItems(readText("-"), "standard input");
  if (what.length === 1 && existsSync(first)) return textItems(readText(first), first);
  const named = namedItems(what);
  const text = what.join(" ");
  return named ?? textItems(text, `"${text.slice(0, SHOWN)}"`);
}

/** NAME=VALUE and NAME VALUE, as long as every word is part of one; else undefined. */
function namedItems(words: readonly string[]): Item[] | undefined {
  const items: Item[] = [];
  for (let i = 0; i < words.length; i++) {
    const [name, own, ...rest] = (words[i] ?? "").split("=");
    const known = REGISTER_NAMES.includes((name ?? "").toLowerCase()) || /^#?pf$/i.test(name ?? "");
    if (!known || rest.length > 0) return undefined;
    const text = own ?? words[++i];
    if (text === undefined) throw new UsageError(`${name ?? ""}: the value is missing`);
    const item = explainNamed(name ?? "", numberOf(name ?? "", text));
    if (item !== undefined) items.push(item);
  }
  return items;
}

function textItems(text: string, where: string): Item[] {
  const items = explainText(text);
  if (items.length === 0)
    throw new UsageError(
      `${where}: nothing in it can be explained; give NAME=VALUE (${REGISTER_NAMES.join(", ")}), a qemu -d int log or a kernel oops`,
    );
  return items;
}

function textOf(item: Item): string {
  if (item.lines.length === 0) return item.sentence;
  return [
    `${item.name} ${item.value ?? ""}`,
    ...item.lines.map(({ name, bits, text }) => `  ${bits.padEnd(6)} ${name.padEnd(10)} ${text}`),
  ].join("\n");
}
