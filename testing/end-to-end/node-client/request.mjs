// Asks an agent through the chain as a dApp does, for everybody to read, and reads the answer there.
//
//   node request.mjs ws://127.0.0.1:9944 0x<agent> /path 'body'
//
// Prints one line of JSON: the request's id, what the agent answered, and who was paid what.
import { sr25519CreateDerive } from "@polkadot-labs/hdkd";
import { DEV_PHRASE, entropyToMiniSecret, mnemonicToEntropy } from "@polkadot-labs/hdkd-helpers";
import { createClient } from "polkadot-api";
import { getPolkadotSigner } from "polkadot-api/signer";
import { getWsProvider } from "polkadot-api/ws";
import { Bytes, Enum, Struct, Tuple, Vector, u16, u32 } from "scale-ts";
import { WebSocket } from "ws";

const PHA = 10n ** 12n;
const FINALITY_MARGIN = 10;
const SLACK = 15;

// protocol/src/requests.rs in SCALE.
const Headers = Vector(Tuple(Bytes(), Bytes()));
const CallInput = Struct({ method: Bytes(), path: Bytes(), headers: Headers, body: Bytes() });
const CallOutput = Struct({ status: u16, headers: Headers, body: Bytes() });
const RequestOutcome = Enum({ Answered: Bytes(), Failed: u16 });
const Hash = Bytes(32);
const AnswerUpToCode = Struct({ genesis: Hash, worker: u32, boot: u32, agent: Hash, code: Hash });
// What was signed goes on after the code; this script has no use for it.
const ProvenAnswer = Struct({ output: CallOutput, salt: Hash, proof: AnswerUpToCode });

const utf8 = (text) => new TextEncoder().encode(text);
const text = (bytes) => new TextDecoder().decode(bytes);
const hex = (bytes) => `0x${Buffer.from(bytes).toString("hex")}`;

// Collects an event from now on, so that none is missed.
function watch(event) {
  const seen = [];
  let look = () => {};
  event.watch().subscribe({
    next({ block, events }) {
      seen.push(...events.map(({ payload }) => ({ block, paid: payload })));
      look();
    },
    error: (error) => console.error(`no more events: ${error}`),
  });
  const of = (request) =>
    new Promise((done) => {
      look = () => {
        const found = seen.find(({ paid }) => paid.request === request);
        if (found) done(found);
      };
      look();
    });
  return { of };
}

const [url, agent, path, body] = process.argv.slice(2);
const derive = sr25519CreateDerive(entropyToMiniSecret(mnemonicToEntropy(DEV_PHRASE)));
const caller = derive("//Eve");
const signer = getPolkadotSigner(caller.publicKey, "Sr25519", caller.sign);

const client = createClient(getWsProvider(url, { websocketClass: WebSocket }));
try {
  const api = client.getUnsafeApi();
  const record = await api.query.Agents.Agents.getValue(agent);
  if (!record) throw new Error(`there is no agent ${agent}`);
  const input = CallInput.enc({
    method: utf8("POST"),
    path: utf8(path),
    headers: [[utf8("content-type"), utf8("text/plain")]],
    body: utf8(body),
  });
  const settlement = watch(api.event.Requests.RequestSettled);
  const now = Number(await api.query.System.Number.getValue());
  const submitted = await api.tx.Requests.submit({
    agent,
    kind: { type: "Call" },
    input: { type: "Public", value: input },
    max_fee: PHA,
    deadline: now + record.timeout + FINALITY_MARGIN + SLACK,
    min_block: 0,
  }).signAndSubmit(signer);
  if (!submitted.ok) throw new Error(`the request was refused: ${JSON.stringify(submitted.dispatchError)}`);
  const made = submitted.events.find((event) => event.type === "Requests" && event.value.type === "RequestSubmitted");
  const { request } = made.value.value;
  const { block: settledIn, paid } = await settlement.of(request);
  const response = await api.query.Requests.Responses.getValue(request, { at: settledIn.hash });
  const outcome = RequestOutcome.dec(response);
  if (outcome.tag !== "Answered") throw new Error(`the agent failed with refusal ${outcome.value}`);
  const { output, proof } = ProvenAnswer.dec(outcome.value);
  console.log(
    JSON.stringify({
      request,
      block: submitted.block.number,
      settledIn: settledIn.number,
      fee: String(paid.fee),
      worker: String(paid.worker_paid),
      developer: String(paid.developer_paid),
      treasury: String(paid.treasury_paid),
      status: output.status,
      headers: output.headers.map(([name, value]) => [text(name), text(value)]),
      body: text(output.body),
      answeredBy: { worker: proof.worker, boot: proof.boot },
      genesis: hex(proof.genesis),
      agent: hex(proof.agent),
      code: hex(proof.code),
    }),
  );
} finally {
  client.destroy();
}
