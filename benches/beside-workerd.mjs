// Direct calls of an agent in a release build of pruntime, and of the same module in workerd, which
// isolates nothing from call to call, signs nothing and keeps no limits: what the web is used to.
//   phala build benches/items && node benches/beside-workerd.mjs <pruntime> [seconds] [connections]
// Both serve on loopback, in turns, so that neither has the machine's better minutes.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { measure } from "./direct-call.mjs";

const WORKERD = "1.20261117.1";
const TURNS = 3;

const [binary, seconds = "5", connections = "8"] = process.argv.slice(2);
if (!binary) {
  console.error("usage: node benches/beside-workerd.mjs <pruntime> [seconds] [connections]");
  process.exit(2);
}
const here = path.dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(path.join(os.tmpdir(), "phala-bench-"));
const children = [];

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function answers(url) {
  for (let tries = 0; tries < 600; tries += 1) {
    const answer = await fetch(url).catch(() => {});
    if (answer?.ok) return answer.text();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} does not answer`);
}

function start(program, args) {
  children.push(spawn(program, args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, RUST_LOG: "warn" } }));
}

async function pruntime() {
  const port = await freePort();
  start(path.resolve(binary), ["--dev-agent", path.join(here, "items"), `--public-listen=127.0.0.1:${port}`]);
  return `http://127.0.0.1:${port}/agents/items`;
}

async function workerd() {
  const sdk = path.join(here, "../clients/sdk-js/node_modules/.bin/esbuild");
  execFileSync("npm", ["install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", `workerd@${WORKERD}`]);
  execFileSync(sdk, [path.join(here, "items/src/index.ts"), "--format=esm", `--outfile=${path.join(folder, "items.js")}`, "--log-level=error"]);
  const port = await freePort();
  writeFileSync(
    path.join(folder, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "items", worker = .items)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "items")]
);
const items :Workerd.Worker = (
  modules = [(name = "items", esModule = embed "items.js")],
  compatibilityDate = "2026-01-01"
);
`,
  );
  const { bin } = JSON.parse(readFileSync(path.join(folder, "node_modules/@cloudflare/workerd-linux-64/package.json"), "utf8"));
  const executable = bin?.workerd ?? "bin/workerd";
  start(path.join(folder, "node_modules/@cloudflare/workerd-linux-64", executable), ["serve", "config.capnp"]);
  return `http://127.0.0.1:${port}`;
}

try {
  const servers = { pruntime: await pruntime(), workerd: await workerd() };
  for (const call of ["/", "/items"]) {
    const [ours, theirs] = await Promise.all(Object.values(servers).map((url) => answers(url + call)));
    if (ours !== theirs) throw new Error(`${call}: they do not answer the same`);
  }
  console.log(`${os.cpus().length} × ${os.cpus()[0].model}, load ${os.loadavg()[0].toFixed(1)} at the start`);
  for (const call of ["/", "/items"]) {
    for (let turn = 1; turn <= TURNS; turn += 1) {
      for (const [name, url] of Object.entries(servers)) {
        await measure(url + call, 1, 1); // Warms up.
        console.log(`${call} ${name}: ${await measure(url + call, 1, Number(seconds))}`);
        console.log(`${call} ${name}: ${await measure(url + call, Number(connections), Number(seconds))}`);
      }
    }
  }
} finally {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
}
