//! One agent as a member of its cluster holds it: committed state, its sealed tree, and, at
//! the lease holder, the work that waits and the effect sets that were proposed.
//!
//! Proposals are made one on another without waiting for the chain. When one is refused, or the
//! lease is lost, all of them are dropped and their work is done again or given up: what was not
//! committed never happened.

use super::{
	agent_state::{AgentState, Effects},
	catch_up::{CatchUp, Sweep},
	jobs::{Job, JobKind, RunFailed},
	keeping::{Early, Word},
	keyring::KeyRing,
	nonces::Nonces,
	replication::Replication,
	tree::Tree,
};
use crate::{
	action::{Answer, CallId},
	limits::{JOBS_MAX, PROPOSALS_MAX, SETTLE_LEAD},
	turn::Turn,
	verify::ProvenAcknowledgement,
	Instant, MachineError,
};
use codec::Encode;
use phala_keys::{secret::SecretBytes, state::SealedBody};
use phala_protocol::{
	agents::{
		availability_quorum, AgentCode, AgentId, AgentKey, AgentSnapshot, EffectSet, StateVersion,
	},
	boot::WorkerId,
	clusters::Member,
	mailbox::{ByLane, EnvelopeNumber},
	messages::{AgentsPayload, Payload},
	refusals::Refusal,
	requests::{CallInput, RequestId, RequestResult},
	BlockNumber, H256,
};
use rand_core::CryptoRng;
use std::{
	collections::{BTreeMap, BTreeSet, VecDeque},
	sync::Arc,
};

/// How a job of a direct caller ended.
pub struct JobEnd {
	pub to: CallId,
	pub result: Result<Answer, MachineError>,
}

/// An effect set on its way to the chain.
pub struct Proposal {
	/// After it.
	pub state: AgentState,
	pub body: Arc<SealedBody>,
	pub base_hash: H256,
	key: Option<AgentKey>,
	results: Vec<RequestResult>,
	pub availability: BTreeMap<WorkerId, ProvenAcknowledgement>,
	pub replication: Replication,
	/// The envelope that carries it.
	sent: Option<EnvelopeNumber>,
	/// What caused it, and for a direct call the answer that waits for the commit.
	cause: Option<(Job, Option<Answer>)>,
}

impl Proposal {
	/// Whether nobody has paid for it: neither a request nor, as for its birth, the agent's deposit.
	fn is_unpaid(&self) -> bool {
		self.results.is_empty() && self.key.is_none()
	}
}

/// A job under way, and on what: an upgrade, a refusal or a new holder may come meanwhile.
pub struct Running {
	pub job: Job,
	/// What runs it.
	pub code: AgentCode,
	/// The newest finalized block when it started: the code was the agent's there.
	pub height: BlockNumber,
	/// Hash of the state that it runs on.
	pub base: H256,
	pub stage: Stage,
}

/// How far a job is.
pub enum Stage {
	/// Its sealed input is being opened.
	Opening,
	/// The sandbox has it.
	Running { input: Arc<CallInput> },
	/// Its answer is being signed and sealed; then its writes are proposed.
	Answering { writes: Vec<(String, Option<Vec<u8>>)>, units: u32, commits: bool },
	/// It is to be proposed, once the cluster's keys are current.
	Over(Result<Settled, RunFailed>),
}

/// What came of a run that ended well, and its answer.
pub struct Settled {
	pub answer: Answer,
	pub writes: Vec<(String, Option<Vec<u8>>)>,
	pub units: u32,
}

/// See the module's text.
pub struct Agent {
	pub id: AgentId,
	pub snapshot: Arc<AgentSnapshot>,
	/// Committed and applied.
	pub state: AgentState,
	pub tree: Tree,
	pub proposals: VecDeque<Proposal>,
	/// Members whose word the chain did without the last time, and that have not given it since.
	pub absent: BTreeSet<WorkerId>,
	pub jobs: VecDeque<Job>,
	/// The job that is under way now.
	pub running: Option<Running>,
	/// No run starts before: the last found no place.
	pub not_before: Option<Instant>,
	/// Its keys are being made.
	pub in_birth: bool,
	/// Secrets that it is born with: only of an agent from a folder.
	#[cfg(feature = "development")]
	pub birth_secrets: Vec<(String, Option<Vec<u8>>)>,
	/// A newer state, on its way here.
	pub catch_up: Option<CatchUp>,
	pub sweep: Sweep,
	/// Holders that wait for this member's word.
	pub words: Vec<Word>,
	pub early: VecDeque<Early>,
	/// Of sealed direct calls.
	pub nonces: Nonces,
}

impl Agent {
	pub fn new(snapshot: AgentSnapshot) -> Self {
		Self {
			id: snapshot.agent,
			snapshot: Arc::new(snapshot),
			state: AgentState::default(),
			tree: Tree::new(),
			proposals: VecDeque::new(),
			absent: BTreeSet::new(),
			jobs: VecDeque::new(),
			running: None,
			not_before: None,
			in_birth: false,
			#[cfg(feature = "development")]
			birth_secrets: Vec::new(),
			catch_up: None,
			sweep: Sweep::After(None, None),
			words: Vec::new(),
			early: VecDeque::new(),
			nonces: Nonces::default(),
		}
	}

	/// What the chain says of it now.
	pub fn record(&mut self) -> &mut AgentSnapshot {
		Arc::make_mut(&mut self.snapshot)
	}

	/// Whether this boot may write it.
	pub fn is_mine(&self, worker: WorkerId, boot: u32) -> bool {
		self.snapshot.lease.is_some_and(|lease| (lease.worker, lease.boot) == (worker, boot))
	}

	/// The disk begins empty: nothing of it is stored any more.
	pub fn disk_emptied(&mut self) {
		self.tree.disk_emptied();
		if let Some(catch_up) = &mut self.catch_up {
			catch_up.disk_emptied();
		}
	}

	/// Whether all that the chain committed is applied here.
	pub fn is_current(&self) -> bool {
		self.state.version == self.snapshot.record.version
	}

	/// What the next effect set is made on: the newest proposal, or what is committed.
	pub fn head(&self) -> &AgentState {
		self.proposals.back().map_or(&self.state, |proposal| &proposal.state)
	}

	/// The chain committed an effect set. Returns what ended with it.
	pub fn commit(&mut self, version: StateVersion, state_hash: H256) -> Vec<JobEnd> {
		let record = &mut self.record().record;
		record.version = version;
		record.state_hash = state_hash;
		self.apply_committed();
		let is_ours = self.proposals.front().is_some_and(|first| first.state.hash == state_hash);
		if !is_ours {
			return self.drop_proposals(true);
		}
		let Some(proposal) = self.proposals.pop_front() else { return Vec::new() };
		self.absent = proposal.replication.into_missing();
		match proposal.cause {
			Some((job, Some(answer))) => {
				job.to().map(|to| JobEnd { to, result: Ok(answer) }).into_iter().collect()
			}
			_ => Vec::new(),
		}
	}

	/// Paid requests are answered by an effect set of this boot: a rebuilt machine that reads them
	/// again does not do them again.
	pub fn forget_answered(&mut self, requests: &[RequestId]) {
		if requests.is_empty() {
			return;
		}
		let is_answered = |job: &Job| match &*job.kind {
			JobKind::Order(order) => requests.contains(&order.request),
			JobKind::Direct(_) => false,
		};
		self.jobs.retain(|job| !is_answered(job));
		self.running.take_if(|running| is_answered(&running.job));
	}

	/// Forgets what was not committed. The work is done again from the front of the queue; whether
	/// that is an attempt more for the first, on which the others were made.
	pub fn drop_proposals(&mut self, counts: bool) -> Vec<JobEnd> {
		let mut ended = Vec::new();
		for (place, proposal) in std::mem::take(&mut self.proposals).into_iter().enumerate().rev() {
			let Some((mut job, _)) = proposal.cause else { continue };
			if place == 0 && counts {
				job.attempt += 1;
			}
			if !job.is_given_up() {
				self.requeue(job);
			} else if let Some(to) = job.to() {
				ended.push(JobEnd { to, result: Err(MachineError::NotCommitted) });
			} else {
				tracing::error!(agent = ?self.id, "the chain takes no answer to a paid request");
			}
		}
		ended
	}

	/// Another boot writes now: nothing that waits here can be committed.
	pub fn lose_lease(&mut self, worker: Option<WorkerId>) -> Vec<JobEnd> {
		let mut ended = self.drop_proposals(false);
		let running = self.running.take().map(|running| running.job);
		let lost = self.jobs.drain(..).chain(running).filter_map(|job| job.to());
		ended.extend(
			lost.map(|to| JobEnd { to, result: Err(MachineError::NotLeaseHolder { worker }) }),
		);
		ended
	}

	/// Envelopes were consumed up to these numbers: a proposal that went with them and is not
	/// committed was refused. If too few members keep it, nothing is wrong with it: it is offered
	/// again as it is, for as long as it is of use, and nobody's work is done twice.
	pub fn find_refused(
		&mut self,
		consumed: ByLane<u64>,
		members: &BTreeMap<WorkerId, Member>,
		height: BlockNumber,
	) -> Vec<JobEnd> {
		let refused = self.proposals.front().is_some_and(|first| {
			first.sent.is_some_and(|sent| sent.seq < *consumed.of(sent.lane))
				&& first.state.version > self.snapshot.record.version
		});
		if !refused {
			return Vec::new();
		}
		let is_short = self.is_short_of_keepers(members);
		// One that it did without may count again.
		self.absent.clear();
		if is_short && self.can_offer_again(height) {
			tracing::warn!(agent = ?self.id, "too few members keep an effect set; it is offered again");
			if let Some(first) = self.proposals.front_mut() {
				first.replication.begin_again();
			}
			for proposal in &mut self.proposals {
				proposal.sent = None;
			}
			return Vec::new();
		}
		tracing::warn!(agent = ?self.id, "the chain refused an effect set; its work is done again");
		self.drop_proposals(!is_short)
	}

	/// Whether the first proposal is kept by fewer than the chain asks for. The word of a member that
	/// has left or started again since is none.
	fn is_short_of_keepers(&mut self, members: &BTreeMap<WorkerId, Member>) -> bool {
		let Some(first) = self.proposals.front_mut() else { return false };
		let new_hash = first.state.hash;
		first.availability.retain(|worker, word| {
			members.get(worker).is_some_and(|member| word.is_by(member, new_hash))
		});
		let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
		count(first.availability.len() + 1) < availability_quorum(count(members.len()))
	}

	/// Whether the first proposal still leads on from what is committed, and is not an answer that comes too
	/// late to be paid.
	fn can_offer_again(&self, height: BlockNumber) -> bool {
		self.proposals.front().is_some_and(|first| {
			let record = &self.snapshot.record;
			let is_next = first.base_hash == record.state_hash
				&& first.state.version == record.version.saturating_add(1);
			// A direct caller was told that it may still commit: it does as soon as enough keep it. Made anew
			// for others again and again, members would keep more and more that comes to nothing.
			let is_of_use = first
				.cause
				.as_ref()
				.is_none_or(|(job, _)| !job.is_order() || height <= job.last_block());
			is_next && is_of_use
		})
	}

	/// Goes on to what is committed, if it was made here; whether it was.
	pub fn apply_committed(&mut self) -> bool {
		if self.is_current() {
			return false;
		}
		let hash = self.snapshot.record.state_hash;
		match self.tree.finalize(&self.state, &hash) {
			Some(Ok(next)) => {
				self.state = next;
				true
			}
			Some(Err(error)) => {
				// A member that made such a state was not the code that the chain allows.
				tracing::error!(agent = ?self.id, "a committed state: {error}");
				false
			}
			None => false,
		}
	}

	/// Whether a sealed input with this nonce wrote, here or at who had the lease before, or is about
	/// to here.
	pub fn has_taken(&self, nonce: &[u8; 32]) -> bool {
		let waiting = self.jobs.iter().chain(self.running.iter().map(|running| &running.job));
		self.head().used_inputs.contains_key(nonce)
			|| waiting.filter_map(Job::direct_nonce).any(|waiting| waiting == nonce)
	}

	/// Whether one more direct call can be taken. Paid requests are bounded by the chain.
	pub fn can_queue_direct(&self) -> bool {
		self.jobs.iter().filter(|job| !job.is_order()).count() < JOBS_MAX
	}

	/// Takes a job back to its place: jobs are done in the order in which they came.
	pub fn requeue(&mut self, job: Job) {
		let at = self.jobs.iter().position(|other| other.id > job.id).unwrap_or(self.jobs.len());
		self.jobs.insert(at, job);
	}

	/// The next job that can run at this height: paid requests first, each kind in its order.
	pub fn take_runnable(
		&mut self,
		height: BlockNumber,
		can: impl Fn(&Job) -> bool,
	) -> Option<Job> {
		let is_paid = |job: &Job| match &*job.kind {
			JobKind::Order(order) => order.min_block <= height,
			JobKind::Direct(_) => false,
		};
		let at = self.jobs.iter().position(|job| is_paid(job) && can(job)).or_else(|| {
			let may_write = self.may_write_unpaid();
			self.jobs.iter().position(|job| may_write && !job.is_order() && can(job))
		})?;
		self.jobs.remove(at)
	}

	/// Paid requests whose deadline is too near to be run any more, running or waiting.
	pub fn take_late_orders(&mut self, height: BlockNumber) -> Vec<Job> {
		let is_late = |job: &Job| match &*job.kind {
			JobKind::Order(order) => {
				let left = order.deadline.saturating_sub(height);
				left <= SETTLE_LEAD && height < order.deadline
			}
			JobKind::Direct(_) => false,
		};
		let (late, rest): (VecDeque<_>, _) =
			std::mem::take(&mut self.jobs).into_iter().partition(is_late);
		self.jobs = rest;
		let running = self.running.take_if(|running| is_late(&running.job));
		late.into_iter().chain(running.map(|running| running.job)).collect()
	}

	/// Whether to run what nobody has paid for. One such effect set at a time waits to be submitted, and a
	/// place is left: whatever is paid for has no more than that before it. So calls wait for the chain
	/// as calls, which can be refused, and not as effects, which cannot.
	fn may_write_unpaid(&self) -> bool {
		let waits = |one: &Proposal| one.sent.is_none() && one.is_unpaid();
		self.proposals.len() + 1 < PROPOSALS_MAX && !self.proposals.iter().any(waits)
	}

	/// Whether a run can start on the newest proposal.
	pub fn can_run(&self, keyring: &KeyRing) -> bool {
		self.running.is_none() && self.can_propose(keyring)
	}

	/// Whether an effect set can be made now: not under keys that a departed member knows.
	pub fn can_propose(&self, keyring: &KeyRing) -> bool {
		self.is_current() && self.proposals.len() < PROPOSALS_MAX && keyring.is_current()
	}

	/// Makes an effect set on the newest one. The answer in `cause` is for the direct caller.
	pub fn propose<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		effects: &Effects,
		results: Vec<RequestResult>,
		key: Option<AgentKey>,
		cause: Option<(Job, Option<Answer>)>,
		turn: &mut Turn<'_, R>,
	) -> Result<(), MachineError> {
		let base = self.head().clone();
		let cipher = keyring
			.sealing_cipher(self.id)
			.ok_or(phala_keys::Error::WrongKeyKind { wanted: "the cluster's newest data key" })?;
		let written = effects.written_on(&base, turn.random(), turn.height)?;
		let plaintext = SecretBytes::new(written.encode());
		let version = base.version.saturating_add(1);
		let body = cipher.seal_body(turn.rng, base.version, version, plaintext.expose())?;
		let by = (turn.config.worker, turn.boot);
		// What it dropped itself is refused already, or about to be.
		let made: BTreeSet<_> = self.proposals.iter().map(|one| one.state.hash).collect();
		let may_go = |hash: &H256, of| of != by || !made.contains(hash);
		let root = self.tree.stage(&base.root, &written, body.key_number, by, may_go)?;
		let state = base.after(&written.writes, root)?;
		self.proposals.push_back(Proposal {
			state,
			body: Arc::new(body),
			base_hash: base.hash,
			key,
			results,
			availability: BTreeMap::new(),
			replication: Replication::default(),
			sent: None,
			cause,
		});
		Ok(())
	}

	/// Seals under the newest key what the chain was not offered yet. Whether all of that is under it.
	pub fn seal_anew<R: CryptoRng>(&mut self, keyring: &KeyRing, turn: &mut Turn<'_, R>) -> bool {
		let Some(number) = keyring.sealing_number() else { return false };
		let is_old = |one: &Proposal| one.sent.is_none() && one.body.key_number != number;
		for proposal in self.proposals.iter_mut().filter(|one| is_old(one)) {
			match sealed_anew(self.id, proposal, keyring, turn) {
				Ok(body) => proposal.body = Arc::new(body),
				Err(error) => {
					tracing::error!(agent = ?self.id, "an effect set is not sealed anew: {error}");
					return false;
				}
			}
			// The state is the same; what the others and the disk have of it is not.
			proposal.availability.clear();
			proposal.replication = Replication::default();
			self.tree.note_key(&proposal.state.hash, number);
		}
		true
	}

	pub fn proposal(&mut self, new_hash: H256) -> Option<&mut Proposal> {
		self.proposals.iter_mut().find(|proposal| proposal.state.hash == new_hash)
	}

	/// Submits what is replicated to the chain, in order: of what nobody has paid for no more than
	/// `unpaid_max` waits there. Whether some of that went.
	pub fn submit<R: CryptoRng>(&mut self, unpaid_max: usize, turn: &mut Turn<'_, R>) -> bool {
		let mut unpaid_went = false;
		// What a paid answer rests on goes as it does.
		let is_owed = |one: &Proposal| one.sent.is_none() && !one.is_unpaid();
		let owed = self.proposals.iter().rposition(is_owed);
		for (place, proposal) in self.proposals.iter_mut().enumerate() {
			if proposal.sent.is_some() {
				continue;
			}
			// Its envelope is this member's own word.
			if !proposal.replication.is_done() || !self.tree.is_durable(&proposal.state.hash) {
				break;
			}
			let can_wait = owed.is_none_or(|last| place > last);
			if can_wait && turn.outbox.unpaid_waiting() >= unpaid_max {
				break;
			}
			let payload = Payload::Agents(AgentsPayload::EffectSet(EffectSet {
				agent: self.id,
				base_version: proposal.state.version - 1,
				base_hash: proposal.base_hash,
				new_hash: proposal.state.hash,
				key: proposal.key,
				results: proposal.results.clone(),
				availability: proposal
					.availability
					.values()
					.map(|word| word.clone().into_availability())
					.collect(),
			}));
			let Some(number) = turn.submit(&payload) else { break };
			proposal.sent = Some(number);
			if proposal.is_unpaid() {
				turn.outbox.note_unpaid(number);
				unpaid_went = true;
			}
			if let (false, Some((job, _))) = (proposal.results.is_empty(), &proposal.cause) {
				let (results, deadline) = (&proposal.results, job.last_block());
				turn.answers.submitted(proposal.state.hash, results, deadline, turn.height);
			}
		}
		unpaid_went
	}

	/// Drops work whose time is over, and nonces that expired.
	pub fn expire(&mut self, height: BlockNumber) -> Vec<JobEnd> {
		self.nonces.expire(height);
		let (late, rest): (VecDeque<_>, VecDeque<_>) =
			std::mem::take(&mut self.jobs).into_iter().partition(|job| match &*job.kind {
				JobKind::Order(order) => height >= order.deadline,
				JobKind::Direct(direct) => height > direct.expiry,
			});
		self.jobs = rest;
		late.into_iter()
			.filter_map(|job| job.to())
			.map(|to| JobEnd { to, result: Err(MachineError::TooLate) })
			.collect()
	}

	/// Whether the state may be what a run makes of it. What only shrinks it is always allowed.
	pub fn check_state_bytes(
		&self,
		writes: &[(String, Option<Vec<u8>>)],
		units: u32,
	) -> Result<(), RunFailed> {
		let max = crate::limits::AGENT_STATE_BYTES_MAX;
		let bytes = self.head().bytes_after(writes);
		if bytes > max && bytes > self.head().entry_bytes {
			let message = format!("{bytes} bytes of state, {max} are allowed");
			return Err(RunFailed { refusal: Refusal::AgentStateBytes, message, units });
		}
		Ok(())
	}
}

fn sealed_anew<R: CryptoRng>(
	agent: AgentId,
	proposal: &Proposal,
	keyring: &KeyRing,
	turn: &mut Turn<'_, R>,
) -> Result<SealedBody, phala_keys::Error> {
	let no_key = || phala_keys::Error::WrongKeyKind { wanted: "the cluster's data key" };
	let Proposal { state, body, .. } = proposal;
	let (base, version) = (state.version.saturating_sub(1), state.version);
	let newest = keyring.sealing_cipher(agent).ok_or_else(no_key)?;
	let cipher = keyring.cipher(body.key_number, agent).ok_or_else(no_key)?;
	let plaintext = cipher.open_body(base, version, body)?;
	newest.seal_body(turn.rng, base, version, plaintext.expose())
}
