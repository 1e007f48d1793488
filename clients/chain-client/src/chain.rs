//! A connection to a node: heads, finality, proofs, storage, messages.

use codec::{Decode, DecodeAll};
use phala_protocol::{
	boot::{Boot, WorkerId},
	mailbox::{Channel, ChannelHead, ClusterId, InboundNext, OutboundMessage, StoredMessage},
	relay::{FinalityStep, GenesisBundle, StateProof},
	storage_keys, Balance, BlockNumber, H256,
};
use serde::de::DeserializeOwned;
use subxt::{
	backend::LegacyBackend,
	rpcs::{
		client::{RpcParams, RpcSubscription},
		methods::legacy::{Bytes, LegacyRpcMethods},
		rpc_params, RpcClient,
	},
	OnlineClient, SubstrateConfig,
};

use crate::{
	header::{HeaderId, JsonHeader},
	limits, ChainClientError,
};

/// A connection to a node. When it fails, make a new one.
#[derive(Clone)]
pub struct Chain {
	rpc: RpcClient,
	legacy: LegacyRpcMethods<subxt::config::RpcConfigFor<SubstrateConfig>>,
	online: OnlineClient<SubstrateConfig>,
}

/// Finality that leads from one block to a newer one.
#[derive(Clone, Debug, Default)]
pub struct Finality {
	/// Each with its header's height and hash.
	pub steps: Vec<(HeaderId, FinalityStep)>,
	/// Whether there is more.
	pub cut: bool,
}

impl Chain {
	/// Connects over websocket.
	///
	/// # Errors
	/// [`ChainClientError::NodeUnreachable`], [`ChainClientError::NodeSilent`],
	/// [`ChainClientError::NotWebsocket`].
	pub async fn connect(url: &str) -> Result<Self, ChainClientError> {
		let unreachable =
			|reason: String| ChainClientError::NodeUnreachable { url: url.to_owned(), reason };
		if !["ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme)) {
			return Err(ChainClientError::NotWebsocket { url: url.to_owned() });
		}
		let silent = || ChainClientError::NodeSilent {
			url: url.to_owned(),
			seconds: limits::CONNECT_MAX.as_secs(),
		};
		// "Insecure" is a websocket without TLS to another machine. Nothing secret goes over it,
		// and nothing that comes over it is believed.
		let connecting = RpcClient::from_insecure_url(url);
		let rpc = tokio::time::timeout(limits::CONNECT_MAX, connecting)
			.await
			.map_err(|_| silent())?
			.map_err(|error| unreachable(error.to_string()))?;
		let backend = LegacyBackend::builder().build(rpc.clone());
		let asking = OnlineClient::from_backend(std::sync::Arc::new(backend));
		let online = tokio::time::timeout(limits::CONNECT_MAX, asking)
			.await
			.map_err(|_| silent())?
			.map_err(|error| unreachable(error.to_string()))?;
		Ok(Self { legacy: LegacyRpcMethods::new(rpc.clone()), rpc, online })
	}

	/// For transactions, which need the runtime's metadata.
	pub fn online(&self) -> &OnlineClient<SubstrateConfig> {
		&self.online
	}

	/// Hash of block 0.
	pub fn genesis_hash(&self) -> H256 {
		self.online.genesis_hash()
	}

	/// An amount that the runtime has as a constant.
	pub async fn amount(
		&self,
		pallet: &'static str,
		name: &'static str,
	) -> Result<Balance, ChainClientError> {
		let failed = |error: &dyn std::fmt::Display| ChainClientError::NodeAnswer {
			method: "state_getMetadata",
			reason: format!("the constant {pallet}.{name}: {error}"),
		};
		let at = self.online.at_current_block().await.map_err(|error| failed(&error))?;
		let address = subxt::dynamic::constant::<Balance>(pallet, name);
		at.constants().entry(address).map_err(|error| failed(&error))
	}

	/// Version of the runtime in the state after a block, the best one's when `at` is `None`: what the
	/// next block is made with.
	pub async fn spec_version(&self, at: Option<H256>) -> Result<u32, ChainClientError> {
		#[derive(serde::Deserialize)]
		#[serde(rename_all = "camelCase")]
		struct Version {
			spec_version: u32,
		}
		let version: Version = self.request("state_getRuntimeVersion", rpc_params![at]).await?;
		Ok(version.spec_version)
	}

	/// Waits until the newest final block has the runtime of the newest block, for at most
	/// [`limits::FINALITY_MAX`]; its version. What is signed is signed for a final block's.
	///
	/// # Errors
	/// Also [`ChainClientError::NotFinal`].
	pub async fn final_spec_version(&self) -> Result<u32, ChainClientError> {
		let newest = self.header(None).await?.0;
		let version = self.spec_version(Some(newest.hash)).await?;
		let waiting = async {
			loop {
				let at = self.finalized_head().await?;
				if self.spec_version(Some(at.hash)).await? == version {
					return Ok(version);
				}
				tokio::time::sleep(limits::POLL).await;
			}
		};
		tokio::time::timeout(limits::FINALITY_MAX, waiting).await.unwrap_or_else(|_| {
			let seconds = limits::FINALITY_MAX.as_secs();
			Err(ChainClientError::NotFinal { block: newest.number, seconds })
		})
	}

	/// A header, its height and its hash; the best block's when `hash` is `None`.
	///
	/// # Errors
	/// As all methods here: [`ChainClientError::Node`], [`ChainClientError::NodeAnswer`].
	pub async fn header(
		&self,
		hash: Option<H256>,
	) -> Result<(HeaderId, Vec<u8>), ChainClientError> {
		const METHOD: &str = "chain_getHeader";
		let header: Option<JsonHeader> = self.request(METHOD, rpc_params![hash]).await?;
		let header = header.ok_or_else(|| ChainClientError::NodeAnswer {
			method: METHOD,
			reason: format!("it does not know block {hash:?}"),
		})?;
		let bytes = header.to_scale()?;
		let id = HeaderId::of(&bytes)?;
		match hash.filter(|hash| *hash != id.hash) {
			Some(asked) => Err(ChainClientError::NodeAnswer {
				method: METHOD,
				reason: format!("asked for {asked:?}, its header hashes to {:?}", id.hash),
			}),
			None => Ok((id, bytes)),
		}
	}

	/// Height of the newest finalized block.
	pub async fn finalized(&self) -> Result<BlockNumber, ChainClientError> {
		Ok(self.finalized_head().await?.number)
	}

	/// Waits until a block is final, for at most [`limits::FINALITY_MAX`].
	///
	/// # Errors
	/// Also [`ChainClientError::NotFinal`].
	pub async fn wait_until_final(&self, block: BlockNumber) -> Result<(), ChainClientError> {
		let waiting = async {
			while self.finalized().await? < block {
				tokio::time::sleep(limits::POLL).await;
			}
			Ok(())
		};
		tokio::time::timeout(limits::FINALITY_MAX, waiting).await.unwrap_or_else(|_| {
			Err(ChainClientError::NotFinal { block, seconds: limits::FINALITY_MAX.as_secs() })
		})
	}

	/// Hash of the block of this height on the best chain; `None` when there is none yet.
	pub async fn block_hash(&self, block: BlockNumber) -> Result<Option<H256>, ChainClientError> {
		self.request("chain_getBlockHash", rpc_params![block]).await
	}

	/// The newest finalized block.
	pub async fn finalized_head(&self) -> Result<HeaderId, ChainClientError> {
		let hash = self.request("chain_getFinalizedHead", rpc_params![]).await?;
		Ok(self.header(Some(hash)).await?.0)
	}

	/// Block 0 with a proof of the first authority set, which the node makes of its chain
	/// specification: the state of block 0 itself is pruned early.
	pub async fn genesis_bundle(&self) -> Result<GenesisBundle, ChainClientError> {
		const METHOD: &str = "finality_genesis";
		let bundle: Bytes = self.request(METHOD, rpc_params![]).await?;
		decode(METHOD, &bundle)
	}

	/// Fires when a newer block is final.
	pub async fn finalized_heads(&self) -> Result<RpcSubscription<JsonHeader>, ChainClientError> {
		const METHOD: &str = "chain_subscribeFinalizedHeads";
		self.rpc
			.subscribe(METHOD, rpc_params![], "chain_unsubscribeFinalizedHeads")
			.await
			.map_err(|error| node(METHOD, error))
	}

	/// The step that leads furthest from block `from` under the authority set that finalizes it;
	/// `None` when nothing from there on is provably final yet.
	pub async fn finality_step(
		&self,
		from: BlockNumber,
	) -> Result<Option<FinalityStep>, ChainClientError> {
		const METHOD: &str = "finality_prove";
		let step: Option<Bytes> = self.request(METHOD, rpc_params![from]).await?;
		step.map(|bytes| decode(METHOD, &bytes)).transpose()
	}

	/// The steps from behind block `height` to the newest provable one, up to what
	/// [`limits::FINALITY_STEPS_MAX`] and [`limits::FINALITY_BYTES_MAX`] allow.
	pub async fn finality_after(&self, height: BlockNumber) -> Result<Finality, ChainClientError> {
		let mut finality = Finality::default();
		let mut from = height.saturating_add(1);
		let mut bytes = 0;
		loop {
			let Some(step) = self.finality_step(from).await? else { break };
			let id = HeaderId::of(&step.header)?;
			if id.number < from {
				return Err(ChainClientError::NodeAnswer {
					method: "finality_prove",
					reason: format!("asked from block {from}, it proves block {}", id.number),
				});
			}
			bytes += step.header.len() + step.justification.len();
			finality.steps.push((id, step));
			from = id.number.saturating_add(1);
			if finality.steps.len() >= limits::FINALITY_STEPS_MAX
				|| bytes >= limits::FINALITY_BYTES_MAX
			{
				finality.cut = true;
				break;
			}
		}
		Ok(finality)
	}

	/// The steps from behind block `from`, or from block 0, to the newest provable block, once that is
	/// `until` or a later one. There may be none from a block that is the newest.
	///
	/// # Errors
	/// Also [`ChainClientError::NotFinal`].
	pub async fn finality_until(
		&self,
		from: Option<HeaderId>,
		until: BlockNumber,
	) -> Result<(HeaderId, Vec<FinalityStep>), ChainClientError> {
		let following = async {
			let mut steps: Vec<FinalityStep> = Vec::new();
			let mut newest = from;
			loop {
				let next = self.finality_after(newest.map_or(0, |at| at.number)).await?;
				newest = next.steps.last().map(|(at, _)| *at).or(newest);
				steps.extend(next.steps.into_iter().map(|(_, step)| step));
				if let Some(at) = newest.filter(|at| at.number >= until && !next.cut) {
					return Ok((at, steps));
				}
				if !next.cut {
					tokio::time::sleep(limits::POLL).await;
				}
			}
		};
		tokio::time::timeout(limits::FINALITY_MAX, following).await.unwrap_or_else(|_| {
			let seconds = limits::FINALITY_MAX.as_secs();
			Err(ChainClientError::NotFinal { block: until, seconds })
		})
	}

	/// Proves the values under `keys`, or that there are none, in the state after a block.
	///
	/// # Errors
	/// Also [`ChainClientError::StatePruned`].
	pub async fn state_proof(
		&self,
		at: HeaderId,
		keys: &[Vec<u8>],
	) -> Result<StateProof, ChainClientError> {
		let keys = keys.iter().map(Vec::as_slice);
		let proof = self
			.legacy
			.state_get_read_proof(keys, Some(at.hash))
			.await
			.map_err(|error| state_error("state_getReadProof", at, error))?;
		Ok(proof.proof.into_iter().map(|node| node.0).collect())
	}

	/// The values under `keys`, in their order, in the state after a block.
	///
	/// # Errors
	/// Also [`ChainClientError::StatePruned`].
	pub async fn values(
		&self,
		at: HeaderId,
		keys: &[Vec<u8>],
	) -> Result<Vec<Option<Vec<u8>>>, ChainClientError> {
		const METHOD: &str = "state_queryStorageAt";
		let mut values = Vec::with_capacity(keys.len());
		for asked in keys.chunks(limits::STORAGE_KEYS_PER_REQUEST_MAX) {
			let answer = self
				.legacy
				.state_query_storage_at(asked.iter().map(Vec::as_slice), Some(at.hash))
				.await
				.map_err(|error| state_error(METHOD, at, error))?;
			let mut found: std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>> = answer
				.into_iter()
				.flat_map(|set| set.changes)
				.map(|(key, value)| (key.0, value.map(|bytes| bytes.0)))
				.collect();
			values.extend(asked.iter().map(|key| found.remove(key).flatten()));
		}
		Ok(values)
	}

	/// The value under a key in the state after a block.
	///
	/// # Errors
	/// Also [`ChainClientError::StatePruned`]; when the value is no `T`.
	pub async fn read<T: Decode>(
		&self,
		at: HeaderId,
		key: Vec<u8>,
	) -> Result<Option<T>, ChainClientError> {
		let value = self.values(at, &[key]).await?.pop().flatten();
		value.map(|value| decode("state_queryStorageAt", &value)).transpose()
	}

	/// All keys that start with `prefix` in the state after a block, in their order.
	///
	/// # Errors
	/// Also [`ChainClientError::StatePruned`].
	pub async fn keys(
		&self,
		at: HeaderId,
		prefix: &[u8],
	) -> Result<Vec<Vec<u8>>, ChainClientError> {
		const PAGE: u32 = limits::STORAGE_KEYS_PER_REQUEST_MAX as u32;
		let mut keys: Vec<Vec<u8>> = Vec::new();
		loop {
			let after = keys.last().map(Vec::as_slice);
			let page = self
				.legacy
				.state_get_keys_paged(prefix, PAGE, after, Some(at.hash))
				.await
				.map_err(|error| state_error("state_getKeysPaged", at, error))?;
			let is_last = page.len() < PAGE as usize;
			keys.extend(page);
			if is_last {
				return Ok(keys);
			}
		}
	}

	/// The heads of channels, in their order, in the state after a block.
	///
	/// # Errors
	/// Also [`ChainClientError::StatePruned`].
	pub async fn heads(
		&self,
		at: HeaderId,
		channels: &[Channel],
	) -> Result<Vec<ChannelHead>, ChainClientError> {
		let keys: Vec<_> = channels.iter().map(|c| storage_keys::mailbox_head(*c)).collect();
		let values = self.values(at, &keys).await?;
		values
			.into_iter()
			.map(|value| value.map_or(Ok(ChannelHead::default()), |v| decode("Mailbox.Heads", &v)))
			.collect()
	}

	/// Messages `from` to `until` (excluded) of a channel, as kept in the state after a block.
	///
	/// # Errors
	/// Also [`ChainClientError::StatePruned`], [`ChainClientError::BodyPruned`].
	pub async fn messages(
		&self,
		at: HeaderId,
		channel: Channel,
		from: u64,
		until: u64,
	) -> Result<Vec<OutboundMessage>, ChainClientError> {
		let keys: Vec<_> =
			(from..until).map(|seq| storage_keys::mailbox_body(channel, seq)).collect();
		let values = self.values(at, &keys).await?;
		(from..until).zip(values).map(|(seq, value)| stored_message(channel, seq, value)).collect()
	}

	/// The next envelope that the chain takes from a worker, at the best block; `None` when the worker
	/// has no boot.
	pub async fn next_envelope(
		&self,
		worker: WorkerId,
	) -> Result<Option<InboundNext>, ChainClientError> {
		self.best_value("Mailbox.NextEnvelope", &storage_keys::mailbox_next_envelope(worker)).await
	}

	/// A worker's current boot, at the best block.
	pub async fn current_boot(&self, worker: WorkerId) -> Result<Option<Boot>, ChainClientError> {
		self.best_value("Registry.Boots", &storage_keys::registry_boot(worker)).await
	}

	/// The cluster that a worker asks to join, and where it would be reached, at the best block.
	pub async fn join_request(
		&self,
		worker: WorkerId,
	) -> Result<Option<(ClusterId, Vec<u8>)>, ChainClientError> {
		let key = storage_keys::clusters_join_request(worker);
		self.best_value("Clusters.JoinRequests", &key).await
	}

	async fn best_value<T: Decode>(
		&self,
		name: &'static str,
		key: &[u8],
	) -> Result<Option<T>, ChainClientError> {
		let value = self.legacy.state_get_storage(key, None).await;
		let value = value.map_err(|error| node("state_getStorage", error))?;
		value.map(|bytes| decode(name, &bytes)).transpose()
	}

	/// A raw JSON-RPC request.
	pub async fn request<T: DeserializeOwned>(
		&self,
		method: &'static str,
		params: RpcParams,
	) -> Result<T, ChainClientError> {
		self.rpc.request(method, params).await.map_err(|error| node(method, error))
	}

	pub(crate) fn legacy(&self) -> &LegacyRpcMethods<subxt::config::RpcConfigFor<SubstrateConfig>> {
		&self.legacy
	}
}

fn stored_message(
	channel: Channel,
	seq: u64,
	value: Option<Vec<u8>>,
) -> Result<OutboundMessage, ChainClientError> {
	let value = value.ok_or(ChainClientError::BodyPruned { channel, seq })?;
	let StoredMessage::<Vec<u8>> { block, index, body } = decode("Mailbox.Bodies", &value)?;
	Ok(OutboundMessage { seq, block, index, body })
}

pub(crate) fn decode<T: Decode>(what: &'static str, bytes: &[u8]) -> Result<T, ChainClientError> {
	T::decode_all(&mut &bytes[..])
		.map_err(|error| ChainClientError::NodeAnswer { method: what, reason: error.to_string() })
}

pub(crate) fn node(method: &'static str, error: subxt::rpcs::Error) -> ChainClientError {
	match error {
		// The node answered, so the connection is good; asking again does not help it.
		subxt::rpcs::Error::User(refused) => {
			ChainClientError::NodeAnswer { method, reason: format!("it refused with: {refused}") }
		}
		subxt::rpcs::Error::Deserialization(error) => {
			ChainClientError::NodeAnswer { method, reason: error.to_string() }
		}
		error => ChainClientError::Node { method, reason: error.to_string() },
	}
}

fn state_error(method: &'static str, at: HeaderId, error: subxt::rpcs::Error) -> ChainClientError {
	match state_failure(method, at.number, error.to_string()) {
		pruned @ ChainClientError::StatePruned { .. } => pruned,
		_ => node(method, error),
	}
}

/// A node that pruned a state answers with its client's error code and "State already discarded"
/// or "UnknownBlock".
pub(crate) fn state_failure(
	method: &'static str,
	block: BlockNumber,
	reason: String,
) -> ChainClientError {
	let discarded = ["discarded", "UnknownBlock", "Unknown block", "pruned"];
	match discarded.iter().any(|mark| reason.contains(mark)) {
		true => ChainClientError::StatePruned { block, reason },
		false => ChainClientError::Node { method, reason: format!("of block {block}: {reason}") },
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	/// Takes connections and says nothing, as a node that was stopped.
	#[tokio::test(start_paused = true)]
	async fn a_node_that_hangs_is_told_from_one_that_is_not_there() {
		let hung = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
		let url = format!("ws://{}", hung.local_addr().expect("it has one"));
		let Err(refused) = Chain::connect(&url).await else { panic!("nobody answers") };
		assert_eq!(refused.name(), "NodeUnreachable");
		assert!(refused.to_string().contains("does it hang?"), "{refused}");
	}

	#[tokio::test]
	async fn what_is_no_websocket_is_refused_with_what_is() {
		for url in ["http://127.0.0.1:9964", "127.0.0.1:9944", ""] {
			let Err(refused) = Chain::connect(url).await else { panic!("{url:?} is none") };
			assert_eq!(refused.name(), "NodeUnreachable");
			let refused = refused.to_string();
			assert!(refused.contains("as in ws://127.0.0.1:9944"), "{refused}");
			assert!(!refused.contains("phala network up"), "{refused}");
		}
	}

	#[test]
	fn a_stored_message_keeps_its_frozen_encoding() {
		let bytes = [9, 0, 0, 0, 3, 0, 0, 0, 2 << 2, b'h', b'i'];
		let message = stored_message(Channel::System, 7, Some(bytes.to_vec())).expect("is one");
		let expected = OutboundMessage { seq: 7, block: 9, index: 3, body: b"hi".to_vec() };
		assert_eq!(message, expected);
	}

	#[test]
	fn a_pruned_body_names_its_channel_and_number() {
		let error = stored_message(Channel::Worker(4), 7, None).expect_err("nothing is there");
		assert!(matches!(
			error,
			ChainClientError::BodyPruned { channel: Channel::Worker(4), seq: 7 }
		));
	}
}
