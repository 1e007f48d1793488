// Runs the build tools that are npm packages, for the builder (src/node.rs).
//
// Standard input: one line of JSON, the request; it is then held open until the builder has its answer,
// and when it closes the builder is gone, so this process ends too. Standard output: the answer, JSON.
"use strict";

const { isBuiltin, SourceMap } = require("node:module");
const fs = require("node:fs");

const NODE_MAJOR_MIN = 20;

// The name of the module that puts the SDK and the agent together (src/bundle.rs).
const ENTRY = "<entry>";

// What an agent has in place of the modules of Node.js that packages ask for most.
const INSTEAD_OF = {
  assert: "the npm package assert",
  async_hooks: "nothing: pass the context along",
  buffer: "Uint8Array, TextEncoder, atob and btoa, or the npm package buffer",
  child_process: "nothing: an agent starts no processes",
  crypto: "crypto.getRandomValues and crypto.randomUUID, or a package in JavaScript such as @noble/hashes",
  dns: "fetch, which resolves names itself",
  events: "EventTarget, or the npm package events",
  fs: "env.state",
  http: "fetch",
  https: "fetch",
  http2: "fetch",
  net: "fetch",
  os: "nothing: an agent knows nothing of its machine",
  path: "URL, or the npm package path-browserify",
  perf_hooks: "performance",
  process: "env.config and env.secrets",
  punycode: "URL, or the npm package punycode",
  querystring: "URLSearchParams",
  stream: "ReadableStream and its kin",
  string_decoder: "TextDecoder",
  timers: "setTimeout and its kin",
  tls: "fetch",
  url: "URL and URLSearchParams",
  util: "the web APIs, such as TextEncoder and structuredClone, or the npm package util",
  worker_threads: "nothing: an agent has one thread",
  zlib: "a package in JavaScript such as fflate",
};

function hintFor(message) {
  const unresolved = /^Could not resolve "(.+)"/.exec(message.text)?.[1];
  if (unresolved !== undefined) {
    if (isBuiltin(unresolved)) {
      const name = unresolved.replace(/^node:/, "").split("/")[0];
      const instead = INSTEAD_OF[name] ?? "the web APIs that agents have";
      return (
        `"${unresolved}" is a module of Node.js, and agents do not run in Node.js. Instead: ${instead}. ` +
        `If a package imports it, look whether the package has an entry for browsers or workers.`
      );
    }
    if (message.notes.some((note) => /^None of the conditions/.test(note.text))) {
      return "The package has nothing there for browsers or workers, which is what agents take: look for another entry of it, or for another package.";
    }
    // A path that is not exported, a file of a package that is not there: esbuild's notes say which.
    if (message.notes.length > 0) return undefined;
    if (unresolved.startsWith(".") || unresolved.startsWith("/")) {
      return "There is no such file beside the one that imports it.";
    }
    const name = unresolved.split("/", unresolved.startsWith("@") ? 2 : 1).join("/");
    return `Is the package installed? In the agent's folder: npm install ${name}`;
  }
  if (message.location?.file === ENTRY && /^No matching export .* "default"$/.test(message.text)) {
    return "An agent's main module has a default export: export default { fetch(request, env, ctx) { … } }";
  }
  if (message.text.startsWith("The JSX syntax extension is not currently enabled")) {
    return "JSX is taken in files that end in .jsx or .tsx.";
  }
  const extension = /^No loader is configured for "(\.[^"]+)" files/.exec(message.text)?.[1];
  if (extension !== undefined) {
    const why = { ".node": " Native add-ons of Node.js cannot run.", ".wasm": " WebAssembly cannot be loaded from JavaScript." };
    return `Agents are made of JavaScript, TypeScript, JSON and text (.txt).${why[extension] ?? ""}`;
  }
  return undefined;
}

// esbuild advises in terms of its own options, which the developer of an agent does not set.
const ADVICE_OF_ESBUILD = /as external|--platform|"platform"|platform:|--loader|"loader"|loader:|main fields|mainFields|--main-fields|--format|format:|--conditions|conditions:|--supported|\besbuild\b/i;

function inOurWords(message) {
  const notes = message.notes.filter((note) => !ADVICE_OF_ESBUILD.test(note.text));
  const hint = hintFor({ ...message, notes });
  if (hint !== undefined) notes.push({ text: hint, location: null });
  // The builder wrote that one, not the developer.
  const location = message.location?.file === ENTRY ? null : message.location;
  return { ...message, location, notes };
}

async function bundle({ esbuild: folder, options }) {
  const esbuild = require(folder);
  const format = (messages, kind) =>
    esbuild.formatMessagesSync(messages.map(inOurWords), { kind, color: false }).join("\n").trim();
  try {
    const result = await esbuild.build({ ...options, outfile: "agent.js", write: false, logLevel: "silent" });
    const text = (end) => result.outputFiles.find((file) => file.path.endsWith(end)).text;
    return { Bundle: { code: text(".js"), map: text(".js.map"), warnings: format(result.warnings, "warning") } };
  } catch (error) {
    if (!Array.isArray(error.errors)) throw error;
    return { Refused: format(error.errors, "error") };
  }
}

// The engine knows lines of the bundle only.
function inSources(text, map) {
  const sources = new SourceMap(JSON.parse(map));
  return text.replace(/componentize-qjs:user\.js:(\d+):(\d+)/g, (place, line, column) => {
    const { originalSource, originalLine, originalColumn } = sources.findEntry(line - 1, column - 1);
    return originalSource === undefined ? place : `${originalSource}:${originalLine + 1}:${originalColumn + 1}`;
  });
}

async function componentize({ binding, engine, wit, world, module, map, component }) {
  const { componentize } = require(binding);
  let result;
  try {
    result = await componentize({
      witPath: wit,
      world,
      jsSource: fs.readFileSync(module, "utf8"),
      runtimeBytes: fs.readFileSync(engine),
    });
  } catch (error) {
    const text = error.message.trim();
    const thrown = /^:? ?Failed to evaluate user JavaScript module: (?:Failed to [a-z]+ JavaScript module(?: evaluation)?: )?/;
    if (!thrown.test(text)) return { Refused: text };
    return { Threw: inSources(text.replace(thrown, ""), fs.readFileSync(map, "utf8")) };
  }
  fs.writeFileSync(component, result.component);
  return "Component";
}

async function answer(request) {
  const version = process.versions.node;
  if (Number(version.split(".")[0]) < NODE_MAJOR_MIN) return { TooOld: version };
  return "Bundle" in request ? bundle(request.Bundle) : componentize(request.Componentize);
}

function end(answer) {
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
}

let received = "";
let started = false;
process.stdin.setEncoding("utf8");
process.stdin.on("end", () => process.exit(1));
process.stdin.on("data", (chunk) => {
  received += chunk;
  if (started || !received.endsWith("\n")) return;
  started = true;
  answer(JSON.parse(received)).then(end, (error) => end({ Failed: String(error?.stack ?? error) }));
});
