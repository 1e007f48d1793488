/// <reference path="./globals.d.ts" />

/** What an agent's main module exports as its default. */
export interface Agent {
  fetch(request: Request, env: Env, ctx: Context): Response | Promise<Response>;
}

/** 32 bytes as `0x` and 64 lower-case hexadecimal digits. */
export type Hex = `0x${string}`;

/** What the agent has. */
export interface Env {
  /** The agent's own key-value store, encrypted and replicated in its cluster. */
  readonly state: State;
  /** Secrets that the owner has sealed to the agent. Only names that the manifest declares. */
  readonly secrets: Secrets;
  /** Other agents. */
  readonly agents: Agents;
  /** The manifest's `[config]` table. Public: part of what is deployed. */
  readonly config: Readonly<Record<string, string>>;
}

/** Facts about the request that runs. */
export interface Context {
  /** This agent. */
  readonly agent: Hex;
  /**
   * Who called: an account's public key, or the id of the agent that called this one. Null if nobody
   * said, as on a worker's plain server. `phala account show <name> --json` has an account's as `publicKey`.
   */
  readonly caller: Hex | null;
  readonly requestId: Hex;
  /** The finalized block that the enclave had proven. The only time here that is proven. */
  readonly block: { readonly number: number; readonly hash: Hex };
  /** blake2-256 of the running component. */
  readonly codeHash: Hex;
  /** The same over all attempts: send it along with what must not happen twice. */
  readonly idempotencyKey: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** 0 for a request from outside. */
  readonly callDepth: number;
  /** Whether `env.state` may be changed. */
  readonly writable: boolean;
}

export interface State {
  /** The value as text, or null. Sees what this request has set. */
  get(key: string): Promise<string | null>;
  getBytes(key: string): Promise<Uint8Array | null>;
  getJson<T = unknown>(key: string): Promise<T | null>;
  /** Takes effect if the request ends well and its effect set is committed. */
  set(key: string, value: string | Uint8Array): Promise<void>;
  setJson(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<void>;
  /** Entries in the order of the keys' bytes. */
  scan(options?: ScanOptions): Promise<StateEntry[]>;
}

export interface ScanOptions {
  /** Only keys that start with this. */
  prefix?: string;
  /** Only keys after this one: the last key of the page before. */
  after?: string;
  /** 100 if not given. */
  limit?: number;
}

export interface StateEntry {
  key: string;
  bytes: Uint8Array;
  text(): string;
  json<T = unknown>(): T;
}

export interface Secrets {
  /** The secret, or null if the owner has not set it. */
  get(name: string): Promise<string | null>;
}

export interface Agents {
  /** Calls another agent. Only the path and query of the URL matter. */
  fetch(agent: Hex | Uint8Array, input: string | Request, init?: RequestInit): Promise<Response>;
}

/** What `env`, `fetch` and `env.agents.fetch` reject with when the host refuses. */
export interface HostError extends Error {
  readonly name: "HostError";
  readonly code:
    | "read-only"
    | "not-declared"
    | "address-refused"
    | "invalid"
    | "not-found"
    | "denied"
    | "failed"
    | "timeout"
    | "network"
    | "unavailable";
}

/** True for errors that the host gave. */
export declare function isHostError(error: unknown): error is HostError;
