// An agent answers HTTP requests inside an enclave. Each request gets a fresh instance; what is to
// last goes into env.state.
import type { Agent } from "@phala/agent";

export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    if (request.method === "POST" && pathname === "/count") {
      const count = Number((await env.state.get("count")) ?? 0) + 1;
      await env.state.set("count", String(count));
      return Response.json({ count, block: ctx.block.number });
    }
    const name = searchParams.get("name") ?? "world";
    return Response.json({ greeting: `${env.config["greeting"]}, ${name}!` });
  },
} satisfies Agent;
