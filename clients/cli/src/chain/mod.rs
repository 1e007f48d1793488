//! What commands do on a chain, and read from it.

use anyhow::{bail, Context};
use codec::{DecodeAll, Encode};
use phala_pherry::{chain::Chain, submit};
use phala_primitives::{
	boot::{BootNumber, SlotId},
	BlockNumber, H256,
};
use std::str::FromStr;
use subxt_signer::{sr25519::Keypair, SecretUri};

/// The account of a secret: a phrase, a 0x seed or, in development, `//Alice`.
///
/// # Errors
/// When it is none. The reason does not quote it.
pub fn account(secret: &str) -> anyhow::Result<Keypair> {
	SecretUri::from_str(secret.trim())
		.ok()
		.and_then(|uri| Keypair::from_uri(&uri).ok())
		.context("the secret is no key: a phrase of 12 to 24 words, 0x and 64 hexadecimal digits, or //Name is taken")
}

/// Creates a slot for `operator`.
pub async fn create_slot(chain: &Chain, operator: &Keypair) -> anyhow::Result<SlotId> {
	let block = submit::create_slot(chain, operator).await.context("no slot was created")?;
	let own = operator.public_key().0;
	for fields in events(chain, block, "Registry", "SlotCreated").await? {
		let (slot, of) = decode::<(SlotId, [u8; 32])>(&fields)?;
		if of == own {
			return Ok(slot);
		}
	}
	bail!("block {block} has the transaction, but no slot of this operator")
}

/// Allows a measurement, as root by way of a development chain's sudo account.
pub async fn allow_measurement(
	chain: &Chain,
	sudo: &Keypair,
	measurement: H256,
) -> anyhow::Result<BlockNumber> {
	let refused = "the measurement was not allowed";
	let call =
		submit::call_bytes(chain, "Registry", "allow_measurement", &measurement.encode()).await;
	let call = call.context(refused)?;
	let block = submit::signed(chain, sudo, "sudo.sudo", "Sudo", "sudo", &call)
		.await
		.context(refused)
		.context("only the sudo account of a development chain can do this")?;
	for fields in events(chain, block, "Registry", "MeasurementAllowed").await? {
		if decode::<H256>(&fields)? == measurement {
			return Ok(block);
		}
	}
	bail!("{refused}: block {block} has the transaction without its effect; the sudo account of a development chain is needed")
}

/// The block that has the answer to a probe, from block `from` on, and the boot that gave it.
pub async fn probe_answer(
	chain: &Chain,
	slot: SlotId,
	nonce: [u8; 32],
	from: BlockNumber,
) -> anyhow::Result<Option<(BlockNumber, BootNumber)>> {
	let best = chain.header(None).await?.0.number;
	for block in from..=best {
		for fields in events(chain, block, "Registry", "ProbeAnswered").await? {
			let (of, boot, answered) = decode::<(SlotId, BootNumber, [u8; 32])>(&fields)?;
			if (of, answered) == (slot, nonce) {
				return Ok(Some((block, boot)));
			}
		}
	}
	Ok(None)
}

/// The fields of all events of a name in a block.
async fn events(
	chain: &Chain,
	block: BlockNumber,
	pallet: &str,
	name: &str,
) -> anyhow::Result<Vec<Vec<u8>>> {
	let at = chain.online().at_block(u64::from(block)).await?;
	let mut found = Vec::new();
	for event in at.events().fetch().await?.iter() {
		let event = event?;
		if (event.pallet_name(), event.event_name()) == (pallet, name) {
			found.push(event.field_bytes().to_vec());
		}
	}
	Ok(found)
}

fn decode<T: DecodeAll>(fields: &[u8]) -> anyhow::Result<T> {
	T::decode_all(&mut &fields[..])
		.context("the node's events have another form: is this `phala` as new as the node?")
}

/// A hash of 32 bytes in hexadecimal, with or without 0x.
///
/// # Errors
/// When it is none.
pub fn hash(text: &str) -> Result<H256, String> {
	let bytes = hex::decode(text.trim_start_matches("0x")).map_err(|error| error.to_string())?;
	let bytes: [u8; 32] = bytes
		.try_into()
		.map_err(|bytes: Vec<u8>| format!("{} bytes, 32 are a hash", bytes.len()))?;
	Ok(H256(bytes))
}
