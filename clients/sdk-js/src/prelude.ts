// The web APIs that QuickJS lacks. Evaluated before the agent's own modules, at build time.
import "./text-encoding.ts";
import "core-js/actual/url/index.js";
import "core-js/actual/url-search-params/index.js";
import "core-js/actual/structured-clone.js";
import { Event, EventTarget } from "event-target-shim";
import { ReadableStream, TransformStream, WritableStream } from "web-streams-polyfill";
import { AbortController, AbortSignal } from "./abort.ts";
import { console } from "./console.ts";
import { fetch, Request, Response } from "./fetch.ts";
import { Headers } from "./headers.ts";
import { crypto, random } from "./random.ts";
import { clearTimeout, setInterval, setTimeout } from "./timers.ts";

const globals = {
  AbortController,
  AbortSignal,
  Event,
  EventTarget,
  Headers,
  ReadableStream,
  Request,
  Response,
  TransformStream,
  WritableStream,
  clearInterval: clearTimeout,
  clearTimeout,
  console,
  crypto,
  fetch,
  self: globalThis,
  setInterval,
  setTimeout,
};
for (const [name, value] of Object.entries(globals)) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true, enumerable: false });
}
Math.random = random;
