//! Makes transactions, submits them, follows them into a block, and finds those of earlier.
//!
//! | file | holds |
//! |---|---|
//! | `sender` | an account's transactions, several at once, each with a number of its own |
//! | `search` | what became of a transaction that this process did not follow |
//! | `general` | fee-less *general* transactions, encoded by hand from the metadata |
//! | `refusal` | why a transaction pool or the chain refused one, and what to do |

mod general;
mod refusal;
mod search;
mod sender;

pub use general::{explicit_extension_bytes, general_transaction, Extension};
pub use refusal::{remedy, PoolError};
pub use search::{Fate, SignedAt};
pub use sender::{account, Sender};

use crate::{chain::node, limits, Chain, ChainClientError, HeaderId};
use codec::Encode;
use phala_protocol::{mailbox::Envelope, H256};
use subxt::{
	client::{ClientAtBlock, OnlineClientAtBlockImpl},
	config::DefaultExtrinsicParamsBuilder,
	events::Event,
	ext::scale_decode::DecodeAsFields,
	extrinsics::ExtrinsicEvents,
	metadata::Metadata,
	rpcs::{methods::legacy::Bytes, rpc_params},
	tx::{SubmittableTransaction, TransactionProgress, TransactionStatus},
	SubstrateConfig,
};
use subxt_signer::sr25519::Keypair;

const SUBMIT_ENVELOPE: &str = "mailbox.submit_envelope";

type AtBlock = OnlineClientAtBlockImpl<SubstrateConfig>;

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

impl Call {
	/// Where the runtime has the call, then its arguments.
	pub async fn bytes(&self, chain: &Chain) -> Result<Vec<u8>, ChainClientError> {
		let Self { name, pallet, call, arguments } = self;
		call_data(&at_finalized(chain, name).await?.metadata(), pallet, call, arguments)
	}
}

/// What became of a call that had its effect.
pub struct Included {
	/// The block that it got into. Not final yet.
	pub block: HeaderId,
	/// What it caused there.
	pub events: ExtrinsicEvents<SubstrateConfig>,
}

impl Included {
	/// The first event of this name that the transaction caused, read by its fields' names.
	pub fn event<T: DecodeAsFields>(
		&self,
		pallet: &'static str,
		name: &'static str,
	) -> Result<T, ChainClientError> {
		for event in self.events.iter() {
			let event = event.map_err(unreadable_events)?;
			if (event.pallet_name(), event.event_name()) == (pallet, name) {
				return fields(&event);
			}
		}
		Err(ChainClientError::NoEvent { block: self.block.number, pallet, name })
	}
}

/// An event's fields, by their names.
pub(crate) fn fields<T: DecodeAsFields>(
	event: &Event<'_, SubstrateConfig>,
) -> Result<T, ChainClientError> {
	event.decode_fields_unchecked_as::<T>().map_err(|error| ChainClientError::NodeAnswer {
		method: "System.Events",
		reason: format!(
			"the event {}.{} has another form: {error}",
			event.pallet_name(),
			event.event_name()
		),
	})
}

pub(crate) fn unreadable_events(error: subxt::error::EventsError) -> ChainClientError {
	ChainClientError::NodeAnswer { method: "System.Events", reason: error.to_string() }
}

/// A signed transaction that nobody has seen yet.
pub struct SignedTransaction {
	name: &'static str,
	chain: Chain,
	/// Its hash, and from where on to look for it.
	pub at: SignedAt,
	/// Version of the runtime that it is signed for: with any other the signature does not count.
	spec_version: u32,
	transaction: SubmittableTransaction<SubstrateConfig, AtBlock>,
}

impl SignedTransaction {
	async fn submit(&self) -> Result<Pending, ChainClientError> {
		let watching = self.transaction.submit_and_watch().await;
		let progress = watching.map_err(|error| refusal::submission(self.name, &error))?;
		Ok(Pending { name: self.name, chain: self.chain.clone(), at: self.at, progress })
	}
}

/// A call that the node's pool took.
pub struct Pending {
	name: &'static str,
	chain: Chain,
	/// Finds it again, should this process not follow it to its end.
	pub at: SignedAt,
	progress: TransactionProgress<SubstrateConfig, AtBlock>,
}

impl Pending {
	/// Waits until the node's pool has looked at it: what is submitted after that comes after it.
	pub async fn in_pool(&mut self) -> Result<(), ChainClientError> {
		let taken = tokio::time::timeout(limits::INCLUSION_MAX, self.progress.next()).await;
		let reason = match taken {
			Ok(Some(Ok(
				TransactionStatus::Error { message }
				| TransactionStatus::Invalid { message }
				| TransactionStatus::Dropped { message },
			))) => message,
			Ok(Some(Err(error))) => error.to_string(),
			// What becomes of it is told by who waits for its block.
			Ok(Some(Ok(_)) | None) | Err(_) => return Ok(()),
		};
		Err(ChainClientError::NotIncluded { call: self.name, reason })
	}

	/// Waits until it is in a block.
	///
	/// # Errors
	/// [`ChainClientError::Dispatch`] when it had no effect there,
	/// [`ChainClientError::NotIncluded`] after [`limits::INCLUSION_MAX`].
	pub async fn included(mut self) -> Result<Included, ChainClientError> {
		let name = self.name;
		let not_included = |reason: &dyn std::fmt::Display| ChainClientError::NotIncluded {
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

/// Signs a call as the account's transaction number `nonce`.
async fn sign(
	chain: &Chain,
	signer: &Keypair,
	nonce: u64,
	call: &Call,
) -> Result<SignedTransaction, ChainClientError> {
	let Call { name, pallet, call, arguments } = call;
	let at = at_finalized(chain, name).await?;
	let call_data = call_data(&at.metadata(), pallet, call, arguments)?;
	let payload = at.tx().from_call_data_bytes(&call_data).map_err(|error| {
		ChainClientError::OtherArguments { pallet, call, reason: error.to_string() }
	})?;
	let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new()
		.nonce(nonce)
		.mortal(limits::MORTALITY_BLOCKS.into())
		.build();
	let spec_version = at.spec_version();
	let transaction = at.tx().create_signed(&payload, signer, params).await;
	let transaction = transaction
		.map_err(|error| ChainClientError::Unmade { call: name, reason: error.to_string() })?;
	// The mortal era counts from this very block.
	let since = chain.header(Some(at.block_hash())).await?.0;
	let at = SignedAt { transaction: transaction.hash(), since };
	Ok(SignedTransaction { name, chain: chain.clone(), at, spec_version, transaction })
}

/// The bytes of the general transaction that carries an envelope.
///
/// # Errors
/// [`ChainClientError::UnknownExtension`], and those of a call that the runtime does not have.
pub async fn envelope_transaction(
	chain: &Chain,
	envelope: &Envelope,
) -> Result<Vec<u8>, ChainClientError> {
	let at = at_finalized(chain, SUBMIT_ENVELOPE).await?;
	let metadata = at.metadata();
	let call = call_data(&metadata, "Mailbox", "submit_envelope", &envelope.encode())?;
	at.tx().from_call_data_bytes(&call).map_err(|error| ChainClientError::OtherArguments {
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
/// [`ChainClientError::Pool`] when the pool refuses it, and those of [`envelope_transaction`].
pub async fn submit_envelope(chain: &Chain, envelope: &Envelope) -> Result<H256, ChainClientError> {
	submit_bytes(chain, SUBMIT_ENVELOPE, &envelope_transaction(chain, envelope).await?).await
}

/// Submits a transaction as it is, right or wrong; `call` is what errors name it.
///
/// # Errors
/// [`ChainClientError::Pool`], [`ChainClientError::Node`].
pub async fn submit_bytes(
	chain: &Chain,
	call: &'static str,
	transaction: &[u8],
) -> Result<H256, ChainClientError> {
	match chain.legacy().author_submit_extrinsic(transaction).await {
		Ok(hash) => Ok(hash),
		Err(subxt::rpcs::Error::User(refused)) => {
			Err(ChainClientError::Pool { call, refusal: PoolError::read(&refused) })
		}
		Err(error) => Err(ChainClientError::Node {
			method: "author_submitExtrinsic",
			reason: error.to_string(),
		}),
	}
}

/// Whether a transaction waits in the node's pool whose call starts with these bytes.
pub async fn is_pending(chain: &Chain, call: &[u8]) -> Result<bool, ChainClientError> {
	let pending: Vec<Bytes> = chain.request("author_pendingExtrinsics", rpc_params![]).await?;
	Ok(!call.is_empty()
		&& pending.iter().any(|bytes| bytes.windows(call.len()).any(|window| window == call)))
}

/// The number of an account's next transaction. What it has waiting in the node's pool counts.
async fn next_nonce(chain: &Chain, signer: &Keypair) -> Result<u64, ChainClientError> {
	let account = signer.public_key().to_account_id();
	let next = chain.legacy().system_account_next_index(&account).await;
	next.map_err(|error| node("system_accountNextIndex", error))
}

async fn at_finalized(
	chain: &Chain,
	call: &str,
) -> Result<ClientAtBlock<SubstrateConfig, AtBlock>, ChainClientError> {
	chain.online().at_current_block().await.map_err(|error| ChainClientError::Node {
		method: "state_getMetadata",
		reason: format!("for {call}: {error}"),
	})
}

fn call_data(
	metadata: &Metadata,
	pallet: &'static str,
	call: &'static str,
	arguments: &[u8],
) -> Result<Vec<u8>, ChainClientError> {
	let missing = || ChainClientError::NoSuchCall { pallet, call };
	let found = metadata.pallet_by_name(pallet).ok_or_else(missing)?;
	let variant = found.call_variant_by_name(call).ok_or_else(missing)?;
	let mut data = vec![found.call_index(), variant.index];
	data.extend_from_slice(arguments);
	Ok(data)
}
