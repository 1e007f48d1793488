//! Fetches from the other members, one after another, what is missing here.
//!
//! Members are asked from a random one on, so that no member is everybody's first.
//!
//! **An agent's history.** A boot that is new knows of an agent's committed bodies only to which state hash
//! all of them lead: nothing of a part can be proven. Parts are taken all the same, from whoever has them,
//! and the next member is asked for what comes after ([`Unproven`]): who is slow, or gives a little, costs no
//! more than that. At the end either all is proven or all was for nothing: whoever lied alone is passed over
//! for this time; if it was one of several, a history is taken from one member at a time from then on,
//! until one is proven. Of what is more than [`UNPROVEN_BODIES_BYTES_MAX`], hashes are kept alone: once they
//! are proven, the bodies are fetched again, and each is checked as it comes.

use super::agent::Agent;
use crate::worker::state::{Membership, Timer};
use crate::{
	action::Action,
	limits::{PEER_RETRY_MS, UNPROVEN_BODIES_BYTES_MAX},
	turn::Turn,
	verify::HashedBody,
	Instant,
};
use phala_keys::state::SealedBody;
use phala_protocol::{
	agents::{next_state_hash, AgentId, StateVersion},
	boot::WorkerId,
	clusters::Member,
	H256,
};
use rand_core::CryptoRng;
use std::{
	collections::{BTreeMap, BTreeSet, VecDeque},
	sync::Arc,
};

/// Something that is being fetched.
pub struct Fetch {
	asked: Option<WorkerId>,
	/// Members that were not asked yet.
	left: VecDeque<WorkerId>,
	/// When to begin again: what nobody has now may be there in a moment.
	retry_at: Option<Instant>,
}

impl Fetch {
	/// From every other member in turn, from a random one on.
	pub fn new<R: CryptoRng>(members: &BTreeMap<WorkerId, Member>, turn: &mut Turn<'_, R>) -> Self {
		let own = turn.config.worker;
		let mut left: VecDeque<_> =
			members.keys().copied().filter(|worker| *worker != own).collect();
		let start = usize::from(turn.random()[0]);
		left.rotate_left(start.checked_rem(left.len()).unwrap_or(0));
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

/// A part of an agent's history, from the state that is applied here on, that is not proven yet.
#[derive(Default)]
pub struct Unproven {
	/// The version that it leads on from.
	base: StateVersion,
	/// The state hash that it leads to.
	state_hash: H256,
	/// Of its bodies: no more than there are versions on the chain.
	hashes: Vec<H256>,
	/// The first of these, as far as there was room.
	bodies: Vec<Arc<SealedBody>>,
	/// Of the bodies.
	bytes: u64,
	/// Who gave them.
	sources: BTreeSet<WorkerId>,
	/// What several gave together was not true: it is taken from one at a time.
	distrusts: bool,
}

impl Unproven {
	/// Begins again.
	fn clear(&mut self) {
		*self = Self { distrusts: self.distrusts, ..Self::default() };
	}
}

impl Membership {
	/// A member gave committed bodies of an agent, or did not.
	pub fn on_bodies_fetched(
		&mut self,
		from: WorkerId,
		agent: AgentId,
		first: StateVersion,
		bodies: Option<Vec<HashedBody>>,
	) {
		let taken: u64 = self.agents.values().map(|agent| agent.unproven.bytes).sum();
		let room = UNPROVEN_BODIES_BYTES_MAX.saturating_sub(taken);
		if let Some(agent) = self.agents.get_mut(&agent) {
			agent.bodies_fetched(from, first, bodies, room);
		}
	}
}

impl Agent {
	/// Versions whose bodies are missing here: from the first to the last. What is not proven yet counts
	/// as being here.
	pub fn missing(&self) -> Option<(StateVersion, StateVersion)> {
		let last = self.snapshot.record.version;
		let next = self.state.version + 1;
		if next > last || self.has_body(next) {
			return None;
		}
		let leads_on = self.unproven.base == self.state.version;
		let unproven = if leads_on { self.unproven.hashes.len() as StateVersion } else { 0 };
		let first = next.saturating_add(unproven);
		(first <= last).then_some((first, last))
	}

	/// Asks a member for the bodies that are missing here.
	pub fn fetch_missing<R: CryptoRng>(
		&mut self,
		members: &BTreeMap<WorkerId, Member>,
		timers: &mut BTreeSet<(Instant, Timer)>,
		turn: &mut Turn<'_, R>,
	) {
		if self.unproven.base != self.state.version {
			self.unproven.clear();
		}
		if self.missing().is_none() {
			self.fetch.take_if(|fetch| fetch.asked.is_none());
			return;
		}
		if self.fetch.as_ref().is_none_or(|fetch| fetch.is_over(turn.now)) {
			self.fetch = Some(Fetch::new(members, turn));
		}
		let Some(fetch) = &mut self.fetch else { return };
		match fetch.next(members, turn.now) {
			Ok(Some(from)) => {
				let is_of_another = |unproven: &Unproven| {
					unproven.sources.iter().any(|source| *source != from.worker)
				};
				if self.unproven.distrusts && is_of_another(&self.unproven) {
					self.unproven.clear();
				}
				let Some((first, last)) = self.missing() else { return };
				turn.act(Action::FetchBodies { from, agent: self.id, first, last });
			}
			Ok(None) => {}
			Err(at) => {
				timers.insert((at, Timer::Agent(self.id)));
			}
		}
	}

	/// A member answered, or did not. `room`: for so many bytes more that are not proven.
	fn bodies_fetched(
		&mut self,
		from: WorkerId,
		first: StateVersion,
		bodies: Option<Vec<HashedBody>>,
		room: u64,
	) {
		let was_asked = self.fetch.as_mut().is_some_and(|fetch| fetch.answered(from));
		let came = was_asked && bodies.is_some_and(|bodies| self.supply(from, first, bodies, room));
		if !came {
			return;
		}
		if self.missing().is_none() {
			let (agent, last) = (self.id, self.snapshot.record.version);
			tracing::info!(?agent, last, worker = from, "caught up with an agent's state");
		}
		let Some(fetch) = &mut self.fetch else { return };
		if self.unproven.distrusts {
			fetch.left.push_front(from);
		} else if fetch.left.is_empty() {
			// All of them again, for what is missing still.
			self.fetch = None;
		}
	}

	/// Takes committed bodies from another member, from `first` on: whether any was of use. Nothing is
	/// applied before it is proven.
	pub fn supply(
		&mut self,
		from: WorkerId,
		first: StateVersion,
		bodies: Vec<HashedBody>,
		room: u64,
	) -> bool {
		let Some((_, last)) = self.missing().filter(|(wanted, _)| *wanted == first) else {
			return false;
		};
		let mut room = room;
		let mut came = false;
		for (version, body) in (first..=last).zip(bodies) {
			let hash = body.hash();
			if let Some(said) = self.committed.get(&version) {
				if *said != hash {
					break;
				}
				Arc::make_mut(&mut self.bodies).insert(version, body.into_body());
				came = true;
				continue;
			}
			self.add_unproven(from, body, &mut room);
			let record = &self.snapshot.record;
			let said = match version == record.version {
				true => Some(&record.state_hash),
				false => self.state_hashes.get(&version),
			};
			match said {
				None => came = true,
				Some(said) if *said == self.unproven.state_hash => {
					came = true;
					if !self.prove() {
						// The rest of what was not kept comes first.
						break;
					}
				}
				Some(_) => {
					tracing::warn!(agent = ?self.id, worker = from, "a history that is not the agent's");
					self.unproven.distrusts |= self.unproven.sources.len() > 1;
					self.unproven.clear();
					return false;
				}
			}
		}
		came
	}

	fn add_unproven(&mut self, from: WorkerId, body: HashedBody, room: &mut u64) {
		let unproven = &mut self.unproven;
		if unproven.hashes.is_empty() {
			unproven.base = self.state.version;
			unproven.state_hash = self.state.hash;
		}
		let bytes = body.bytes();
		unproven.state_hash = next_state_hash(unproven.state_hash, body.hash());
		unproven.sources.insert(from);
		let is_all_kept = unproven.bodies.len() == unproven.hashes.len();
		unproven.hashes.push(body.hash());
		if is_all_kept && bytes <= *room {
			*room -= bytes;
			unproven.bytes += bytes;
			unproven.bodies.push(body.into_body());
		}
	}

	/// The chain vouches for all of it. Whether all bodies are here.
	fn prove(&mut self) -> bool {
		let Unproven { base, hashes, bodies, .. } = std::mem::take(&mut self.unproven);
		let is_all_kept = bodies.len() == hashes.len();
		let versions = || base.saturating_add(1)..;
		self.committed.extend(versions().zip(hashes));
		Arc::make_mut(&mut self.bodies).extend(versions().zip(bodies));
		is_all_kept
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::agents::{Access, AgentCode, AgentRecord, AgentSnapshot, UpgradePolicy};

	const HONEST: WorkerId = 1;
	const FORGER: WorkerId = 2;
	const ROOM: u64 = 1 << 20;

	/// A history of so many bodies.
	fn history(versions: u8) -> Vec<HashedBody> {
		let body = |byte| SealedBody { key_number: 1, nonce: [byte; 24], ciphertext: vec![byte] };
		(1..=versions).map(|version| HashedBody::new(body(version))).collect()
	}

	/// An agent with this history, at a boot that knows no more than where it leads to.
	fn fresh(history: &[HashedBody]) -> Agent {
		let state_hash = history
			.iter()
			.fold(H256::zero(), |state_hash, body| next_state_hash(state_hash, body.hash()));
		let code = AgentCode { component: H256::zero(), manifest: H256::zero() };
		Agent::new(AgentSnapshot {
			agent: H256([7; 32]),
			record: AgentRecord {
				owner: [1; 32],
				cluster: 0,
				code,
				code_version: 1,
				upgrades: UpgradePolicy::Immutable,
				access: Access::Public,
				unit_price: 1,
				timeout: 10,
				key: None,
				version: history.len() as StateVersion,
				state_hash,
			},
			callers: Vec::new(),
			lease: None,
			planned: None,
		})
	}

	fn asked(agent: &Agent) -> Option<StateVersion> {
		agent.missing().map(|(first, _)| first)
	}

	#[test]
	fn a_dripper_s_parts_are_kept_and_go_on_with_any_member() {
		let history = history(9);
		let mut agent = fresh(&history);
		for (dripper, part) in history.chunks(2).enumerate() {
			let first = asked(&agent).expect("it is not all");
			assert_eq!(first, 1 + 2 * dripper as StateVersion);
			assert!(agent.bodies.is_empty(), "nothing is proven");
			assert!(agent.supply(dripper as WorkerId, first, part.to_vec(), ROOM));
		}
		assert_eq!((agent.bodies.len(), asked(&agent)), (9, None));
		assert_eq!(agent.unproven.bytes, 0);
	}

	#[test]
	fn a_forger_spoils_what_several_gave_once_and_then_each_is_heard_alone() {
		let history = history(4);
		let mut agent = fresh(&history);
		let mut forged = history.clone();
		forged.swap(0, 1);
		assert!(agent.supply(FORGER, 1, forged[..3].to_vec(), ROOM));
		assert!(!agent.supply(HONEST, 4, history[3..].to_vec(), ROOM));
		assert_eq!((agent.bodies.len(), asked(&agent)), (0, Some(1)));
		assert!(agent.unproven.distrusts);
		// Alone, it is found out, and no part of what it gave is taken for another's.
		assert!(!agent.supply(FORGER, 1, forged, ROOM));
		assert!(agent.supply(HONEST, 1, history, ROOM));
		assert_eq!((agent.bodies.len(), asked(&agent)), (4, None));
		assert!(!agent.unproven.distrusts);
	}

	#[test]
	fn a_hoarder_fills_no_more_than_the_room_and_a_longer_history_is_fetched_twice() {
		let history = history(5);
		let mut agent = fresh(&history);
		let room = 2 * history[0].bytes();
		assert!(agent.supply(HONEST, 1, history[..4].to_vec(), room));
		assert_eq!((agent.unproven.bytes, agent.unproven.bodies.len()), (room, 2));
		assert_eq!(asked(&agent), Some(5));
		assert!(agent.supply(HONEST, 5, history[4..].to_vec(), room));
		// All hashes are proven, and the bodies for which there was room.
		assert_eq!((agent.bodies.len(), agent.committed.len()), (2, 5));
		agent.state.version = 2;
		assert_eq!(asked(&agent), Some(3));
		let mut forged = history[2..].to_vec();
		forged.swap(1, 2);
		assert!(agent.supply(FORGER, 3, forged, 0), "what is true of it");
		assert_eq!(agent.bodies.len(), 3);
		agent.state.version = 3;
		assert!(agent.supply(HONEST, 4, history[3..].to_vec(), 0));
		assert_eq!(agent.bodies.len(), 5);
	}

	#[test]
	fn a_babbler_gives_more_than_there_is_and_what_was_not_asked() {
		let history = history(3);
		let mut agent = fresh(&history[..2]);
		assert!(!agent.supply(FORGER, 2, history.clone(), ROOM));
		assert!(agent.supply(FORGER, 1, history, ROOM));
		assert_eq!(agent.bodies.len(), 2);
	}
}
