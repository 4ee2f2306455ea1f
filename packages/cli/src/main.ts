#!/usr/bin/env node
/** The `pagewright` command. */
import { run } from "./run.ts";

await run(process.argv.slice(2));
