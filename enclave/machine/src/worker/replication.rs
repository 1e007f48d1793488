//! Has the other members hold what an agent wrote, before the chain is asked to commit it.
//!
//! All that do not keep it yet are asked at once. A member that is a block behind, or just
//! restarts, is asked again until a majority has said yes, or for so many times. With a majority, those
//! that have not answered are waited for a moment longer, so that one that hangs slows nothing but itself. One
//! whose word the last commit did without is asked, and not waited for, until it gives it again.

use super::agent::Agent;
use crate::{
	action::{Action, ReplicatedBody},
	limits::{PEER_RETRY_MS, REPLICATION_ATTEMPTS_MAX, STRAGGLER_MS},
	task::{TaskId, Work},
	turn::Turn,
	verify::ProvenAcknowledgement,
	worker::state::Timer,
	Instant,
};
use phala_protocol::{agents::availability_quorum, boot::WorkerId, clusters::Member, H256};
use rand_core::CryptoRng;
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::Arc,
};

/// How far the replication of one body is.
#[derive(Default)]
pub struct Replication {
	signing: Option<TaskId>,
	signed: Option<Arc<ReplicatedBody>>,
	/// Members that were asked and have not answered.
	asked: BTreeSet<WorkerId>,
	attempts: u32,
	retry_at: Option<Instant>,
	/// Since a majority keeps it: until when the others are waited for.
	until: Option<Instant>,
	/// When it was done: those who had not said that they keep it.
	missing: BTreeSet<WorkerId>,
	is_done: bool,
}

impl Replication {
	/// Every member was asked, and answered or had its time.
	pub fn is_done(&self) -> bool {
		self.is_done
	}

	/// Those whose word the chain did without, once it has.
	pub fn into_missing(self) -> BTreeSet<WorkerId> {
		self.missing
	}

	/// Those that do not keep it yet are asked anew.
	pub fn begin_again(&mut self) {
		self.attempts = 0;
		self.retry_at = None;
		self.until = None;
		self.is_done = false;
	}
}

impl Agent {
	/// Does the next thing for each body that is not replicated yet.
	pub fn replicate<R: CryptoRng>(
		&mut self,
		members: &BTreeMap<WorkerId, Member>,
		timers: &mut BTreeSet<(Instant, Timer)>,
		turn: &mut Turn<'_, R>,
	) {
		let own = turn.config.worker;
		let agent = self.id;
		for proposal in self.proposals.iter_mut().filter(|one| !one.replication.is_done) {
			let others = || members.values().filter(|member| member.worker != own);
			let replication = &mut proposal.replication;
			if others().next().is_none() {
				replication.is_done = true;
				continue;
			}
			if replication.signing.is_none() {
				replication.signing = Some(turn.compute(Work::SignBody {
					agent,
					base_hash: proposal.base_hash,
					body: proposal.body.clone(),
					new_hash: proposal.state.hash,
				}));
			}
			let Some(body) = &replication.signed else { continue };
			let silent: Vec<_> = others()
				.filter(|member| !proposal.availability.contains_key(&member.worker))
				.cloned()
				.collect();
			let all = u32::try_from(others().count()).unwrap_or(u32::MAX).saturating_add(1);
			let kept = all.saturating_sub(u32::try_from(silent.len()).unwrap_or(u32::MAX));
			let nobody_is_awaited =
				silent.iter().all(|member| self.absent.contains(&member.worker));
			let is_enough = replication.attempts > 0 && kept >= availability_quorum(all);
			let is_time = replication.retry_at.is_none_or(|at| at <= turn.now);
			let had_a_moment = is_enough && {
				let until = replication.until.get_or_insert(turn.now.after_ms(STRAGGLER_MS));
				timers.insert((*until, Timer::Agent(agent)));
				nobody_is_awaited || *until <= turn.now
			};
			// All have answered, or who has not had its time: one that hangs holds up nobody for longer.
			if !replication.asked.is_empty() && !is_time && !had_a_moment {
				continue;
			}
			if silent.is_empty() || is_enough || replication.attempts >= REPLICATION_ATTEMPTS_MAX {
				for member in &silent {
					tracing::debug!(
						worker = member.worker,
						"has not said in time that it keeps what an agent wrote"
					);
				}
				replication.missing = silent.into_iter().map(|member| member.worker).collect();
				replication.is_done = true;
				continue;
			}
			if !is_time {
				continue;
			}
			replication.attempts += 1;
			let retry_at = turn.now.after_ms(PEER_RETRY_MS);
			replication.retry_at = Some(retry_at);
			timers.insert((retry_at, Timer::Agent(agent)));
			for to in silent {
				// What was sent and not answered is still under way.
				if !replication.asked.insert(to.worker) {
					continue;
				}
				turn.act(Action::Send { to, body: body.clone() });
			}
			if nobody_is_awaited {
				replication.missing = replication.asked.clone();
				replication.is_done = true;
			}
		}
	}

	/// The body is signed: it can be given to others.
	pub fn body_signed(&mut self, task: TaskId, new_hash: H256, body: ReplicatedBody) {
		if let Some(proposal) = self.proposal(new_hash) {
			if proposal.replication.signing == Some(task) {
				proposal.replication.signed = Some(Arc::new(body));
			}
		}
	}

	/// A member answered, or did not.
	pub fn body_sent(
		&mut self,
		to: WorkerId,
		new_hash: H256,
		acknowledgement: Option<ProvenAcknowledgement>,
		members: &BTreeMap<WorkerId, Member>,
	) {
		// It may have left, or started again, since it signed: the chain would refuse all.
		let acknowledgement = acknowledgement.filter(|acknowledgement| {
			members.get(&to).is_some_and(|member| acknowledgement.is_by(member, new_hash))
		});
		if acknowledgement.is_some() {
			self.absent.remove(&to);
		}
		let Some(proposal) = self.proposal(new_hash) else { return };
		proposal.replication.asked.remove(&to);
		if let Some(acknowledgement) = acknowledgement {
			proposal.replication.missing.remove(&to);
			proposal.availability.insert(to, acknowledgement);
		}
	}
}
