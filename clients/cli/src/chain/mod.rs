//! What commands do on a chain, and read from it.
//!
//! | module | holds |
//! |---|---|
//! | [`agents`] | agents: records, and what their owners do |
//! | [`clusters`] | clusters and gatekeepers |
//! | [`refusals`] | refusals of the chain as sentences |
//! | [`requests`] | paid requests, and what becomes of them |
//! | [`sender`] | an account's transactions, several at once |
//! | [`storage`] | keys and values of the state |

pub mod agents;
pub mod clusters;
pub mod refusals;
pub mod requests;
pub mod sender;
pub mod storage;

pub use sender::Sender;

use crate::limits;
use anyhow::{bail, Context};
use codec::{DecodeAll, Encode};
use phala_pherry::{chain::Chain, submit::Call};
use phala_protocol::{boot::WorkerId, BlockNumber, H256};
use std::str::FromStr;
use subxt::ext::scale_decode::DecodeAsType;
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

/// Where the chain is.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeOption {
	/// The chain node's websocket address.
	#[arg(long, env = "PHALA_NODE", default_value = "ws://127.0.0.1:9944", value_name = "URL")]
	pub node: String,
}

impl NodeOption {
	/// # Errors
	/// When no node answers there.
	pub async fn connect(&self) -> anyhow::Result<Chain> {
		connect(&self.node).await
	}
}

/// A connection to the node at `url`.
///
/// # Errors
/// When no node answers there.
pub async fn connect(url: &str) -> anyhow::Result<Chain> {
	Chain::connect(url).await.map_err(refusals::explain)
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct WorkerRegistered {
	worker: WorkerId,
}

/// Creates a worker for `operator`.
pub async fn register_worker(operator: &Sender) -> anyhow::Result<WorkerId> {
	let call = Call {
		name: "registry.register_worker",
		pallet: "Registry",
		call: "register_worker",
		arguments: Vec::new(),
	};
	let included = operator.send(call).await.context("no worker was created")?;
	Ok(sender::event::<WorkerRegistered>(&included, "Registry", "WorkerRegistered")?.worker)
}

/// Allows a measurement, as root by way of a development chain's sudo account.
pub async fn allow_measurement(sudo: &Sender, measurement: H256) -> anyhow::Result<BlockNumber> {
	let call = Call {
		name: "registry.allow_measurement",
		pallet: "Registry",
		call: "allow_measurement",
		arguments: measurement.encode(),
	};
	let included = sudo.send_as_root(call).await.context("the measurement was not allowed")?;
	Ok(included.block.number)
}

/// Waits until a block is final, for at most [`limits::FINALITY_MAX`].
///
/// # Errors
/// When it does not become final.
pub async fn finalized(chain: &Chain, block: BlockNumber) -> anyhow::Result<()> {
	let waiting = async {
		while chain.finalized().await? < block {
			tokio::time::sleep(limits::POLL).await;
		}
		Ok(())
	};
	tokio::time::timeout(limits::FINALITY_MAX, waiting).await.unwrap_or_else(|_| {
		let seconds = limits::FINALITY_MAX.as_secs();
		bail!("block {block} did not become final within {seconds} s: does the chain finalize?")
	})
}

/// A SCALE value of the node's.
///
/// # Errors
/// When it is no `T`.
pub fn decode<T: DecodeAll>(fields: &[u8]) -> anyhow::Result<T> {
	T::decode_all(&mut &fields[..])
		.context("the node's data have another form: is this `phala` as new as the node?")
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
