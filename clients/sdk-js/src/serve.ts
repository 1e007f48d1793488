import types, { type WasiRequest, type WasiResponse } from "wasi:http/types@0.3.0";
import type { Agent } from "../types/index.d.ts";
import { decodeText, encodeText } from "./body.ts";
import { current } from "./env.ts";
import { Request, Response } from "./fetch.ts";
import { beginServing } from "./phase.ts";

// How the engine names the two kinds of future that this module makes: of a `result` of nothing, and
// of a `result` of trailers.
const FUTURE_DONE = "RESULT_VOID_ERROR_CODE";
const FUTURE_TRAILERS = "RESULT_OPTION_OTHER_ERROR_CODE";

function resolved(type: string, value: unknown): WitFuture<unknown> {
  return wit.Future.from(value, wit.Future.types[type]!).readable;
}

const OK_NOTHING = { tag: "ok", val: undefined };
const OK_NO_TRAILERS = { tag: "ok", val: null };

function toRequest(incoming: WasiRequest): Request {
  const { tag, val } = incoming.getMethod();
  const method = tag === "other" ? val! : tag.toUpperCase();
  const scheme = incoming.getScheme()?.tag.toLowerCase() === "https" ? "https" : "http";
  const url = `${scheme}://${incoming.getAuthority() ?? "agent"}${incoming.getPathWithQuery() ?? "/"}`;
  const headers = incoming
    .getHeaders()
    .copyAll()
    .map(([name, value]): [string, string] => [name, decodeText(value)]);
  let body: AsyncIterable<Uint8Array> | null = null;
  if (method !== "GET" && method !== "HEAD") {
    body = types.Request.consumeBody(incoming, resolved(FUTURE_DONE, OK_NOTHING))[0] as AsyncIterable<Uint8Array>;
  }
  return new Request(url, { method, headers, body });
}

function toOutgoing(response: Response): WasiResponse {
  const headers = response.headers.raw().map(([name, value]): [string, Uint8Array] => [name, encodeText(value)]);
  const contents = response.hasBody() ? wit.Stream.from(response.takeChunks(), wit.Stream.types["U8"]!).readable : null;
  const trailers = resolved(FUTURE_TRAILERS, OK_NO_TRAILERS);
  const [outgoing] = types.Response.new(types.Fields.fromList(headers), contents, trailers);
  outgoing.setStatusCode(response.status);
  return outgoing;
}

/** The `wasi:http` handler that answers with the agent's `fetch`. */
export function serve(agent: Agent): { handle(request: WasiRequest): Promise<WasiResponse> } {
  if (typeof agent?.fetch !== "function") {
    throw new Error("The agent's main module must have a default export with a fetch function.");
  }
  return {
    async handle(incoming) {
      beginServing();
      try {
        const { env, ctx } = current();
        const response = await agent.fetch(toRequest(incoming) as any, env, ctx);
        if (!(response instanceof Response)) {
          throw new TypeError("fetch(request, env, ctx) must return a Response");
        }
        return toOutgoing(response);
      } catch (error) {
        // An error that the engine sees would be a bare trap. The message goes to the agent's log, and
        // the host is told only that the agent failed.
        console.error("Uncaught", error);
        throw { tag: "internal-error", val: "uncaught" };
      }
    },
  };
}
