// The driver in Node: a command is a line of JSON on standard input, an answer one on standard output.

import { createInterface } from "node:readline";

import * as longline from "longline";
import { FileStore } from "longline/node";

import { driver } from "./driver.mjs";

const obey = driver(
  longline,
  (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`),
  (name) => new FileStore(name),
);
createInterface({ input: process.stdin })
  .on("line", (line) => obey(JSON.parse(line)))
  .on("close", () => process.exit(0));
