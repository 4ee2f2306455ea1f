#!/usr/bin/env node
/** The `pagewright` command. */
import { run } from "./run.ts";
import { watchProcess } from "./watch.ts";

watchProcess(run(process.argv.slice(2)));
