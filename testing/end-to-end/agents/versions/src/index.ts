// Says which version of its code answered, and counts what was posted.
import type { Agent } from "@phala/agent";

// The test puts another in its place.
const VERSION: string = "one";

interface Broken {
  reason: string;
}

export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/throw") {
      const broken: Broken = { reason: "thrown on purpose" };
      throw new Error(broken.reason);
    }
    let count = Number((await env.state.get("count")) ?? 0);
    if (request.method === "POST") await env.state.set("count", String(++count));
    return Response.json({ version: VERSION, count });
  },
} satisfies Agent;
