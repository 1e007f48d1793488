//! The loop: finality and messages to the enclave, envelopes to the chain; registrations, which may wait
//! for a place in a block, beside it.

use phala_chain_client::{
	registry::{self, RegistrationGrounds, RegistrationRefusal},
	transactions, Chain, ChainClientError, Sender,
};
use phala_protocol::{
	relay::{EnclavePhase, EnclaveStatus},
	text::Address,
	AccountBytes,
};
use std::{collections::BTreeSet, time::Instant};
use subxt_signer::sr25519::Keypair;

use crate::{
	backoff::Backoff,
	bundle,
	enclave::EnclaveClient,
	envelopes::EnvelopeBook,
	limits,
	registration::{objection, RefusedRegistration, Registrar, RegistrationError, Submitted},
	status::SharedStatus,
	RelayError,
};

/// Between whom to relay.
pub struct Relay {
	node: String,
	enclave: EnclaveClient,
	operator: Keypair,
	shared_status: SharedStatus,
	boot: BootMemory,
}

/// What is remembered of one life of the enclave; nothing of it outlives a restart of pherry, and of the
/// enclave only what the chain refused.
#[derive(Default)]
struct BootMemory {
	identity: [u8; 32],
	registrar: Registrar,
	envelopes: EnvelopeBook,
}

/// Why there is nothing left to relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndedError {
	/// A later boot took the worker.
	#[error("the enclave is retired: a later boot took its worker; it will never serve again")]
	Retired,
	/// The worker was evicted.
	#[error("the enclave is evicted: its worker lost its place; see the chain for the reason")]
	Evicted,
}

/// What one turn of the loop came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
	/// There is more to bring at once.
	More,
	/// Nothing to do before something happens.
	Idle,
	Ended(EndedError),
}

impl Relay {
	/// Between the node at `node` (a websocket address) and an enclave; `operator` pays.
	pub fn new(
		node: String,
		enclave: EnclaveClient,
		operator: Keypair,
		shared_status: SharedStatus,
	) -> Self {
		Self { node, enclave, operator, shared_status, boot: BootMemory::default() }
	}

	/// Relays until the enclave has no use for it any more. Failures are waited out.
	pub async fn run(mut self) -> EndedError {
		let mut backoff = Backoff::new(limits::BACKOFF_MIN, limits::BACKOFF_MAX);
		loop {
			match self.run_connected(&mut backoff).await {
				Ok(ended) => return ended,
				Err(error) => {
					self.shared_status.node_connected(false);
					self.shared_status.error(&error);
					tokio::time::sleep(backoff.after_failure()).await;
				}
			}
		}
	}

	/// Relays over one connection to the node, until that fails.
	async fn run_connected(&mut self, connecting: &mut Backoff) -> Result<EndedError, RelayError> {
		let chain = Chain::connect(&self.node).await?;
		let mut heads = chain.finalized_heads().await?;
		self.shared_status.node_connected(true);
		connecting.after_success();
		self.boot.registrar.give_up(Instant::now());
		// Of its own: an enclave that is away must not delay the next connection to the node.
		let mut backoff = Backoff::new(limits::BACKOFF_MIN, limits::BACKOFF_MAX);
		loop {
			match self.turn(&chain).await {
				Ok(Turn::Ended(ended)) => return Ok(ended),
				Ok(Turn::More) => {
					backoff.after_success();
					continue;
				}
				Ok(Turn::Idle) => backoff.after_success(),
				Err(error) if error.is_of_node_connection() => return Err(error),
				Err(error) => {
					if error.is_of_enclave_connection() {
						self.shared_status.enclave_lost();
					}
					self.shared_status.error(&error);
					tokio::time::sleep(backoff.after_failure()).await;
				}
			}
			match tokio::time::timeout(limits::POLL, heads.next()).await {
				Ok(Some(Ok(header))) => self.shared_status.finalized(header.number()?),
				Ok(Some(Err(error))) => return Err(subscription_ended(&error)),
				Ok(None) => return Err(subscription_ended(&"it ended")),
				Err(_) => (),
			}
		}
	}

	async fn turn(&mut self, chain: &Chain) -> Result<Turn, RelayError> {
		let mut status = self.enclave.status().await?;
		self.notice(&status);
		self.shared_status.finalized(chain.finalized().await?);

		if status.phase == EnclavePhase::AwaitsGenesis {
			self.enclave.genesis(&bundle::genesis(chain, &status).await?).await?;
			tracing::info!("brought the enclave block 0 and the first authority set");
			return Ok(Turn::More);
		}

		let mut turn = Turn::Idle;
		if let Some(ended) = ended(status.phase) {
			return Ok(Turn::Ended(ended));
		}
		self.hear_of_registration()?;
		if let Some(next) = bundle::next_sync(chain, &status).await? {
			let messages: usize = next.bundle.bodies.iter().map(|b| b.messages.len()).sum();
			let (from, steps) = (status.height, next.bundle.steps.len());
			status = self.enclave.sync(&next.bundle).await?;
			tracing::debug!(from, height = status.height, steps, messages, "synced");
			self.notice(&status);
			if next.more && status.height > from {
				turn = Turn::More;
			}
		}

		match status.phase {
			EnclavePhase::AwaitsRegistration | EnclavePhase::AwaitsRenewal
				if turn == Turn::Idle =>
			{
				self.register(chain, &status)
			}
			phase => {
				if let Some(ended) = ended(phase) {
					return Ok(Turn::Ended(ended));
				}
			}
		}
		if status.boot.is_some() {
			self.submit_envelopes(chain, &status).await?;
		}
		Ok(turn)
	}

	/// Takes note of where the enclave stands, and forgets what concerned an earlier life.
	fn notice(&mut self, status: &EnclaveStatus) {
		if self.boot.identity != status.identity {
			let registrar = self.boot.registrar.next_life();
			self.boot = BootMemory { identity: status.identity, registrar, ..Default::default() };
		}
		self.shared_status.enclave(status);
	}

	/// Starts a registration beside the loop, unless one is on its way.
	fn register(&mut self, chain: &Chain, status: &EnclaveStatus) {
		if self.boot.registrar.is_due(status.height, Instant::now()) {
			self.boot.registrar.start(register(
				chain.clone(),
				self.enclave.clone(),
				self.operator.clone(),
				status.clone(),
				self.boot.registrar.refused(),
			));
		}
	}

	/// Takes note of what came of the registration that was started.
	fn hear_of_registration(&mut self) -> Result<(), RelayError> {
		match self.boot.registrar.take_ended(Instant::now()) {
			Some(Err(error))
				if error.is_of_node_connection() || error.is_of_enclave_connection() =>
			{
				return Err(error);
			}
			Some(Err(error) | Ok(Some(error))) => self.shared_status.error(&error),
			Some(Ok(None)) | None => {}
		}
		Ok(())
	}

	async fn submit_envelopes(
		&mut self,
		chain: &Chain,
		status: &EnclaveStatus,
	) -> Result<(), RelayError> {
		if status.queued == 0 {
			return Ok(());
		}
		let envelopes = self.enclave.envelopes().await?;
		let Some(next) = chain.next_envelope(status.worker).await? else { return Ok(()) };
		let (best, _) = chain.header(None).await?;
		let mut refused = BTreeSet::new();
		for envelope in self.boot.envelopes.due(envelopes, next, best.number) {
			let (boot, lane, seq) = (envelope.boot, envelope.lane, envelope.seq);
			// Those after one that was refused would be refused alike.
			if refused.contains(&lane) {
				continue;
			}
			match transactions::submit_envelope(chain, &envelope).await {
				Ok(_) => tracing::debug!(boot, ?lane, seq, "submitted an envelope"),
				Err(ChainClientError::Pool { refusal, .. }) if refusal.is_already_there() => (),
				Err(ChainClientError::Pool { call, refusal }) => {
					if refusal.is_retired() {
						self.boot.envelopes.retired(boot);
					}
					refused.insert(lane);
					self.shared_status.error(&ChainClientError::Pool { call, refusal }.into());
				}
				Err(error) => return Err(error.into()),
			}
			self.boot.envelopes.submitted(&envelope, best.number);
		}
		Ok(())
	}
}

/// Submits a registration unless one is on its way or the chain would refuse it, and waits until it is in a
/// block.
async fn register(
	chain: Chain,
	enclave: EnclaveClient,
	operator: Keypair,
	status: EnclaveStatus,
	refused: Option<Box<RefusedRegistration>>,
) -> Result<Submitted, RegistrationError> {
	let known_at = |known_at| Ok(Submitted { known_at, doubt: None });
	let (best, _) = chain.header(None).await?;
	if status.phase == EnclavePhase::AwaitsRegistration {
		// After a restart of pherry an earlier one may be in a block that is not final yet.
		let on_chain = chain.current_boot(status.worker).await?;
		if let Some(boot) = on_chain.filter(|boot| boot.keys.identity == status.identity) {
			tracing::debug!(boot = boot.number, "registered, not final yet");
			return known_at(best.number);
		}
	}
	let account: AccountBytes = operator.public_key().0;
	let registration = enclave.registration(account).await?;
	if !registration.renewal && registry::is_registration_pending(&chain, &registration).await? {
		tracing::debug!("a registration waits in the pool");
		return known_at(best.number.saturating_add(1));
	}
	let (worker, renewal) = (registration.worker, registration.renewal);
	let grounds = RegistrationGrounds::read(&chain, best, &registration).await?;
	let next = best.number.saturating_add(1);
	if let Some(objection) = objection(worker, account, next, &grounds, refused.as_deref()) {
		return Err(objection.into());
	}
	tracing::info!(worker, renewal, recent_block = registration.recent_block, "registering");
	match Sender::new(&chain, operator).send(registry::register_boot(&registration)).await {
		Ok(included) => {
			let block = included.block.number;
			tracing::info!(worker, renewal, block, "registered; waiting for finality");
			known_at(block)
		}
		// It may still get into a block as long as its signature counts.
		Err(doubt @ ChainClientError::NotIncluded { .. }) => Ok(Submitted {
			known_at: best.number.saturating_add(limits::REGISTRATION_PENDING_BLOCKS),
			doubt: Some(doubt),
		}),
		Err(error) => match RegistrationRefusal::of(&error) {
			Some(refusal) => {
				let operator = Address(account);
				let error = RelayError::NotRegistered { worker, operator, refusal, was_paid: true };
				Err(RegistrationError::Refused(
					Box::new(RefusedRegistration { refusal, grounds }),
					error,
				))
			}
			None => Err(error.into()),
		},
	}
}

fn ended(phase: EnclavePhase) -> Option<EndedError> {
	let ended = match phase {
		EnclavePhase::Retired => EndedError::Retired,
		EnclavePhase::Evicted => EndedError::Evicted,
		_ => return None,
	};
	tracing::debug!(phase = phase.name(), "nothing left to relay");
	Some(ended)
}

fn subscription_ended(reason: &dyn std::fmt::Display) -> RelayError {
	let reason = reason.to_string();
	ChainClientError::Node { method: "chain_subscribeFinalizedHeads", reason }.into()
}
