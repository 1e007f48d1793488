// The same module runs as an agent and in workerd: see ../../beside-workerd.mjs.
const items = Array.from({ length: 1_000 }, (_, id) => ({ id, name: `item ${id}`, price: id * 1.25, tags: ["a", "b"] }));

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname.endsWith("/items")) return Response.json(items.map((item) => ({ ...item, price: item.price + 1 })));
    return new Response(`Hello, ${searchParams.get("name") ?? "world"}!`);
  },
};
