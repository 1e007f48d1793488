//! What a test does on the chain, and what it sees there.

use crate::money::item;
use anyhow::Context;
use codec::DecodeAll;
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	storage_keys, H256,
};
use std::sync::Arc;
use subxt::{
	config::DefaultExtrinsicParamsBuilder,
	dynamic::{transaction, Value},
	rpcs::{client::RpcParams, rpc_params, RpcClient},
	tx::DynamicPayload,
	OnlineClient, SubstrateConfig,
};
use subxt_signer::{
	sr25519::{dev, Keypair},
	SecretUri,
};
use tokio::sync::Mutex;

/// The network's own pallets.
const OWN_PALLETS: [&str; 6] =
	["Registry.", "Mailbox.", "Gatekeepers.", "Clusters.", "Agents.", "Requests."];

/// A connection that submits as the development accounts.
#[derive(Clone)]
pub struct Chain {
	pub api: OnlineClient<SubstrateConfig>,
	rpc: RpcClient,
	/// One transaction at a time, so that nonces do not collide.
	turn: Arc<Mutex<()>>,
}

/// An event, by name, with its fields' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
	pub block: u64,
	pub name: String,
	pub fields: Vec<u8>,
}

impl Event {
	/// Its fields.
	pub fn decode<T: DecodeAll>(&self) -> anyhow::Result<T> {
		T::decode_all(&mut &self.fields[..]).with_context(|| format!("fields of {}", self.name))
	}
}

impl Chain {
	/// Connects to a node.
	pub async fn connect(url: &str) -> anyhow::Result<Self> {
		let rpc = RpcClient::from_insecure_url(url).await?;
		let api = OnlineClient::from_rpc_client(rpc.clone()).await?;
		Ok(Self { api, rpc, turn: Arc::default() })
	}

	/// Hash of block 0.
	pub fn genesis(&self) -> H256 {
		H256(self.api.genesis_hash().0)
	}

	/// Submits a call and waits until it is final and has succeeded; its events.
	///
	/// Not only in a block: validators that take turns make forks, and a block that is given up takes
	/// the transactions after it along. One that fell out of the pool that way is sent again.
	pub async fn submit(
		&self,
		signer: &Keypair,
		pallet: &str,
		call: &str,
		fields: Vec<Value>,
	) -> anyhow::Result<Vec<Event>> {
		let _turn = self.turn.lock().await;
		self.submit_in_turn(signer, pallet, call, fields).await
	}

	/// The same by who has the turn already.
	async fn submit_in_turn(
		&self,
		signer: &Keypair,
		pallet: &str,
		call: &str,
		fields: Vec<Value>,
	) -> anyhow::Result<Vec<Event>> {
		const ATTEMPTS: u32 = 5;
		let name = format!("{pallet}.{call}");
		for _ in 0..ATTEMPTS {
			let payload = transaction(pallet, call, fields.clone());
			if let Some(events) = self.submit_once(signer, &name, payload).await? {
				return Ok(events);
			}
			tokio::time::sleep(std::time::Duration::from_secs(3)).await;
		}
		anyhow::bail!("{name} fell out of the pool {ATTEMPTS} times")
	}

	/// `None` when the pool dropped it before it was final.
	async fn submit_once(
		&self,
		signer: &Keypair,
		name: &str,
		payload: DynamicPayload<Vec<Value>>,
	) -> anyhow::Result<Option<Vec<Event>>> {
		// The pool's view: a transaction before this one may be in no finalized block yet.
		let account = signer.public_key().to_account_id().to_string();
		let nonce: u64 = self.rpc.request("system_accountNextIndex", rpc_params![account]).await?;
		let params = DefaultExtrinsicParamsBuilder::<SubstrateConfig>::new().nonce(nonce).build();
		let mut progress = self
			.api
			.tx()
			.await?
			.sign_and_submit_then_watch(&payload, signer, params)
			.await
			.with_context(|| name.to_string())?;
		while let Some(status) = progress.next().await {
			let Ok(status) = status else { return Ok(None) };
			let Some(finalized) = status.as_finalized() else { continue };
			let events = finalized.wait_for_success().await.with_context(|| name.to_string())?;
			let events = events.iter().map(|event| {
				let event = event?;
				Ok(Event {
					block: 0,
					name: format!("{}.{}", event.pallet_name(), event.event_name()),
					fields: event.field_bytes().to_vec(),
				})
			});
			return events.collect::<anyhow::Result<_>>().map(Some);
		}
		Ok(None)
	}

	/// Submits a call as root, through the development network's sudo.
	pub async fn sudo(
		&self,
		signer: &Keypair,
		pallet: &str,
		call: &str,
		fields: Vec<Value>,
	) -> anyhow::Result<()> {
		let inner = Value::unnamed_variant(pallet, [Value::unnamed_variant(call, fields)]);
		let events = self.submit(signer, "Sudo", "sudo", vec![inner]).await?;
		let done =
			events.iter().find(|event| event.name == "Sudo.Sudid").context("no Sudid event")?;
		anyhow::ensure!(
			done.fields.first() == Some(&0),
			"{pallet}.{call} failed: {:?}",
			done.fields
		);
		Ok(())
	}

	/// A new worker for `operator`.
	pub async fn register_worker(&self, operator: &Keypair) -> anyhow::Result<WorkerId> {
		let events = self.submit(operator, "Registry", "register_worker", vec![]).await?;
		let created = events
			.iter()
			.find(|event| event.name == "Registry.WorkerRegistered")
			.context("no WorkerRegistered event")?;
		let (worker, _) = created.decode::<(WorkerId, [u8; 32])>()?;
		Ok(worker)
	}

	/// Lets this build of pruntime register.
	pub async fn allow_measurement(&self, measurement: H256) -> anyhow::Result<()> {
		let fields = vec![Value::from_bytes(measurement.0)];
		self.sudo(&dev::alice(), "Registry", "allow_measurement", fields).await
	}

	/// The same where no key may do everything: the chain's holders vote for it, on the track of the
	/// policy's admin. Takes half a minute of a development network's.
	pub async fn vote_for_measurement(&self, measurement: H256) -> anyhow::Result<()> {
		let value = vec![Value::from_bytes(measurement.0)];
		let allow = transaction("Registry", "allow_measurement", value);
		let key = storage_keys::registry_measurement(measurement);
		self.vote(variant("Origins", vec![variant("PolicyAdmin", vec![])]), allow, &key).await
	}

	/// The chain's holders vote for an upgrade to the runtime with this hash, which anybody may bring
	/// then: a vote names code and does not carry it.
	pub async fn vote_for_upgrade(&self, code_hash: H256) -> anyhow::Result<()> {
		let authorize =
			transaction("System", "authorize_upgrade", vec![Value::from_bytes(code_hash.0)]);
		let key = item("System", "AuthorizedUpgrade");
		self.vote(variant("system", vec![variant("Root", vec![])]), authorize, &key).await
	}

	/// Puts a call to the vote on the track of its origin, and waits until it was carried out, which is
	/// when there is something under `key` in a final state.
	///
	/// More than half of the issuance votes aye, so that it need not wait until fewer are enough.
	async fn vote(
		&self,
		origin: Value,
		call: DynamicPayload<Vec<Value>>,
		key: &[u8],
	) -> anyhow::Result<()> {
		/// `aye`, with the conviction that locks once.
		const AYE: u128 = 0x80 | 1;
		/// Of each, of 69 million PHA that an account begins with.
		const BALANCE: u128 = 60_000_000_000_000_000_000;
		/// Beside Alice.
		const VOTERS: [&str; 10] = [
			"//Bob",
			"//Charlie",
			"//Dave",
			"//Eve",
			"//Ferdie",
			"//Alice//stash",
			"//Bob//stash",
			"//Charlie//stash",
			"//Dave//stash",
			"//Eve//stash",
		];

		let call = self.api.tx().await?.call_data(&call)?;
		let count = self.value(&item("Referenda", "ReferendumCount"), self.best().await?).await?;
		let count = count.map_or(Ok(0), |count| u32::decode_all(&mut &count[..]))?;
		let index = || Value::u128(count.into());
		let submit = vec![
			origin,
			variant("Inline", vec![Value::from_bytes(call)]),
			variant("After", vec![Value::u128(0)]),
		];
		let vote = || {
			let aye = Value::unnamed_composite([Value::u128(AYE)]);
			let fields = [("vote", aye), ("balance", Value::u128(BALANCE))];
			vec![index(), Value::named_variant("Standard", fields)]
		};
		let put_up = Value::unnamed_composite([
			variant("Referenda", vec![variant("submit", submit)]),
			variant("Referenda", vec![variant("place_decision_deposit", vec![index()])]),
			variant("ConvictionVoting", vec![variant("vote", vote())]),
		]);
		self.submit(&dev::alice(), "Utility", "batch_all", vec![put_up]).await?;
		{
			// Each account votes once, so they need not wait for each other.
			let _turn = self.turn.lock().await;
			let vote = &vote;
			let voting = VOTERS.map(|secret| async move {
				let voter = Keypair::from_uri(&secret.parse::<SecretUri>()?)?;
				self.submit_in_turn(&voter, "ConvictionVoting", "vote", vote()).await
			});
			futures::future::try_join_all(voting).await?;
		}
		crate::until("the vote to be enacted", || async {
			Ok(self.value(key, self.best().await?).await?.map(|_| ()))
		})
		.await?;
		// What is reserved for a vote has no reason that could be looked up: it goes back.
		let back = ["refund_decision_deposit", "refund_submission_deposit"]
			.map(|call| variant("Referenda", vec![variant(call, vec![index()])]));
		let back = vec![Value::unnamed_composite(back)];
		self.submit(&dev::alice(), "Utility", "batch_all", back).await?;
		Ok(())
	}

	/// Asks a worker's enclave for a sign of life, as soon as the one before is old enough.
	pub async fn probe(
		&self,
		by: &Keypair,
		worker: WorkerId,
		nonce: [u8; 32],
	) -> anyhow::Result<()> {
		let fields = || vec![Value::u128(worker.into()), Value::from_bytes(nonce)];
		loop {
			match self.submit(by, "Registry", "probe", fields()).await {
				Ok(_) => return Ok(()),
				Err(error) if format!("{error:#}").contains("ProbeTooSoon") => {}
				Err(error) => return Err(error),
			}
		}
	}

	/// Asks the node's JSON-RPC.
	pub async fn request<T: serde::de::DeserializeOwned>(
		&self,
		method: &str,
		parameters: RpcParams,
	) -> anyhow::Result<T> {
		Ok(self.rpc.request(method, parameters).await?)
	}

	/// Hash of a block, in hexadecimal as the node writes it.
	pub async fn block_hash(&self, block: u64) -> anyhow::Result<String> {
		let hash: Option<String> = self.request("chain_getBlockHash", rpc_params![block]).await?;
		hash.with_context(|| format!("there is no block {block}"))
	}

	/// The value under a key in the state after a block.
	pub async fn value(&self, key: &[u8], block: u64) -> anyhow::Result<Option<Vec<u8>>> {
		let at = self.block_hash(block).await?;
		let key = format!("0x{}", hex::encode(key));
		let value: Option<String> = self.request("state_getStorage", rpc_params![key, at]).await?;
		value.map(|value| unhex(&value)).transpose()
	}

	/// All keys that start with `prefix`, and their values, in the state after a block; but not the
	/// runtime, which is longer than an answer may be.
	pub async fn values(
		&self,
		prefix: &[u8],
		block: u64,
	) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
		const PAGE: u32 = 1_000;
		/// `:code`
		const CODE: &str = "0x3a636f6465";
		#[derive(serde::Deserialize)]
		struct Changes {
			changes: Vec<(String, Option<String>)>,
		}
		let at = self.block_hash(block).await?;
		let prefix = format!("0x{}", hex::encode(prefix));
		let (mut values, mut after) = (Vec::new(), None);
		loop {
			let parameters = rpc_params![&prefix, PAGE, &after, &at];
			let keys: Vec<String> = self.request("state_getKeysPaged", parameters).await?;
			let Some(last) = keys.last().cloned() else { return Ok(values) };
			let keys: Vec<_> = keys.into_iter().filter(|key| key != CODE).collect();
			let found: Vec<Changes> =
				self.request("state_queryStorageAt", rpc_params![&keys, &at]).await?;
			for (key, value) in found.into_iter().flat_map(|found| found.changes) {
				values.push((unhex(&key)?, unhex(&value.unwrap_or_default())?));
			}
			after = Some(last);
		}
	}

	/// The first event of this name for which `question` has an answer, in a block from `from` on,
	/// once it is final.
	pub async fn event<T>(
		&self,
		from: u64,
		name: &str,
		question: impl Fn(&Event) -> anyhow::Result<Option<T>>,
	) -> anyhow::Result<T> {
		let next = std::sync::atomic::AtomicU64::new(from);
		crate::until(name, || async {
			let newest = self.best().await?;
			let first = next.load(std::sync::atomic::Ordering::Relaxed);
			if first > newest {
				return Ok(None);
			}
			for event in self.events_between(first, newest).await? {
				if event.name == name {
					if let Some(answer) = question(&event)? {
						return Ok(Some(answer));
					}
				}
			}
			next.store(newest + 1, std::sync::atomic::Ordering::Relaxed);
			Ok(None)
		})
		.await
	}

	/// Height of the newest finalized block.
	pub async fn best(&self) -> anyhow::Result<u64> {
		Ok(self.api.at_current_block().await?.block_number())
	}

	/// Height of the newest block, which need not become final.
	pub async fn newest(&self) -> anyhow::Result<u64> {
		let header: serde_json::Value = self.request("chain_getHeader", rpc_params![]).await?;
		let number = header["number"].as_str().context("a header has a number")?;
		Ok(u64::from_str_radix(number.trim_start_matches("0x"), 16)?)
	}

	/// All events of the network's own pallets, from block `from` to the newest finalized one.
	pub async fn events(&self, from: u64) -> anyhow::Result<Vec<Event>> {
		self.events_between(from, self.best().await?).await
	}

	/// The same to another block, final or not.
	pub async fn events_between(&self, from: u64, newest: u64) -> anyhow::Result<Vec<Event>> {
		let mut events = Vec::new();
		for block in from..=newest {
			for event in self.api.at_block(block).await?.events().fetch().await?.iter() {
				let event = event?;
				let name = format!("{}.{}", event.pallet_name(), event.event_name());
				if OWN_PALLETS.iter().any(|pallet| name.starts_with(pallet)) {
					events.push(Event { block, name, fields: event.field_bytes().to_vec() });
				}
			}
		}
		Ok(events)
	}
}

fn variant(name: &str, fields: Vec<Value>) -> Value {
	Value::unnamed_variant(name, fields)
}

/// The bytes of a hexadecimal text with or without `0x`.
pub fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
	let decoded = hex::decode(text.trim_start_matches("0x"));
	decoded.with_context(|| format!("no hexadecimal text: {text}"))
}

/// How often the chain recorded the answer to a probe, and by which boot.
pub fn answers(
	events: &[Event],
	worker: WorkerId,
	nonce: [u8; 32],
) -> anyhow::Result<Vec<BootNumber>> {
	let mut boots = Vec::new();
	for event in events.iter().filter(|event| event.name == "Registry.ProbeAnswered") {
		let (of, boot, answered) = event.decode::<(WorkerId, BootNumber, [u8; 32])>()?;
		if (of, answered) == (worker, nonce) {
			boots.push(boot);
		}
	}
	Ok(boots)
}

/// Probes a worker and waits for the answer on the chain; the boot that gave it.
pub async fn probe_and_wait(
	chain: &Chain,
	worker: WorkerId,
	nonce: [u8; 32],
) -> anyhow::Result<BootNumber> {
	let from = chain.best().await?;
	chain.probe(&dev::bob(), worker, nonce).await?;
	answered(chain, worker, nonce, from).await
}

/// Waits for the answer to a probe that was sent in a block from `from` on.
pub async fn answered(
	chain: &Chain,
	worker: WorkerId,
	nonce: [u8; 32],
	from: u64,
) -> anyhow::Result<BootNumber> {
	crate::until("the probe's answer on the chain", || async {
		Ok(answers(&chain.events(from).await?, worker, nonce)?.first().copied())
	})
	.await
}

/// A hash of 32 bytes as the command line prints it.
pub fn hash(value: &serde_json::Value) -> anyhow::Result<H256> {
	let bytes = unhex(value.as_str().with_context(|| format!("{value} is no text"))?)?;
	anyhow::ensure!(bytes.len() == 32, "{value} is no hash");
	Ok(H256::from_slice(&bytes))
}
