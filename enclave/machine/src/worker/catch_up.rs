//! Fetches from the other members, one after another, what is missing here.

use super::agent::Agent;
use crate::worker::state::Timer;
use crate::{action::Action, limits::PEER_RETRY_MS, turn::Turn, verify::HashedBody, Instant};
use phala_protocol::{agents::StateVersion, boot::WorkerId, clusters::Member};
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Something that is being fetched.
pub struct Fetch {
	asked: Option<WorkerId>,
	/// Members that were not asked yet.
	left: VecDeque<WorkerId>,
	/// When to begin again: what nobody has now may be there in a moment.
	retry_at: Option<Instant>,
}

impl Fetch {
	/// From every other member in turn.
	pub fn new(own: WorkerId, members: &BTreeMap<WorkerId, Member>) -> Self {
		let left = members.keys().copied().filter(|worker| *worker != own).collect();
		Self { asked: None, left, retry_at: None }
	}

	/// Whether a new one is to take its place.
	pub fn is_over(&self, now: Instant) -> bool {
		self.asked.is_none() && self.retry_at.is_some_and(|at| at <= now)
	}

	/// Whom to ask now. After the last, nobody for a while: `Err` says until when.
	pub fn next(
		&mut self,
		members: &BTreeMap<WorkerId, Member>,
		now: Instant,
	) -> Result<Option<Member>, Instant> {
		if self.asked.is_some() || self.retry_at.is_some() {
			return Ok(None);
		}
		while let Some(worker) = self.left.pop_front() {
			if let Some(member) = members.get(&worker) {
				self.asked = Some(worker);
				return Ok(Some(member.clone()));
			}
		}
		let at = now.after_ms(PEER_RETRY_MS);
		self.retry_at = Some(at);
		Err(at)
	}

	/// `from` answered: whether it had been asked.
	pub fn answered(&mut self, from: WorkerId) -> bool {
		self.asked.take_if(|asked| *asked == from).is_some()
	}
}

impl Agent {
	/// Asks a member for the bodies that are missing here.
	pub fn fetch_missing<R: CryptoRng>(
		&mut self,
		members: &BTreeMap<WorkerId, Member>,
		timers: &mut BTreeSet<(Instant, Timer)>,
		turn: &mut Turn<'_, R>,
	) {
		let Some((first, last)) = self.missing() else {
			self.fetch.take_if(|fetch| fetch.asked.is_none());
			return;
		};
		if self.fetch.as_ref().is_none_or(|fetch| fetch.is_over(turn.now)) {
			self.fetch = Some(Fetch::new(turn.config.worker, members));
		}
		let Some(fetch) = &mut self.fetch else { return };
		match fetch.next(members, turn.now) {
			Ok(Some(from)) => {
				turn.act(Action::FetchBodies { from, agent: self.id, first, last });
			}
			Ok(None) => {}
			Err(at) => {
				timers.insert((at, Timer::Agent(self.id)));
			}
		}
	}

	/// A member answered, or did not.
	pub fn bodies_fetched(
		&mut self,
		from: WorkerId,
		first: StateVersion,
		bodies: Option<Vec<HashedBody>>,
	) {
		let was_asked = self.fetch.as_mut().is_some_and(|fetch| fetch.answered(from));
		if was_asked && bodies.is_some_and(|bodies| self.supply(first, bodies)) {
			let (agent, last) = (self.id, self.snapshot.record.version);
			tracing::info!(?agent, last, worker = from, "caught up with an agent's state");
			// The next is asked for what is missing still: this one may be slow.
			self.fetch.take_if(|fetch| fetch.left.is_empty());
		}
	}
}
