import hostAgents from "phala:agent/agents@0.1.0";
import hostContext from "phala:agent/context@0.1.0";
import hostSecrets from "phala:agent/secrets@0.1.0";
import hostState from "phala:agent/state@0.1.0";
import type { Agents, Context, Env, Hex, ScanOptions, Secrets, State, StateEntry } from "../types/index.d.ts";
import { decodeText, encodeText } from "./body.ts";
import { Request, Response, readUnlessAborted } from "./fetch.ts";
import { awaitHost, callHost, fromHex, HostError, toHex } from "./host.ts";
import { calledFrom } from "./places.ts";

const SCAN_LIMIT_DEFAULT = 100;

const state: State = {
  getBytes: (key) => awaitHost("env.state", () => hostState.get(String(key))),
  async get(key) {
    const bytes = await state.getBytes(key);
    return bytes === null ? null : decodeText(bytes);
  },
  getJson<T>(key: string): Promise<T | null> {
    return calledFrom(async () => {
      const text = await state.get(key);
      return text === null ? null : (JSON.parse(text) as T);
    });
  },
  async set(key, value) {
    const bytes = typeof value === "string" ? encodeText(value) : value;
    if (!(bytes instanceof Uint8Array)) throw new TypeError("A value is a string or a Uint8Array; see setJson");
    callHost("env.state", () => hostState.set(String(key), bytes));
  },
  async setJson(key, value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError("This value has no JSON form");
    await state.set(key, text);
  },
  async delete(key) {
    callHost("env.state", () => hostState.delete(String(key)));
  },
  async scan({ prefix = "", after, limit = SCAN_LIMIT_DEFAULT }: ScanOptions = {}) {
    const entries = await awaitHost("env.state", () => hostState.scan(prefix, after ?? null, limit));
    return entries.map(({ key, value }): StateEntry => ({
      key,
      bytes: value,
      text: () => decodeText(value),
      json: () => JSON.parse(decodeText(value)),
    }));
  },
};

const secrets: Secrets = {
  get: (name) => awaitHost("env.secrets", () => hostSecrets.get(String(name))),
};

// Requests to an agent have no host; this one only makes a whole URL of a path.
const AGENT_ORIGIN = "http://agent";

const agents: Agents = {
  fetch: (agent, input, init) => calledFrom(() => callAgent(agent, input, init)),
};

async function callAgent(...[agent, input, init]: Parameters<Agents["fetch"]>): ReturnType<Agents["fetch"]> {
  const id = typeof agent === "string" ? fromHex(agent) : agent;
  if (id.length !== 32) throw new TypeError("An agent id has 32 bytes");
  const request = new Request(
    typeof input === "string" ? new URL(input, AGENT_ORIGIN) : (input as unknown as Request),
    init,
  );
  const url = new URL(request.url);
  const body = request.hasBody() ? await request.bytes() : new Uint8Array(0);
  const future = callHost("env.agents", () =>
    hostAgents.call(id, { method: request.method, path: url.pathname + url.search, headers: request.headers.raw(), body }),
  );
  const result = await readUnlessAborted(future, request.signal);
  if (result.tag === "err") throw new HostError(result.val.code, result.val.message);
  const { status, headers, body: answer } = result.val;
  return Response.received(status, headers, answer, null) as unknown as globalThis.Response;
}

/** The agent's environment and the facts of the request that runs. */
export function current(): { env: Env; ctx: Context } {
  const facts = hostContext.get();
  return {
    env: Object.freeze({ state, secrets, agents, config: Object.freeze(Object.fromEntries(facts.config)) }),
    ctx: Object.freeze({
      agent: toHex(facts.agent),
      caller: facts.caller === null ? null : toHex(facts.caller),
      requestId: toHex(facts.requestId),
      block: Object.freeze({ number: facts.block.number, hash: toHex(facts.block.hash) }),
      codeHash: toHex(facts.codeHash),
      idempotencyKey: facts.idempotencyKey,
      attempt: facts.attempt,
      callDepth: facts.callDepth,
      writable: facts.writable,
    }),
  };
}
