// Makes `dist`: the modules with their types (tsc), and one file for pages that have no bundler (esbuild).

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const find = createRequire(import.meta.url).resolve;
const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const mqtt = dirname(find("mqtt/package.json"));
const { version: ofMqtt } = JSON.parse(readFileSync(join(mqtt, "package.json"), "utf8"));

rmSync(join(here, "dist"), { recursive: true, force: true });
execFileSync(process.execPath, [find("typescript/package.json").replace("package.json", "bin/tsc"), "-p", here], {
  stdio: "inherit",
});
await build({
  entryPoints: [join(here, "dist", "browser.js")],
  outfile: join(here, "dist", "longline.min.js"),
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  legalComments: "none",
  banner: {
    js: `/*! longline ${version}, Apache-2.0. Contains MQTT.js ${ofMqtt}, MIT: see THIRD-PARTY.txt. */`,
  },
});
writeFileSync(
  join(here, "dist", "THIRD-PARTY.txt"),
  `longline.min.js contains MQTT.js ${ofMqtt}:\n\n${readFileSync(join(mqtt, "LICENSE.md"), "utf8")}`,
);
