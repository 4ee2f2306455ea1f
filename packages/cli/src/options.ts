/** Readers for option values that commander hands over as text. */
import { UsageError } from "./output.ts";

/**
 * Returns a reader for an option that is a whole number.
 *
 * @param option - The option, as it is named in complaints.
 * @throws {@link UsageError} from the reader, unless the text is a number from `least` to `most`.
 */
export function wholeNumber(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new UsageError(`${option} ${text}: expected a whole number from ${least} to ${most}`);
    return value;
  };
}

/** Returns the words of a comma-separated list, without empty ones. */
export function wordsOf(text: string): string[] {
  return text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}
