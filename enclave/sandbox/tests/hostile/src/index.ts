// Each path is a villain. None of them may hurt anybody but its own request.
import type { Agent, Context, Env } from "@phala/agent";

type Villain = (request: Request, env: Env, ctx: Context) => Response | Promise<Response>;

const MIB = 1 << 20;
let visits = 0;

async function* gigabyte(): AsyncIterable<Uint8Array> {
  const chunk = new Uint8Array(MIB / 4);
  for (let sent = 0; sent < 1024 * MIB; sent += chunk.length) yield chunk;
}

const villains: Record<string, Villain> = {
  "/endless-loop": () => {
    for (;;) {}
  },
  "/endless-microtasks": async () => {
    for (;;) await null;
  },
  "/catastrophic-regex": () => new Response(String(/^(a+)+$/.test("a".repeat(40) + "b"))),
  "/memory-hog": () => {
    const kept: Uint8Array[] = [];
    for (;;) {
      try {
        kept.push(new Uint8Array(MIB).fill(kept.length));
      } catch {
        // Tries on.
      }
    }
  },
  "/deep-recursion": () => {
    const dig = (n: number): number => 1 + dig(n + 1);
    return new Response(String(dig(0)));
  },
  "/self-call": async (_request, env, ctx) => {
    try {
      return await env.agents.fetch(ctx.agent, "/self-call");
    } catch {
      return new Response("swallowed");
    }
  },
  "/call-tree": async (_request, env, ctx) => {
    for (;;) {
      console.log("calls");
      await Promise.allSettled([1, 2, 3].map(() => env.agents.fetch(ctx.agent, ctx.callDepth < 3 ? "/call-tree" : "/")));
    }
  },
  "/calls-another": (_request, env) => env.agents.fetch(`0x${"11".repeat(32)}`, "/whoami"),
  "/log-flood": () => {
    for (;;) console.log("flood");
  },
  "/long-log": () => {
    console.log("x".repeat(MIB));
    return new Response("logged");
  },
  "/gigabyte-answer": () => new Response(gigabyte()),
  "/never-answers": () => new Promise<Response>(() => {}),
  "/sleeps": async () => {
    await new Promise<void>((resolve) => setTimeout(resolve, 3_600_000));
    return new Response("awake");
  },
  "/call-flood": async () => {
    for (;;) await fetch("http://127.0.0.1:1/").catch(() => {});
  },
  "/upload-flood": async () => {
    const body = new Uint8Array(MIB);
    for (;;) await fetch("http://127.0.0.1:1/", { method: "POST", body }).catch(() => {});
  },
  "/header-flood": async () => {
    const headers = { x: "y".repeat(8192) };
    for (;;) await fetch("http://127.0.0.1:1/", { headers }).catch(() => {});
  },
  "/url-flood": async () => {
    for (;;) await fetch(`http://127.0.0.1:1/${"y".repeat(8000)}`).catch(() => {});
  },
  "/agent-path-flood": async (_request, env) => {
    for (;;) await env.agents.fetch(`0x${"11".repeat(32)}`, `/${"y".repeat(8000)}`).catch(() => {});
  },
  "/fetch-herd": async (request) => {
    const url = new URL(request.url).searchParams.get("url")!;
    await Promise.all(Array.from({ length: 8 }, () => fetch(url)));
    return new Response("fetched");
  },
  "/host-call-flood": () => {
    const byte = new Uint8Array(1);
    for (;;) crypto.getRandomValues(byte);
  },
  "/timer-flood": () => {
    for (;;) setTimeout(() => {}, 3_600_000);
  },
  "/entropy-hog": () => {
    for (;;) crypto.getRandomValues(new Uint8Array(65_536));
  },
  "/state-flood": async (_request, env) => {
    for (let i = 0; ; i++) await env.state.set(`key-${i}`, "x");
  },
  "/state-bloat": async (_request, env) => {
    for (let i = 0; ; i++) await env.state.set("key", new Uint8Array(MIB));
  },
  "/state-giant": async (_request, env) => {
    await env.state.set("key", new Uint8Array(MIB + 1));
    return new Response("set");
  },
  "/state-keep": async (_request, env) => {
    await env.state.set("kept", new Uint8Array(MIB));
    return new Response("kept");
  },
  "/state-read-flood": async (_request, env) => {
    for (;;) await env.state.getBytes("kept").catch(() => {});
  },
  "/state-long-key": async (_request, env) => {
    await env.state.set("k".repeat(513), "x");
    return new Response("set");
  },
  "/state-get-long-key": async (_request, env) => {
    await env.state.get("k".repeat(513));
    return new Response("got");
  },
  "/state-scan-long-prefix": async (_request, env) => {
    await env.state.scan({ prefix: "k".repeat(513) });
    return new Response("scanned");
  },
  "/state-scan-long-start": async (_request, env) => {
    await env.state.scan({ after: "k".repeat(513) });
    return new Response("scanned");
  },
  "/state-own-read-flood": async (_request, env) => {
    await env.state.set("own", new Uint8Array(MIB));
    await Promise.all(Array.from({ length: 64 }, () => env.state.getBytes("own")));
    return new Response("read");
  },
  "/state-own-scan-flood": async (_request, env) => {
    for (let i = 0; i < 7; i++) await env.state.set(`own-${i}`, new Uint8Array(MIB));
    await Promise.all(Array.from({ length: 8 }, () => env.state.scan({ prefix: "own" })));
    return new Response("scanned");
  },
  "/writes-then-throws": async (_request, env) => {
    await env.state.set("key", "must not stay");
    throw new Error("after the write");
  },
  "/throws": () => {
    throw new TypeError("thrown on purpose");
  },
  "/logs-a-stack": () => {
    const throwsDeeper = (): never => {
      throw new RangeError("thrown deeper");
    };
    try {
      return new Response(
        // A place in the midst of a statement.
        throwsDeeper(),
      );
    } catch (error) {
      console.log(`caught: ${(error as Error).stack}`);
      return new Response("caught");
    }
  },
  "/rejects-later": () => {
    setTimeout(() => {
      throw new Error("nobody waits for this");
    }, 0);
    return new Response("answered");
  },
  "/throws-of-json": async (request) => Response.json(await request.json()),
  "/throws-of-fetch": async () => {
    await null;
    return fetch("http://127.0.0.2:9/undeclared");
  },
  "/throws-of-a-secret": async (_request, env) => Response.json(await env.secrets.get("UNKNOWN")),
  "/throws-of-state": async (_request, env) => {
    await env.state.set("no JSON", "}");
    return Response.json(await env.state.getJson("no JSON"));
  },
  "/throws-of-an-agent": (_request, env) => env.agents.fetch("0x11", "/of no agent"),
  "/not-a-response": () => "text" as unknown as Response,
  "/fetch": async (request) => {
    const url = new URL(request.url).searchParams.get("url")!;
    try {
      const response = await fetch(url);
      return Response.json({ status: response.status, text: await response.text(), authenticated: response.authenticated });
    } catch (error) {
      return Response.json({ code: (error as any).code, message: (error as any).message });
    }
  },
  "/undeclared-secret": async (_request, env) => {
    try {
      return Response.json({ value: await env.secrets.get("UNDECLARED") });
    } catch (error) {
      return Response.json({ code: (error as any).code });
    }
  },
  "/leaves-traces": () => {
    visits += 1;
    (globalThis as any).trace = ((globalThis as any).trace ?? 0) + 1;
    (Array.prototype as any).trace = ((Array.prototype as any).trace ?? 0) + 1;
    return Response.json([visits, (globalThis as any).trace, (Array.prototype as any).trace]);
  },
  "/randomness": () =>
    Response.json([Math.random(), Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(8))]]),
  "/reads-the-machine": () =>
    Response.json([typeof (globalThis as any).process, typeof (globalThis as any).require, typeof (globalThis as any).std]),
};

export default {
  fetch(request, env, ctx) {
    const villain = villains[new URL(request.url).pathname];
    return villain ? villain(request, env, ctx) : new Response("harmless");
  },
} satisfies Agent;
