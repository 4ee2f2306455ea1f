// A worker thread does not inherit tsx from the main thread: this lets it import TypeScript, and starts the writer.
import { register } from "tsx/esm/api";

register();
await import("./writer.ts");
