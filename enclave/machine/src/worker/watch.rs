//! Watches those who write agents of the cluster: one that does not answer is challenged at the chain,
//! which moves its leases if nothing is heard of it there either.
//!
//! ```text
//! ping ──► no answer for HOLDER_PATIENCE_MS ──► HolderSilent ──► HolderChallenged, final, and
//!   ▲                │                                           CHALLENGE_FINAL_BLOCKS after it
//!   └── an answer ◄──┘                                                      │ silent still
//!       ends it                                    LeaseMoved ◄── HolderStillSilent
//! ```
//!
//! One whose view of the chain is old, that names one block for HOLDER_STANDS_STILL_MS while this boot
//! hears of later ones, or is more than HOLDER_BEHIND_BLOCKS_MAX behind, is as one that does not answer:
//! its relayer or its machine stands still, and it commits nothing. If it does all the same, the chain has
//! heard of it. Where finality stalls, nobody hears of later blocks.
//!
//! A challenge of this boot itself is answered at once by an envelope. Pings prove nothing: a host that
//! answers them for a dead enclave only keeps what it could keep by letting the enclave live.

use super::{
	agent::Agent,
	state::{Membership, Timer},
};
use crate::{
	action::Action,
	event::PingAnswer,
	limits::{
		HOLDER_BEHIND_BLOCKS_MAX, HOLDER_PATIENCE_MS, HOLDER_STANDS_STILL_MS, PING_INTERVAL_MS,
		PING_RETRY_MS, STILL_SILENT_RETRY_BLOCKS,
	},
	turn::Turn,
	Instant,
};
use phala_protocol::{
	agents::AgentId,
	boot::{BootNumber, WorkerId},
	limits::{CHALLENGE_FINAL_BLOCKS, CHALLENGE_SPACING_BLOCKS},
	mailbox::EnvelopeNumber,
	messages::{ClustersPayload, Payload},
	BlockNumber,
};
use std::collections::BTreeMap;

/// What a member knows of the others' answers.
#[derive(Default)]
pub struct Watch {
	holders: BTreeMap<WorkerId, Holder>,
	/// This boot was challenged, and has not said that it is there.
	must_answer: bool,
}

/// One that writes agents.
struct Holder {
	boot: BootNumber,
	ping: Ping,
	/// The block that its answers name while this boot knows a later one, and when it was asked first.
	stands: Option<(BlockNumber, Instant)>,
	/// Since when it has not answered.
	silent_since: Option<Instant>,
	/// At which height this boot challenged it last.
	challenged: Option<BlockNumber>,
	/// The newest challenge that the chain told of, until it comes to something here.
	open: Option<Challenge>,
	/// At which height this boot said last that the holder is silent still.
	said_again: Option<BlockNumber>,
}

/// One that the chain told of.
#[derive(Clone, Copy)]
struct Challenge {
	block: BlockNumber,
	/// The newest final block when this boot read of it. After a stall of finality it is read of
	/// together with what came after it, and the holder hears of it no sooner.
	read_at: BlockNumber,
}

#[derive(Clone, Copy)]
enum Ping {
	/// Under way since.
	Asked(Instant),
	DueAt(Instant),
}

impl Holder {
	fn new(boot: BootNumber, now: Instant) -> Self {
		let ping = Ping::DueAt(now);
		Self {
			boot,
			ping,
			stands: None,
			silent_since: None,
			challenged: None,
			open: None,
			said_again: None,
		}
	}

	/// Whether it hears of the chain, by what it answered when it was asked.
	fn follows(
		&mut self,
		answer: PingAnswer,
		own_height: BlockNumber,
		asked: Instant,
		now: Instant,
	) -> bool {
		let PingAnswer { height, is_fresh } = answer;
		if height >= own_height {
			self.stands = None;
		} else if self.stands.is_none_or(|(at, _)| at != height) {
			self.stands = Some((height, asked));
		}
		let is_still =
			self.stands.is_some_and(|(_, since)| now.ms_since(since) >= HOLDER_STANDS_STILL_MS);
		is_fresh && !is_still && height.saturating_add(HOLDER_BEHIND_BLOCKS_MAX) >= own_height
	}

	fn is_silent(&self, now: Instant) -> bool {
		self.silent_since.is_some_and(|since| now.ms_since(since) >= HOLDER_PATIENCE_MS)
	}
}

impl Watch {
	/// The chain told that somebody is challenged.
	pub fn challenged<R>(
		&mut self,
		holder: WorkerId,
		boot: BootNumber,
		block: BlockNumber,
		turn: &Turn<'_, R>,
	) {
		if (holder, boot) == (turn.config.worker, turn.boot) {
			self.must_answer = true;
		}
		if let Some(known) = self.holders.get_mut(&holder).filter(|known| known.boot == boot) {
			known.open = Some(Challenge { block, read_at: turn.height });
			known.said_again = None;
		}
	}

	/// A ping ended.
	pub fn pinged<R>(
		&mut self,
		worker: WorkerId,
		boot: BootNumber,
		answer: Option<PingAnswer>,
		turn: &Turn<'_, R>,
	) {
		let now = turn.now;
		let Some(holder) = self.holders.get_mut(&worker).filter(|holder| holder.boot == boot)
		else {
			return;
		};
		let Ping::Asked(asked) = holder.ping else { return };
		let known = holder.stands;
		if answer.is_some_and(|answer| holder.follows(answer, turn.height, asked, now)) {
			holder.silent_since = None;
			holder.open = None;
			// One that may stand still is looked at more often.
			let is_doubtful = holder.stands.is_some() && holder.stands == known;
			let wait = if is_doubtful { PING_RETRY_MS } else { PING_INTERVAL_MS };
			holder.ping = Ping::DueAt(now.after_ms(wait));
		} else {
			// As long as it stands still it commits nothing.
			let stands = answer.and(holder.stands);
			holder.silent_since.get_or_insert(stands.map_or(asked, |(_, since)| since));
			holder.ping = Ping::DueAt(now.after_ms(PING_RETRY_MS));
		}
	}

	/// Who else writes an agent, in which life.
	fn notice(&mut self, agents: &BTreeMap<AgentId, Agent>, own: WorkerId, now: Instant) {
		let leases = agents.values().filter_map(|agent| agent.snapshot.lease);
		let writing: BTreeMap<WorkerId, BootNumber> = leases
			.filter(|lease| lease.worker != own)
			.map(|lease| (lease.worker, lease.boot))
			.collect();
		self.holders.retain(|worker, holder| writing.get(worker) == Some(&holder.boot));
		for (worker, boot) in writing {
			self.holders.entry(worker).or_insert_with(|| Holder::new(boot, now));
		}
	}
}

impl Membership {
	/// Pings whom it is time to ping, and says what is to be said of those who do not answer.
	pub fn watch_holders<R>(&mut self, turn: &mut Turn<'_, R>) {
		let Self { watch, agents, members, timers, .. } = self;
		if turn.is_replaying {
			return;
		}
		if watch.must_answer {
			watch.must_answer = submit(ClustersPayload::HolderPresent, turn).is_none();
		}
		watch.notice(agents, turn.config.worker, turn.now);
		for (worker, holder) in &mut watch.holders {
			let Some(member) = members.get(worker).filter(|member| member.boot == holder.boot)
			else {
				continue;
			};
			match holder.ping {
				Ping::DueAt(at) if at <= turn.now => {
					holder.ping = Ping::Asked(turn.now);
					turn.act(Action::Ping { member: member.clone() });
				}
				Ping::DueAt(at) => {
					timers.insert((at, Timer::Watch));
				}
				Ping::Asked(_) => {}
			}
			if holder.is_silent(turn.now) && turn.is_fresh() {
				challenge(*worker, holder, turn);
			}
		}
	}
}

fn challenge<R>(worker: WorkerId, holder: &mut Holder, turn: &mut Turn<'_, R>) {
	let (boot, height) = (holder.boot, turn.height);
	let is_since = |at: Option<BlockNumber>, blocks| {
		at.is_none_or(|at: BlockNumber| height >= at.saturating_add(blocks))
	};
	// What came to nothing in this time does not: something was heard of it meanwhile.
	holder.open.take_if(|challenge| is_since(Some(challenge.block), CHALLENGE_SPACING_BLOCKS));
	let Some(Challenge { block: challenged_at, read_at }) = holder.open else {
		if is_since(holder.challenged, CHALLENGE_SPACING_BLOCKS)
			&& submit(ClustersPayload::HolderSilent { holder: worker, boot }, turn).is_some()
		{
			tracing::warn!(worker, boot, "a lease holder does not answer; it is challenged");
			holder.challenged = Some(height);
		}
		return;
	};
	// Where finality is quick the chain may find it too early: then it is said again.
	if is_since(Some(read_at), CHALLENGE_FINAL_BLOCKS)
		&& is_since(holder.said_again, STILL_SILENT_RETRY_BLOCKS)
		&& submit(ClustersPayload::HolderStillSilent { holder: worker, boot, challenged_at }, turn)
			.is_some()
	{
		tracing::warn!(worker, boot, "a challenged lease holder is silent still");
		holder.said_again = Some(height);
	}
}

fn submit<R>(payload: ClustersPayload, turn: &mut Turn<'_, R>) -> Option<EnvelopeNumber> {
	turn.submit(&Payload::Clusters(payload))
}
