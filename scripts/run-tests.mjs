// Runs all tests after `make build`, phase by phase, and says how long each phase and the slowest
// tests took. The last line sums all up: `N passed, N failed`.
//
// Cargo compiles, and says which test binaries there are; they are started from here, so that each test's
// time is known, and so that the networks of the end-to-end tests run side by side: they wait for blocks, and each
// takes a third of a processor. All other tests run meanwhile on what the networks leave.
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { dirname } from "node:path";

/** Every crate in `chain/pallets`: it is named after its folder, and cargo fails if it is not. */
const PALLETS = readdirSync("chain/pallets")
  .filter((name) => existsSync(`chain/pallets/${name}/Cargo.toml`))
  .map((name) => `pallet-${name}`);
const END_TO_END = "phala-end-to-end";
/** Of these a production build leaves out what is for development: their tests run in both. */
const TWOFOLD = ["phala-machine", "phala-pruntime"];
const { FEATURES } = process.env;
if (!FEATURES) {
  console.error("FEATURES is not set, the features of the development build: run this by `make test`");
  process.exit(2);
}
/** Started in this order, the longest first; what is not named comes after. */
const NETWORKS = ["agents", "restarts", "faults", "network_up", "validators"];
/** Too long for here: each has a make target of its own. */
const APART = ["hosts"];
const NETWORKS_AT_ONCE = 3;
const BINARY_SECONDS_MAX = 30 * 60;
const SLOWEST_SHOWN = 10;

const counts = { passed: 0, failed: 0 };
const tests = [];
const phases = [];

/** Runs a program; its exit code. Lines of stdout go to `onLine`, stderr to this one's or there too. */
function run(program, args, { cwd, env, onLine, both = false, secondsMax } = {}) {
  return new Promise((done) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", onLine ? "pipe" : "inherit", both ? "pipe" : "inherit"],
    });
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface({ input: stream }).on("line", onLine);
    }
    const timer = secondsMax && setTimeout(() => child.kill("SIGKILL"), secondsMax * 1000);
    child.on("error", (error) => {
      clearTimeout(timer);
      console.error(`cannot run ${program}: ${error.message}`);
      done(127);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal) console.error(`${program} was ended by ${signal}`);
      done(code ?? 1);
    });
  });
}

async function phase(name, work) {
  console.log(`\n==> ${name}`);
  const started = Date.now();
  await work();
  phases.push({ name, seconds: (Date.now() - started) / 1000 });
}

/** A step without tests of its own: it passes or all ends here. */
async function step(program, args, options) {
  const code = await run(program, args, options);
  if (code !== 0) {
    console.log(`${program} ${args.join(" ")} failed`);
    counts.failed += 1;
    finish();
  }
}

/** Has cargo compile tests; the binaries that it made. */
async function compile(args, env = {}) {
  const made = [];
  await step("cargo", ["test", "--locked", "--no-run", "--message-format=json-render-diagnostics", ...args], {
    env,
    onLine(line) {
      const message = JSON.parse(line);
      if (message.reason !== "compiler-artifact" || !message.profile.test || !message.executable) return;
      // …/name#version, or …/folder#name@version.
      const [place, version] = message.package_id.split("#");
      const named = version.includes("@") ? version.split("@")[0] : place.split("/").at(-1);
      made.push({ crate: named, target: message.target.name, path: message.executable, folder: dirname(message.manifest_path) });
    },
  });
  return made;
}

/** Reads what a test binary says: libtest's lines, with times, and those of the end-to-end tests. */
function reader(binary) {
  let summed = false;
  let ran = 0;
  let failed = 0;
  const read = (line) => {
    const ended = /^test (.+) \.\.\. (?:ok|FAILED) <([\d.]+)s>$/.exec(line);
    if (ended) tests.push({ name: `${binary.crate} ${ended[1]}`, seconds: Number(ended[2]) });
    const took = /^took ([\d.]+) s: (.+)$/.exec(line);
    if (took) tests.push({ name: `${binary.crate} ${took[2]}`, seconds: Number(took[1]) });
    const result = /^test result: .* (\d+) passed; (\d+) failed;/.exec(line);
    if (result) {
      summed = true;
      counts.passed += Number(result[1]);
      counts.failed += Number(result[2]);
      failed += Number(result[2]);
      ran += Number(result[1]) + Number(result[2]);
    }
  };
  /** A binary that fails without saying which of its tests did is one that failed; so is a required one without tests. */
  const end = (code) => {
    const empty = binary.required && ran === 0;
    if (summed && (code === 0 || failed > 0) && !empty) return;
    const how = !summed ? "without a result" : empty ? "and ran none of its tests" : "though none of its tests failed";
    console.log(`${binary.crate} ${binary.target} (${binary.path}) ended with ${code}, ${how}`);
    counts.failed += 1;
  };
  return { read, end };
}

/** Those that must be there and run something: a name that no binary has counts as failed. */
function mustRun(names, binaries, nameOf) {
  for (const name of names) {
    const found = binaries.filter((binary) => nameOf(binary) === name);
    for (const binary of found) binary.required = true;
    if (found.length > 0) continue;
    console.log(`there is no test binary of ${name}`);
    counts.failed += 1;
  }
}

/** After the networks: these wait for nobody, and nobody waits for them. */
const AFTER_NETWORKS = ["nice", "-n", "10"];

async function test(binary, { args = [], env = {}, held = false }) {
  const { read, end } = reader(binary);
  const lines = [`\n    ${binary.crate} ${binary.target}`];
  const started = Date.now();
  if (!held) console.log(lines.pop());
  const [program, ...rest] = held ? [binary.path, ...args] : [...AFTER_NETWORKS, binary.path, ...args];
  const code = await run(program, rest, {
    cwd: binary.folder,
    // As cargo does.
    env: { CARGO_MANIFEST_DIR: binary.folder, CARGO_PKG_NAME: binary.crate, ...env },
    both: held,
    secondsMax: BINARY_SECONDS_MAX,
    onLine(line) {
      read(line);
      if (held) lines.push(line);
      else if (line !== "") console.log(line);
    },
  });
  end(code);
  if (held) {
    console.log(lines.join("\n"));
    console.log(`    ${binary.target}: ${((Date.now() - started) / 1000).toFixed(0)} s`);
  }
}

/** libtest tells times only when it is asked as a nightly one; nothing is compiled with this. */
const WITH_TIMES = { args: ["-Zunstable-options", "--report-time"], env: { RUSTC_BOOTSTRAP: "1" } };

async function testAll(binaries) {
  for (const binary of binaries) await test(binary, WITH_TIMES);
}

function finish() {
  const slowest = tests.sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST_SHOWN);
  console.log(`\nThe ${slowest.length} slowest tests:`);
  for (const { name, seconds } of slowest) console.log(`  ${seconds.toFixed(1).padStart(6)} s  ${name}`);
  console.log("\nSeconds of each phase:");
  for (const { name, seconds } of phases) console.log(`  ${seconds.toFixed(1).padStart(6)} s  ${name}`);
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exit(counts.failed === 0 ? 0 : 1);
}

await phase("formatting", () => step("cargo", ["fmt", "--all", "--check"]));
await phase("types of the SDK", () => step("npm", ["run", "--silent", "check"], { cwd: "clients/sdk-js" }));

let all = [];
let pallets = [];
let production = [];
await phase("compiling", async () => {
  // The same packages as `make build`: nothing is compiled twice.
  all = await compile(["--workspace", "--features", FEATURES]);
  // Benchmarks are code too: each runs once, as a test, in the pallets' one run.
  const features = PALLETS.map((pallet) => `${pallet}/runtime-benchmarks`).join(",");
  pallets = await compile([...PALLETS.flatMap((pallet) => ["-p", pallet]), "--lib", "--features", features]);
  // What a production build does without the development features. The whole workspace, so that the
  // registry's crates are those of above, but for the tests of networks, which ask for these features.
  const ours = await compile(["--workspace", "--exclude", END_TO_END, "--lib", "--bin", "pruntime"]);
  production = ours.filter(({ crate }) => TWOFOLD.includes(crate));
  mustRun(TWOFOLD, production, ({ crate }) => crate);
  // Alone, and in a folder of its own: so few packages together unite other features, and in one folder
  // each of the two selections would have cargo compile the other's procedural macros anew.
  const apart = { CARGO_TARGET_DIR: `${process.env.CARGO_TARGET_DIR ?? "target"}/attestation` };
  production.push(...(await compile(["-p", "phala-attestation", "--no-default-features", "--lib"], apart)));
});

const networks = all.filter((binary) => binary.crate === END_TO_END && binary.target !== END_TO_END.replaceAll("-", "_"));
mustRun(NETWORKS, networks, ({ target }) => target);
mustRun(PALLETS, pallets, ({ crate }) => crate);
const units = all.filter((binary) => !networks.includes(binary) && !PALLETS.includes(binary.crate));
const rank = ({ target }) => (NETWORKS.includes(target) ? NETWORKS.indexOf(target) : NETWORKS.length);
const here = networks.filter(({ target }) => !APART.includes(target));
const waiting = here.toSorted((a, b) => rank(a) - rank(b));
const endToEnd = phase("end to end", async () => {
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await test(next, { held: true });
  };
  await Promise.all(Array.from({ length: NETWORKS_AT_ONCE }, lane));
});

const [nice, ...priority] = AFTER_NETWORKS;
await phase("unit tests", () => testAll(units));
await phase("pallets, with benchmarks", () => testAll(pallets));
await phase("enclave as in production", () => testAll(production));
await phase("examples in docs", async () => {
  const { read, end } = reader({ crate: "docs", target: "examples", path: "cargo test --doc" });
  const onLine = (line) => {
    read(line);
    if (/^test |^test result: (?!ok. 0)/.test(line)) console.log(line);
  };
  const args = ["cargo", "test", "--locked", "--workspace", "--exclude", END_TO_END, "--doc", "--no-fail-fast"];
  end(await run(nice, [...priority, ...args], { onLine }));
});
await phase("package", async () => {
  const code = await run(nice, [...priority, "scripts/test-package.sh"]);
  counts[code === 0 ? "passed" : "failed"] += 1;
});
await endToEnd;
console.log(`\nnot run here: ${APART.map((target) => `make test-${target}`).join(", ")}`);
finish();
