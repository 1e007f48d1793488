// How much a chain grows in a year, computed from what blocks of a running development network hold:
//   phala network up & node benches/growth.mjs <phala> [http://127.0.0.1:9944] [requests]
// Paid requests are made in rounds of ten, each asks price-oracle one question. What blocks hold when
// nobody asks is taken off. Bodies, headers and justifications are counted, which every archive keeps;
// the state of a request is forgotten some time after its end.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const AT_ONCE = 10;
const BLOCK_SECONDS = 2;
const YEAR_SECONDS = 365.25 * 24 * 3600;
const IDLE_BLOCKS = 20;
const GIB = 2 ** 30;

const [phala, node = "http://127.0.0.1:9944", requests = "50"] = process.argv.slice(2);
if (!phala) {
  console.error("usage: node benches/growth.mjs <phala> [node] [requests]");
  process.exit(2);
}
const run = promisify(execFile);

async function rpc(method, ...params) {
  const answer = await fetch(node, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const { result, error } = await answer.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

async function finalized() {
  const header = await rpc("chain_getHeader", await rpc("chain_getFinalizedHead"));
  return Number(header.number);
}

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** Bytes of hexadecimal. */
const bytes = (hex) => (hex.length - 2) / 2;

/** What the blocks from `from` on to `to` hold, in bytes. */
async function held(from, to) {
  const sums = { bodies: 0, headers: 0, justifications: 0 };
  for (let number = from; number <= to; number += 1) {
    const { block, justifications } = await rpc("chain_getBlock", await rpc("chain_getBlockHash", number));
    const { parentHash, stateRoot, extrinsicsRoot, digest } = block.header;
    sums.bodies += block.extrinsics.reduce((sum, extrinsic) => sum + bytes(extrinsic), 0);
    sums.headers += [parentHash, stateRoot, extrinsicsRoot, ...digest.logs].reduce((sum, part) => sum + bytes(part), 5);
    sums.justifications += (justifications ?? []).reduce((sum, [, proof]) => sum + proof.length, 0);
  }
  return sums;
}

async function waitFor(block) {
  while ((await finalized()) < block) await sleep(1);
}

const idleFrom = (await finalized()) + 1;
await waitFor(idleFrom + IDLE_BLOCKS - 1);
const idle = await held(idleFrom, idleFrom + IDLE_BLOCKS - 1);
const idleBlock = Object.values(idle).reduce((sum, part) => sum + part, 0) / IDLE_BLOCKS;

const from = (await finalized()) + 1;
const accounts = ["//Alice", "//Bob", "//Charlie", "//Dave", "//Eve"];
const url = node.replace(/^http/, "ws");
for (let made = 0; made < Number(requests); made += AT_ONCE) {
  const round = Array.from({ length: Math.min(AT_ONCE, Number(requests) - made) }, (_, index) =>
    run(phala, ["call", "price-oracle", "/price", "--on-chain", "--no-wait", "--suri", accounts[index % accounts.length], "--node", url]),
  );
  await Promise.all(round);
}
const to = (await rpc("chain_getHeader").then((header) => Number(header.number))) + 5;
await waitFor(to);
const busy = await held(from, to);
const perRequest = (Object.values(busy).reduce((sum, part) => sum + part, 0) - (to - from + 1) * idleBlock) / Number(requests);

console.log(`a block when nobody asks: ${idleBlock.toFixed(0)} bytes (of ${IDLE_BLOCKS}: ${JSON.stringify(idle)})`);
console.log(`a paid request, its question and its answer: ${perRequest.toFixed(0)} bytes more (${requests} of them in blocks ${from} to ${to})`);
for (const rate of [0, 1, 10, 100]) {
  const year = (YEAR_SECONDS / BLOCK_SECONDS) * idleBlock + YEAR_SECONDS * rate * perRequest;
  console.log(`a year at ${rate} requests a second: ${(year / GIB).toFixed(1)} GiB`);
}
