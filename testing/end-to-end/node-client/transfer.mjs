// Connects to a node as a dApp does, reads its metadata and transfers PHA from Alice to Bob.
//
//   node transfer.mjs ws://127.0.0.1:9944
//
// Prints one line of JSON: what the chain calls itself, its pallets, and both balances' change.
import { sr25519CreateDerive } from "@polkadot-labs/hdkd";
import { DEV_PHRASE, entropyToMiniSecret, mnemonicToEntropy, ss58Address } from "@polkadot-labs/hdkd-helpers";
import { createClient } from "polkadot-api";
import { getPolkadotSigner } from "polkadot-api/signer";
import { getWsProvider } from "polkadot-api/ws";
import { WebSocket } from "ws";

const PHA = 10n ** 12n;
const AMOUNT = 5n * PHA;

const url = process.argv[2] ?? "ws://127.0.0.1:9944";
const derive = sr25519CreateDerive(entropyToMiniSecret(mnemonicToEntropy(DEV_PHRASE)));
const [alice, bob] = [derive("//Alice"), derive("//Bob")];
const address = (pair) => ss58Address(pair.publicKey, 30);
const signer = getPolkadotSigner(alice.publicKey, "Sr25519", alice.sign);

const client = createClient(getWsProvider(url, { websocketClass: WebSocket }));
try {
  const api = client.getUnsafeApi();
  const { name, properties } = await client.getChainSpecData();
  const version = await api.constants.System.Version();
  const free = async (pair) => (await api.query.System.Account.getValue(address(pair))).data.free;

  const before = { alice: await free(alice), bob: await free(bob) };
  const transfer = api.tx.Balances.transfer_keep_alive({
    dest: { type: "Id", value: address(bob) },
    value: AMOUNT,
  });
  const result = await transfer.signAndSubmit(signer);
  if (!result.ok) throw new Error(`the transfer failed: ${JSON.stringify(result.dispatchError)}`);
  const after = { alice: await free(alice), bob: await free(bob) };

  console.log(
    JSON.stringify({
      chain: name,
      symbol: properties.tokenSymbol,
      decimals: properties.tokenDecimals,
      ss58Format: properties.ss58Format,
      runtime: `${version.spec_name}-${version.spec_version}`,
      block: result.block.number,
      received: String(after.bob - before.bob),
      paid: String(before.alice - after.alice),
    }),
  );
} finally {
  client.destroy();
}
