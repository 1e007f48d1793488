//! Makes transactions and submits them.
//!
//! | file | holds |
//! |---|---|
//! | `general` | fee-less *general* transactions, encoded by hand from the metadata |
//! | `refusal` | why a transaction pool or the chain refused one |

mod general;
mod refusal;

pub use general::{explicit_extension_bytes, general_transaction, Extension};
pub use refusal::PoolError;

use codec::Encode;
use phala_protocol::{boot::WorkerId, mailbox::Envelope, relay::Registration, BlockNumber, H256};
use subxt::{
	config::DefaultExtrinsicParamsBuilder, extrinsics::ExtrinsicEvents, metadata::Metadata,
	tx::TransactionStatus, SubstrateConfig,
};
use subxt_signer::sr25519::Keypair;

use crate::{chain::Chain, header::HeaderId, limits, Error};

const SUBMIT_ENVELOPE: &str = "mailbox.submit_envelope";
const REGISTER_BOOT: &str = "registry.register_boot";
const RENEW_BOOT: &str = "registry.renew_boot";

/// The bytes of the general transaction that carries an envelope.
///
/// # Errors
/// [`Error::UnknownExtension`], [`Error::NoSuchCall`], [`Error::OtherArguments`],
/// [`Error::Unmade`].
pub async fn envelope_transaction(chain: &Chain, envelope: &Envelope) -> Result<Vec<u8>, Error> {
	let transactions = transactions(chain, SUBMIT_ENVELOPE).await?;
	let metadata = transactions.metadata();
	let call = call_data(&metadata, "Mailbox", "submit_envelope", &envelope.encode())?;
	transactions.tx().from_call_data_bytes(&call).map_err(|error| Error::OtherArguments {
		pallet: "Mailbox",
		call: "submit_envelope",
		reason: error.to_string(),
	})?;
	let extensions = general::extensions(&metadata);
	let version = metadata.extrinsic().transaction_extension_version_to_use_for_encoding();
	Ok(general_transaction(version, &explicit_extension_bytes(&extensions)?, &call))
}

/// Submits an envelope to the node's transaction pool; returns the transaction's hash.
///
/// # Errors
/// [`Error::Pool`] when the pool refuses it, and those of [`envelope_transaction`].
pub async fn submit_envelope(chain: &Chain, envelope: &Envelope) -> Result<H256, Error> {
	submit_bytes(chain, SUBMIT_ENVELOPE, &envelope_transaction(chain, envelope).await?).await
}

/// Submits a transaction as it is, right or wrong; `call` is what errors name it.
///
/// # Errors
/// [`Error::Pool`], [`Error::Node`].
pub async fn submit_bytes(
	chain: &Chain,
	call: &'static str,
	transaction: &[u8],
) -> Result<H256, Error> {
	match chain.legacy().author_submit_extrinsic(transaction).await {
		Ok(hash) => Ok(hash),
		Err(subxt::rpcs::Error::User(refused)) => {
			Err(Error::Pool { call, refusal: PoolError::read(&refused) })
		}
		Err(error) => {
			Err(Error::Node { method: "author_submitExtrinsic", reason: error.to_string() })
		}
	}
}

/// Whether the node's pool holds a registration of these very keys.
///
/// # Errors
/// [`Error::NoSuchCall`] and those of [`Chain`].
pub async fn is_registration_pending(
	chain: &Chain,
	registration: &Registration,
) -> Result<bool, Error> {
	const METHOD: &str = "author_pendingExtrinsics";
	let Registration { worker, keys, .. } = registration;
	let metadata = transactions(chain, REGISTER_BOOT).await?.metadata();
	let call = call_data(&metadata, "Registry", "register_boot", &(worker, keys).encode())?;
	let pending: Vec<subxt::rpcs::methods::legacy::Bytes> =
		chain.request(METHOD, subxt::rpcs::rpc_params![]).await?;
	Ok(pending.iter().any(|bytes| bytes.windows(call.len()).any(|window| window == call)))
}

/// Registers or renews a boot, signed and paid by the operator. Returns the block it got into.
///
/// # Errors
/// [`Error::Pool`], [`Error::NotIncluded`], [`Error::Dispatch`], and those of the connection.
pub async fn register(
	chain: &Chain,
	operator: &Keypair,
	registration: &Registration,
) -> Result<BlockNumber, Error> {
	let Registration { worker, keys, evidence, recent_block, renewal } = registration;
	if *renewal {
		let arguments = (worker, evidence, recent_block).encode();
		signed(chain, operator, RENEW_BOOT, "Registry", "renew_boot", &arguments).await
	} else {
		let arguments = (worker, keys, evidence, recent_block).encode();
		signed(chain, operator, REGISTER_BOOT, "Registry", "register_boot", &arguments).await
	}
}

/// Creates a worker for the operator, which holds its stake. Returns the block it got into.
///
/// # Errors
/// As [`register`].
pub async fn register_worker(chain: &Chain, operator: &Keypair) -> Result<BlockNumber, Error> {
	signed(chain, operator, "registry.register_worker", "Registry", "register_worker", &[]).await
}

/// Asks a worker's enclave for a sign of life. Returns the block it got into.
///
/// # Errors
/// As [`register`].
pub async fn probe(
	chain: &Chain,
	operator: &Keypair,
	worker: WorkerId,
	nonce: [u8; 32],
) -> Result<BlockNumber, Error> {
	let arguments = (worker, nonce).encode();
	signed(chain, operator, "registry.probe", "Registry", "probe", &arguments).await
}

/// The bytes of a call with SCALE-encoded `arguments`.
///
/// # Errors
/// [`Error::NoSuchCall`], [`Error::Node`].
pub async fn call_bytes(
	chain: &Chain,
	pallet: &'static str,
	call: &'static str,
	arguments: &[u8],
) -> Result<Vec<u8>, Error> {
	call_data(&transactions(chain, call).await?.metadata(), pallet, call, arguments)
}

/// A call to sign, with SCALE-encoded arguments.
#[derive(Clone, Debug)]
pub struct Call {
	/// What errors call it.
	pub name: &'static str,
	/// As the metadata has it.
	pub pallet: &'static str,
	/// As the metadata has it.
	pub call: &'static str,
	/// SCALE of all arguments, one after the other.
	pub arguments: Vec<u8>,
}

/// What became of a call that had its effect.
pub struct Included {
	/// The block that it got into. Not final yet.
	pub block: HeaderId,
	/// What it caused there.
	pub events: ExtrinsicEvents<SubstrateConfig>,
}

/// A call that the node's pool took.
pub struct Pending {
	name: &'static str,
	chain: Chain,
	progress: subxt::tx::TransactionProgress<
		SubstrateConfig,
		subxt::client::OnlineClientAtBlockImpl<SubstrateConfig>,
	>,
}

impl Pending {
	/// Waits until it is in a block.
	///
	/// # Errors
	/// As [`register`].
	pub async fn included(mut self) -> Result<Included, Error> {
		let name = self.name;
		let not_included = |reason: &dyn std::fmt::Display| Error::NotIncluded {
			call: name,
			reason: reason.to_string(),
		};
		let progress = &mut self.progress;
		let waiting = async {
			while let Some(event) = progress.next().await {
				match event.map_err(|error| not_included(&error))? {
					TransactionStatus::InBestBlock(block)
					| TransactionStatus::InFinalizedBlock(block) => return Ok(block),
					TransactionStatus::Error { message }
					| TransactionStatus::Invalid { message }
					| TransactionStatus::Dropped { message } => return Err(not_included(&message)),
					_ => (),
				}
			}
			Err(not_included(&"the node stopped to report on it"))
		};
		let block =
			tokio::time::timeout(limits::INCLUSION_MAX, waiting).await.map_err(|_| {
				not_included(&format!("it waited for {} s", limits::INCLUSION_MAX.as_secs()))
			})??;
		let events = block.wait_for_success().await;
		let events = events.map_err(|error| refusal::effect(name, error))?;
		let block = self.chain.header(Some(block.block_hash())).await?.0;
		Ok(Included { block, events })
	}
}

/// The number of an account's next transaction. What it has waiting in the node's pool counts.
///
/// # Errors
/// [`Error::Node`].
pub async fn next_nonce(chain: &Chain, signer: &Keypair) -> Result<u64, Error> {
	let account = signer.public_key().to_account_id();
	chain.legacy().system_account_next_index(&account).await.map_err(|error| Error::Node {
		method: "system_accountNextIndex",
		reason: error.to_string(),
	})
}

/// Signs a call as the account's transaction number `nonce` and submits it. Several may be on
/// their way at once.
///
/// # Errors
/// [`Error::Pool`], and those of the connection.
pub async fn submit_signed(
	chain: &Chain,
	signer: &Keypair,
	nonce: u64,
	call: &Call,
) -> Result<Pending, Error> {
	let Call { name, pallet, call, arguments } = call;
	let unmade =
		|error: &dyn std::fmt::Display| Error::Unmade { call: name, reason: error.to_string() };
	let at = transactions(chain, name).await?;
	let call_data = call_data(&at.metadata(), pallet, call, arguments)?;
	let payload = at
		.tx()
		.from_call_data_bytes(&call_data)
		.map_err(|error| Error::OtherArguments { pallet, call, reason: error.to_string() })?;
	let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new()
		.nonce(nonce)
		.mortal(limits::REGISTRATION_MORTALITY_BLOCKS)
		.build();
	let transaction =
		at.tx().create_signed(&payload, signer, params).await.map_err(|error| unmade(&error))?;
	let watching = transaction.submit_and_watch().await;
	let progress = watching.map_err(|error| refusal::submission(name, &error))?;
	Ok(Pending { name, chain: chain.clone(), progress })
}

/// Signs a call with SCALE-encoded `arguments`, submits it and waits until it is in a block.
/// `name` is what errors call it.
///
/// # Errors
/// As [`register`].
pub async fn signed(
	chain: &Chain,
	signer: &Keypair,
	name: &'static str,
	pallet: &'static str,
	call: &'static str,
	arguments: &[u8],
) -> Result<BlockNumber, Error> {
	let call = Call { name, pallet, call, arguments: arguments.to_vec() };
	let nonce = next_nonce(chain, signer).await?;
	let pending = submit_signed(chain, signer, nonce, &call).await?;
	Ok(pending.included().await?.block.number)
}

async fn transactions(
	chain: &Chain,
	call: &'static str,
) -> Result<
	subxt::client::ClientAtBlock<
		SubstrateConfig,
		subxt::client::OnlineClientAtBlockImpl<SubstrateConfig>,
	>,
	Error,
> {
	chain.online().at_current_block().await.map_err(|error| Error::Node {
		method: "state_getMetadata",
		reason: format!("for {call}: {error}"),
	})
}

/// A call: where the runtime has it, then its arguments.
fn call_data(
	metadata: &Metadata,
	pallet: &'static str,
	call: &'static str,
	arguments: &[u8],
) -> Result<Vec<u8>, Error> {
	let missing = || Error::NoSuchCall { pallet, call };
	let found = metadata.pallet_by_name(pallet).ok_or_else(missing)?;
	let variant = found.call_variant_by_name(call).ok_or_else(missing)?;
	let mut data = vec![found.call_index(), variant.index];
	data.extend_from_slice(arguments);
	Ok(data)
}
