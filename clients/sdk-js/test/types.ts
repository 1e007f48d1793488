// What must type-check, and what must not.
import { isHostError, type Agent, type Context, type Env, type Hex } from "@phala/agent";

const agent: Agent = {
  async fetch(request, env, ctx) {
    const id: Hex = ctx.agent;
    const number: number = ctx.block.number;
    const caller: Hex | null = ctx.caller;
    const secret: string | null = await env.secrets.get("API_KEY");
    const value = await env.state.getJson<{ a: number }>("key");
    const a: number | undefined = value?.a;
    const answer = await env.agents.fetch(id, "/path", { method: "POST", body: "x" });
    const proven: boolean = (await fetch("https://example.com")).authenticated;

    // How one waits on the web: a promise's resolve is called with nothing.
    await new Promise((resolve) => setTimeout(resolve, 10));
    await new Promise<void>((resolve) => setTimeout(resolve, 10));
    const timer: number = setTimeout((word: string, count: number) => console.log(word, count), 10, "a", 1);
    clearInterval(setInterval(() => clearTimeout(timer), 10));
    // @ts-expect-error: it would be called without what it needs
    setTimeout((word: string) => console.log(word), 10);

    // @ts-expect-error: the environment is not to be changed
    env.config = {};
    // @ts-expect-error: a value is text or bytes
    await env.state.set("key", 1);
    // @ts-expect-error: state has no such method
    await env.state.put("key", "value");
    // @ts-expect-error: an agent id starts with 0x
    await env.agents.fetch("agent", "/");
    // @ts-expect-error: there is no DOM here
    document.title = "x";
    // @ts-expect-error: nor Node
    process.exit(1);
    // @ts-expect-error: nor crypto.subtle
    crypto.subtle;
    // @ts-expect-error: nor sockets
    new WebSocket("wss://example.com");

    return Response.json({ number, caller, secret, a, proven, status: answer.status, method: request.method });
  },
};

// @ts-expect-error: a string is no response
const wrong: Agent = { fetch: () => "text" };

export function use(env: Env, ctx: Context, error: unknown): string {
  if (isHostError(error) && error.code === "not-declared") return error.message;
  return `${env.config["key"]} ${ctx.requestId} ${typeof agent} ${typeof wrong}`;
}
