//! When to submit an enclave's registration, and when to wait. It is a transaction that is paid for, and
//! while blocks are full it waits for a place: beside the loop, one at a time, so that finality and
//! envelopes go on meanwhile.
//!
//! Where the chain refuses one, it is paid for all the same. So what the chain knows of it, its
//! [`RegistrationGrounds`], is read first, for nothing, and after a refusal that stays
//! ([`RegistrationRefusal`]) no other is submitted until those have changed. pherry does not end at one: an
//! enclave whose *renewal* is refused serves on until its evidence expires, and a supervisor that starts
//! pherry anew would have the next one paid.

use phala_chain_client::{
	registry::{RegistrationGrounds, RegistrationRefusal},
	ChainClientError,
};
use phala_protocol::{boot::WorkerId, text::Address, AccountBytes, BlockNumber};
use std::{future::Future, time::Instant};
use tokio::task::JoinSet;

use crate::{backoff::Backoff, limits, RelayError};

/// What is known of the last registration. Losing it is harmless: the chain is asked first.
#[derive(Clone, Debug)]
pub struct RegistrationGate {
	pending_until: Option<BlockNumber>,
	not_before: Option<Instant>,
	backoff: Backoff,
}

impl Default for RegistrationGate {
	fn default() -> Self {
		Self {
			pending_until: None,
			not_before: None,
			backoff: Backoff::new(limits::BACKOFF_MIN, limits::BACKOFF_MAX),
		}
	}
}

impl RegistrationGate {
	/// Whether an enclave at `height` that asks for a registration should get one now.
	pub fn is_open(&self, height: BlockNumber, now: Instant) -> bool {
		// An enclave that saw the block and still asks did not find its registration there.
		self.pending_until.is_none_or(|block| height >= block)
			&& self.not_before.is_none_or(|instant| now >= instant)
	}

	/// One is on its way; until the enclave stands at `block` it cannot know.
	pub fn wait_for(&mut self, block: BlockNumber) {
		self.pending_until = Some(block);
		self.not_before = None;
		self.backoff.after_success();
	}

	/// The last attempt failed.
	pub fn failed(&mut self, now: Instant) {
		self.pending_until = None;
		self.not_before = now.checked_add(self.backoff.after_failure());
	}
}

/// What became of a registration that was submitted.
#[derive(Debug)]
pub struct Submitted {
	/// Before the enclave stands here it cannot know.
	pub known_at: BlockNumber,
	/// Why it was not seen in a block, if it was not. It may get there all the same.
	pub doubt: Option<ChainClientError>,
}

/// A registration that the chain refused, and will refuse on the same grounds.
#[derive(Clone, Debug)]
pub struct RefusedRegistration {
	pub refusal: RegistrationRefusal,
	pub grounds: RegistrationGrounds,
}

/// Why a registration is not submitted, of what the chain knows and of what it refused before.
pub fn objection(
	worker: WorkerId,
	operator: AccountBytes,
	block: BlockNumber,
	grounds: &RegistrationGrounds,
	before: Option<&RefusedRegistration>,
) -> Option<RelayError> {
	let operator_address = Address(operator);
	let not_registered = |refusal, was_paid| RelayError::NotRegistered {
		worker,
		operator: operator_address,
		refusal,
		was_paid,
	};
	let before = before.filter(|before| before.grounds == *grounds);
	match before {
		Some(before) => Some(not_registered(before.refusal, true)),
		None => {
			grounds.refusal(worker, operator, block).map(|refusal| not_registered(refusal, false))
		}
	}
}

/// Why there is no registration.
#[derive(Debug)]
pub enum RegistrationError {
	/// It can be tried again.
	Passing(RelayError),
	/// It was paid for, and the next would be for nothing too.
	Refused(Box<RefusedRegistration>, RelayError),
}

impl From<RelayError> for RegistrationError {
	fn from(error: RelayError) -> Self {
		Self::Passing(error)
	}
}

impl From<ChainClientError> for RegistrationError {
	fn from(error: ChainClientError) -> Self {
		Self::Passing(error.into())
	}
}

/// The registrations of one life of an enclave. Dropped, it gives up what is on its way.
#[derive(Debug, Default)]
pub struct Registrar {
	gate: RegistrationGate,
	/// One at most.
	on_its_way: JoinSet<Result<Submitted, RegistrationError>>,
	refused: Option<Box<RefusedRegistration>>,
}

impl Registrar {
	/// Of the enclave's next life. What was refused stays so: an enclave that starts again and again
	/// would pay again and again.
	pub fn next_life(&self) -> Self {
		Self { refused: self.refused.clone(), ..Self::default() }
	}

	/// What the chain refused last, if nothing was registered since.
	pub fn refused(&self) -> Option<Box<RefusedRegistration>> {
		self.refused.clone()
	}

	/// Whether an enclave at `height` that asks for a registration should get one now.
	pub fn is_due(&self, height: BlockNumber, now: Instant) -> bool {
		self.on_its_way.is_empty() && self.gate.is_open(height, now)
	}

	/// Registers beside the loop.
	pub fn start(
		&mut self,
		registering: impl Future<Output = Result<Submitted, RegistrationError>> + Send + 'static,
	) {
		self.on_its_way.spawn(registering);
	}

	/// What came of the one that was started, once it ended: why it is in doubt, if it is.
	pub fn take_ended(&mut self, now: Instant) -> Option<Result<Option<RelayError>, RelayError>> {
		// One that panicked is one that failed; there is nothing to say of it that is not in the log.
		let ended = self.on_its_way.try_join_next()?.ok();
		Some(match ended {
			Some(Ok(Submitted { known_at, doubt })) => {
				self.gate.wait_for(known_at);
				if doubt.is_none() {
					self.refused = None;
				}
				Ok(doubt.map(RelayError::from))
			}
			Some(Err(failed)) => {
				self.gate.failed(now);
				Err(match failed {
					RegistrationError::Passing(error) => error,
					RegistrationError::Refused(refused, error) => {
						self.refused = Some(refused);
						error
					}
				})
			}
			None => {
				self.gate.failed(now);
				Ok(None)
			}
		})
	}

	/// The connection that it was sent over is gone.
	pub fn give_up(&mut self, now: Instant) {
		if !self.on_its_way.is_empty() {
			self.on_its_way = JoinSet::new();
			self.gate.failed(now);
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{bonding::Bond, boot::WorkerRecord};

	#[test]
	fn none_is_submitted_while_one_is_not_final() {
		let now = Instant::now();
		let mut gate = RegistrationGate::default();
		assert!(gate.is_open(5, now));
		gate.wait_for(8);
		assert!(!gate.is_open(7, now));
		assert!(gate.is_open(8, now), "final, and still asked for");
	}

	#[test]
	fn a_failed_one_is_tried_again_after_ever_longer_waits() {
		let now = Instant::now();
		let mut gate = RegistrationGate::default();
		gate.failed(now);
		assert!(!gate.is_open(5, now));
		assert!(gate.is_open(5, now + limits::BACKOFF_MIN));
		gate.failed(now);
		assert!(!gate.is_open(5, now + limits::BACKOFF_MIN));
		assert!(gate.is_open(5, now + limits::BACKOFF_MIN * 2));
	}

	/// Its blocks have no place for what is not urgent.
	struct FullBlocks {
		place: tokio::sync::oneshot::Receiver<BlockNumber>,
	}

	impl FullBlocks {
		fn new() -> (tokio::sync::oneshot::Sender<BlockNumber>, Self) {
			let (frees, place) = tokio::sync::oneshot::channel();
			(frees, Self { place })
		}

		async fn take(self) -> Result<Submitted, RegistrationError> {
			match self.place.await {
				Ok(known_at) => Ok(Submitted { known_at, doubt: None }),
				Err(_) => std::future::pending().await,
			}
		}
	}

	/// Lets what was started go on.
	async fn settle() {
		for _ in 0..8 {
			tokio::task::yield_now().await;
		}
	}

	#[tokio::test]
	async fn one_that_waits_for_a_place_in_full_blocks_holds_nobody_up_and_is_alone() {
		let now = Instant::now();
		let mut registrar = Registrar::default();
		let (frees, full) = FullBlocks::new();
		assert!(registrar.is_due(5, now));
		registrar.start(full.take());
		settle().await;
		assert!(registrar.take_ended(now).is_none(), "the loop goes on");
		assert!(!registrar.is_due(500, now), "one at a time");
		frees.send(8).unwrap();
		settle().await;
		assert!(matches!(registrar.take_ended(now), Some(Ok(None))));
		assert!(!registrar.is_due(7, now), "not final");
		assert!(registrar.is_due(8, now), "final, and still asked for");
	}

	#[tokio::test]
	async fn what_is_in_doubt_or_failed_is_told_to_the_loop() {
		let now = Instant::now();
		let mut registrar = Registrar::default();
		let not_included = || ChainClientError::NotIncluded {
			call: "registry.register_boot",
			reason: "full".into(),
		};
		let submitted = Submitted { known_at: 40, doubt: Some(not_included()) };
		registrar.start(async { Ok(submitted) });
		settle().await;
		let doubt = registrar.take_ended(now).unwrap().unwrap().unwrap();
		assert!(doubt.to_string().contains("full"), "{doubt}");
		assert!(!registrar.is_due(39, now) && registrar.is_due(40, now));
		registrar.start(async move { Err(RegistrationError::from(not_included())) });
		settle().await;
		assert!(registrar.take_ended(now).unwrap().is_err());
		assert!(!registrar.is_due(40, now) && registrar.is_due(40, now + limits::BACKOFF_MIN));
	}

	#[tokio::test]
	async fn one_whose_connection_is_lost_is_given_up_and_tried_again() {
		let now = Instant::now();
		let mut registrar = Registrar::default();
		registrar.give_up(now);
		assert!(registrar.is_due(5, now), "there was none");
		let (frees, full) = FullBlocks::new();
		registrar.start(full.take());
		settle().await;
		registrar.give_up(now);
		settle().await;
		assert!(frees.is_closed(), "it does not go on");
		assert!(registrar.take_ended(now).is_none());
		assert!(!registrar.is_due(5, now) && registrar.is_due(5, now + limits::BACKOFF_MIN));
	}

	const OPERATOR: AccountBytes = [1; 32];

	/// Of a worker that `OPERATOR` runs, as far as the chain lets itself be asked.
	fn grounds() -> RegistrationGrounds {
		let worker = WorkerRecord { operator: OPERATOR, platform: None, boots: 0 };
		RegistrationGrounds { worker: Some(worker), ..Default::default() }
	}

	#[test]
	fn another_account_than_the_operators_pays_for_no_registration() {
		struct Impostor;
		impl Impostor {
			const ACCOUNT: AccountBytes = [9; 32];
		}
		assert!(objection(3, OPERATOR, 10, &grounds(), None).is_none());
		let objection = objection(3, Impostor::ACCOUNT, 10, &grounds(), None);
		let Some(RelayError::NotRegistered { refusal, was_paid, .. }) = &objection else {
			panic!("{objection:?}");
		};
		assert_eq!((*refusal, *was_paid), (RegistrationRefusal::NotOperator, false));
		let said = objection.unwrap().to_string();
		for part in ["worker 3", "NotOperator", "start pherry with its key"] {
			assert!(said.contains(part), "{said}");
		}
	}

	#[tokio::test]
	async fn what_the_chain_refused_for_good_is_not_paid_for_again_until_it_knows_something_else() {
		let now = Instant::now();
		let mut registrar = Registrar::default();
		let refused =
			RefusedRegistration { refusal: RegistrationRefusal::StakeTooLow, grounds: grounds() };
		let error = || ChainClientError::Dispatch {
			call: "registry.register_boot",
			error: "Registry::StakeTooLow".into(),
		};
		registrar.start(async move {
			Err(RegistrationError::Refused(Box::new(refused), error().into()))
		});
		settle().await;
		assert!(registrar.take_ended(now).unwrap().is_err());
		let objects = |registrar: &Registrar, grounds: &RegistrationGrounds| {
			objection(3, OPERATOR, 10, grounds, registrar.refused().as_deref()).is_some()
		};
		assert!(objects(&registrar, &grounds()));
		assert!(objects(&registrar.next_life(), &grounds()), "nor by an enclave that starts anew");
		let topped_up = Bond { account: OPERATOR, active: 1, unbonding: vec![], closed: false };
		let topped_up = RegistrationGrounds { bond: Some(topped_up), ..grounds() };
		assert!(!objects(&registrar, &topped_up));
		registrar.start(async { Ok(Submitted { known_at: 8, doubt: None }) });
		settle().await;
		assert!(matches!(registrar.take_ended(now), Some(Ok(None))));
		assert!(!objects(&registrar, &grounds()), "it is registered");
	}
}
