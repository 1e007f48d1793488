//! The worker's role: a member of a cluster.
//!
//! | module | does |
//! |---|---|
//! | [`ring`] | comes to the cluster's data keys |
//! | [`agent`] | one agent: state, bodies, proposals |
//! | [`state`] | what an agent keeps, and what changes it |
//! | [`work`] | jobs of a lease holder and runs for the sandbox |
//! | [`calls`] | opens what callers sealed, proves and seals answers |
//!
//! All of it is pure. The shell takes out what is to be done outside ([`Membership::next_run`],
//! [`Membership::take_replications`], [`Membership::missing`], [`Membership::wanted_blobs`]) and
//! brings back what came of it; nothing that comes back is believed without a signature or a hash.

pub mod agent;
pub mod calls;
mod refused;
pub mod ring;
pub mod state;
pub mod work;

pub use refused::CallError;

use super::{turn::Turn, MasterInForce};
use agent::{Agent, Replication, Running};
use calls::Opened;
use codec::Encode;
use phala_keys::{agent::AgentKeys, boot::verify_statement, state::SealedBody};
use phala_protocol::{
	agents::{
		AgentCode, AgentId, AgentKey, AgentSnapshot, Availability, AvailabilityContent,
		StateVersion,
	},
	boot::{BootNumber, WorkerId},
	clusters::{ClusterSnapshot, Generation, Member},
	domains,
	mailbox::ClusterId,
	messages::{AgentsMessage, ClustersMessage, RequestsMessage},
	refusals::Refusal,
	requests::{RequestKind, RequestOrder, RequestOutcome, RequestResult},
	BlockNumber, H256,
};
use rand_core::CryptoRng;
use ring::KeyRing;
use state::Effects;
use std::collections::{BTreeMap, BTreeSet};
use work::{DirectJob, Job, JobKind, Run, RunDone, RunEnd, RunFailed};

/// How a job of a direct caller ended: its answer, as it is to be sent, or why there is none.
pub struct JobEnd {
	pub job: u64,
	pub result: Result<Vec<u8>, CallError>,
}

/// What a lease holder signs when it gives a body to another member.
#[derive(Encode)]
struct ReplicationContent {
	domain: domains::Domain,
	genesis: H256,
	worker: WorkerId,
	boot: BootNumber,
	agent: AgentId,
	base_hash: H256,
	body_hash: H256,
}

/// A body on its way to another member: the body of `POST /v1/cluster/bodies`, as SCALE.
#[derive(Clone, Debug, codec::Encode, codec::Decode)]
pub struct ReplicatedBody {
	pub worker: WorkerId,
	pub boot: BootNumber,
	pub agent: AgentId,
	/// Hash of the state that it is made on.
	pub base_hash: H256,
	pub body: SealedBody,
	/// By the sender's boot.
	pub signature: [u8; 64],
}

/// What this boot knows and does as a member.
pub struct Membership {
	pub cluster: ClusterId,
	generation: Generation,
	pub members: BTreeMap<WorkerId, Member>,
	pub ring: KeyRing,
	pub agents: BTreeMap<AgentId, Agent>,
	next_job: u64,
	ended: Vec<JobEnd>,
}

impl Membership {
	/// From what the chain told a new member. Jobs are numbered from the block on, so that those of
	/// an earlier membership of this boot have other numbers.
	pub fn join(snapshot: ClusterSnapshot, height: BlockNumber) -> Self {
		let ClusterSnapshot { cluster, generation, members, keys, .. } = snapshot;
		Self {
			cluster,
			generation,
			members: members.into_iter().map(|member| (member.worker, member)).collect(),
			ring: KeyRing::new(cluster, keys),
			agents: BTreeMap::new(),
			next_job: u64::from(height) << 32,
			ended: Vec::new(),
		}
	}

	/// An agent of the cluster, as it stands.
	pub fn tell_agent(&mut self, snapshot: AgentSnapshot) {
		if snapshot.record.cluster != self.cluster {
			return;
		}
		match self.agents.get_mut(&snapshot.agent) {
			Some(agent) => {
				let (old, new) = (agent.snapshot.lease, snapshot.lease);
				agent.snapshot = snapshot;
				agent.note_state_hash();
				if old != new {
					self.ended.extend(agent.lose_lease(new.map(|lease| lease.worker)));
				}
			}
			None => {
				self.agents.insert(snapshot.agent, Agent::new(snapshot));
			}
		}
	}

	/// Acts on what the chain told of the cluster.
	pub fn apply_clusters(&mut self, message: ClustersMessage) {
		match message {
			// The machine's: it makes and ends memberships.
			ClustersMessage::JoinedCluster { .. } | ClustersMessage::LeftCluster { .. } => {}
			ClustersMessage::Member(member) => {
				self.members.insert(member.worker, member);
			}
			ClustersMessage::MemberLeft { worker } => {
				self.members.remove(&worker);
			}
			ClustersMessage::NewGeneration { generation } => self.generation = generation,
			ClustersMessage::KeysWrapped(keys) => self.ring.wrapped(keys),
			ClustersMessage::LeaseMoved { agent, lease } => {
				if let Some(agent) = self.agents.get_mut(&agent) {
					agent.snapshot.lease = lease;
					self.ended.extend(agent.lose_lease(lease.map(|lease| lease.worker)));
				}
			}
		}
	}

	/// Acts on what the chain told of an agent.
	pub fn apply_agents(&mut self, message: AgentsMessage) {
		match message {
			AgentsMessage::Agent(snapshot) => self.tell_agent(snapshot),
			AgentsMessage::Committed { agent, version, body_hash, state_hash, .. } => {
				if let Some(agent) = self.agents.get_mut(&agent) {
					self.ended.extend(agent.commit(version, body_hash, state_hash));
				}
			}
		}
	}

	/// Takes a paid request, if it is this boot's.
	pub fn apply_requests<R>(&mut self, message: RequestsMessage, turn: &Turn<'_, R>) {
		let RequestsMessage::Request(order) = message;
		if (order.worker, order.boot) == (turn.config.worker, turn.boot) {
			self.queue(order.agent, JobKind::Order(order));
		}
	}

	fn queue(&mut self, agent: AgentId, kind: JobKind) -> Option<u64> {
		let agent = self.agents.get_mut(&agent)?;
		// Paid requests are bounded by the chain, and go before direct calls.
		if matches!(kind, JobKind::Direct(_)) && !agent.has_room() {
			return None;
		}
		let id = self.next_job;
		self.next_job += 1;
		agent.jobs.push_back(Job { id, kind, attempt: 1 });
		Some(id)
	}

	/// Does all that can be done now without the outside. `consumed` is the number up to which
	/// the chain has consumed this boot's envelopes.
	pub fn act<R: CryptoRng>(
		&mut self,
		master: Option<&MasterInForce>,
		consumed: Option<u64>,
		turn: &mut Turn<'_, R>,
	) {
		if let Some(master) = master {
			self.ring.act(master, self.generation, turn);
		}
		for agent in self.agents.values_mut() {
			agent.catch_up(&self.ring, turn.height);
			if let Some(next) = consumed {
				self.ended.extend(agent.find_refused(next));
			}
			self.ended.extend(agent.expire(turn.height));
			let is_mine = agent.is_mine(turn.config.worker, turn.boot);
			if is_mine && agent.can_propose(&self.ring, self.generation) && turn.is_fresh() {
				if agent.snapshot.record.version == 0 && agent.proposals.is_empty() {
					give_birth(agent, &self.ring, turn);
				}
				for job in agent.take_late_orders(turn.height) {
					give_up(agent, &self.ring, job, turn);
				}
			}
			agent.send(turn);
		}
	}

	/// A call for the sandbox, if an agent that this boot writes has one, and the sandbox has its
	/// code. Jobs that need no sandbox are done on the way.
	pub fn next_run<R: CryptoRng>(
		&mut self,
		block_hash: H256,
		has_code: impl Fn(&AgentCode) -> bool,
		turn: &mut Turn<'_, R>,
	) -> Option<Run> {
		if !turn.is_fresh() {
			return None;
		}
		let Self { agents, ring, ended, generation, .. } = self;
		for agent in agents.values_mut() {
			if !agent.is_mine(turn.config.worker, turn.boot) {
				continue;
			}
			while agent.can_run(ring, *generation) {
				let code = agent.snapshot.record.code;
				let can = |job: &Job| job.needs_no_code() || has_code(&code);
				let Some(job) = agent.take_runnable(turn.height, can) else { break };
				match start(agent, ring, &job, turn) {
					Start::Run(mut run) => {
						run.block = (turn.height, block_hash);
						agent.running = Some(Running {
							job,
							code: run.code.component,
							base: agent.head().hash,
						});
						return Some(*run);
					}
					Start::Done(Ok(())) => {}
					Start::Done(Err(refused)) => {
						ended.push(JobEnd { job: job.id, result: Err(refused) });
					}
				}
			}
		}
		None
	}

	/// A run ended: its effects become a proposal, if the state that it ran on still is the newest.
	pub fn finish_run<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		job: u64,
		result: Result<RunDone, RunEnd>,
		turn: &mut Turn<'_, R>,
	) {
		let Self { agents, ring, ended, .. } = self;
		let Some(agent) = agents.get_mut(&agent) else { return };
		// The lease may have moved while it ran: then its work was given up already.
		let running = agent.running.take_if(|running| running.job.id == job);
		let Some(Running { job, code, base }) = running else { return };
		let result = match result {
			Ok(done) => Ok(done),
			Err(RunEnd::Failed(failed)) => Err(failed),
			Err(RunEnd::NotRun) => {
				agent.requeue(job);
				return;
			}
		};
		// What it ran on was refused meanwhile, or somebody else committed: it never happened.
		if !agent.is_current() || agent.head().hash != base {
			agent.requeue(job);
			return;
		}
		let id = job.id;
		let done = match &job.kind {
			JobKind::Order(order) => {
				let order = order.clone();
				calls::settle_order(agent, ring, code, &order, job, result, turn).map(|()| None)
			}
			JobKind::Direct(direct) => {
				let direct = direct.clone();
				match result {
					Ok(done) => calls::settle_direct(agent, ring, code, &direct, job, done, turn),
					Err(RunFailed { refusal, message, .. }) => {
						calls::use_input_up(agent, ring, &direct, turn);
						Err(CallError::Failed { refusal, message })
					}
				}
			}
		};
		if let Some(result) = done.transpose() {
			ended.push(JobEnd { job: id, result });
		}
	}

	/// Takes a direct call that writes into the queue. Its end comes from [`Self::take_ended`].
	pub fn queue_direct(&mut self, agent: AgentId, job: DirectJob) -> Result<u64, CallError> {
		self.queue(agent, JobKind::Direct(job)).ok_or(CallError::TooManyCalls)
	}

	/// Ends of direct calls that waited.
	pub fn take_ended(&mut self) -> Vec<JobEnd> {
		std::mem::take(&mut self.ended)
	}

	/// Bodies that the other members are to keep, signed, and who they are.
	pub fn take_replications<R: CryptoRng>(
		&mut self,
		turn: &mut Turn<'_, R>,
	) -> Vec<(ReplicatedBody, Vec<Member>)> {
		let own = turn.config.worker;
		let others: Vec<_> =
			self.members.values().filter(|member| member.worker != own).cloned().collect();
		let mut taken = Vec::new();
		for agent in self.agents.values_mut() {
			for Replication { agent, base_hash, body, body_hash } in agent.unreplicated.drain(..) {
				let (worker, boot, genesis) = (own, turn.boot, turn.config.genesis);
				let content = ReplicationContent {
					domain: domains::REPLICATION,
					genesis,
					worker,
					boot,
					agent,
					base_hash,
					body_hash,
				};
				let signature = turn.keys.sign(turn.rng, &content);
				let body = ReplicatedBody { worker, boot, agent, base_hash, body, signature };
				taken.push((body, others.clone()));
			}
		}
		taken
	}

	/// Keeps a body for the boot that writes the agent, and says so.
	///
	/// # Errors
	/// [`CallError::NoSuchAgent`], [`CallError::NotFromLeaseHolder`],
	/// [`CallError::BadSignature`].
	pub fn keep<R: CryptoRng>(
		&mut self,
		brought: ReplicatedBody,
		turn: &mut Turn<'_, R>,
	) -> Result<Availability, CallError> {
		let ReplicatedBody { worker, boot, agent, base_hash, body, signature } = brought;
		let held = self.agents.get_mut(&agent).ok_or(CallError::NoSuchAgent)?;
		let sender = self
			.members
			.get(&worker)
			.filter(|member| member.boot == boot && held.is_mine(worker, boot))
			.ok_or(CallError::NotFromLeaseHolder)?;
		let body_hash = H256(body.hash());
		let genesis = turn.config.genesis;
		let content = ReplicationContent {
			domain: domains::REPLICATION,
			genesis,
			worker,
			boot,
			agent,
			base_hash,
			body_hash,
		};
		if !verify_statement(&sender.identity, &content, &signature) {
			return Err(CallError::BadSignature { whose: "lease holder", what: "body" });
		}
		held.keep(body_hash, body);
		let worker = turn.config.worker;
		let word =
			AvailabilityContent::new(genesis, worker, turn.boot, agent, base_hash, body_hash);
		Ok(Availability { worker, signature: turn.keys.sign(turn.rng, &word) })
	}

	/// A member's word that it keeps a body. A wrong one is not used: the chain would refuse all.
	pub fn available<R: CryptoRng>(
		&mut self,
		brought: &ReplicatedBody,
		word: Availability,
		turn: &mut Turn<'_, R>,
	) {
		let body_hash = H256(brought.body.hash());
		let Some(member) = self.members.get(&word.worker) else { return };
		let ReplicatedBody { agent, base_hash, .. } = *brought;
		let content = AvailabilityContent::new(
			turn.config.genesis,
			member.worker,
			member.boot,
			agent,
			base_hash,
			body_hash,
		);
		if !verify_statement(&member.identity, &content, &word.signature) {
			tracing::warn!(worker = word.worker, "a member's word on a body is not its own");
			return;
		}
		if let Some(agent) = self.agents.get_mut(&agent) {
			agent.available(body_hash, word);
		}
	}

	/// All members were asked: what can be sent is sent.
	pub fn replicated<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		body_hash: H256,
		turn: &mut Turn<'_, R>,
	) {
		if let Some(agent) = self.agents.get_mut(&agent) {
			agent.replicated(body_hash);
			agent.send(turn);
		}
	}

	/// Agents whose bodies are missing here, with the first and the last version.
	pub fn missing(&self) -> Vec<(AgentId, StateVersion, StateVersion)> {
		self.agents
			.values()
			.filter_map(|agent| agent.missing().map(|(first, last)| (agent.id, first, last)))
			.collect()
	}

	/// Takes bodies from another member; whether they are what the chain committed.
	pub fn supply<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		first: StateVersion,
		bodies: Vec<SealedBody>,
		turn: &Turn<'_, R>,
	) -> bool {
		let Some(agent) = self.agents.get_mut(&agent) else { return false };
		let taken = agent.supply(first, bodies);
		if taken {
			agent.catch_up(&self.ring, turn.height);
		}
		taken
	}

	/// Components and manifests that the chain names.
	pub fn wanted_blobs(&self) -> BTreeSet<H256> {
		self.agents
			.values()
			.flat_map(|agent| [Some(agent.snapshot.record.code), agent.snapshot.planned])
			.flatten()
			.flat_map(|code| [code.component, code.manifest])
			.collect()
	}
}

/// Makes an agent's keys: its first effect set.
fn give_birth<R: CryptoRng>(agent: &mut Agent, ring: &KeyRing, turn: &mut Turn<'_, R>) {
	let keys = AgentKeys::generate(turn.rng);
	let (version, key) = keys.encryption_key();
	let effects =
		Effects { keys: Some(keys.to_secret_bytes().expose().to_vec()), ..Default::default() };
	let key = Some(AgentKey { version, key: key.0 });
	if let Err(error) = agent.propose(ring, &effects, Vec::new(), key, None, turn) {
		tracing::warn!(agent = ?agent.id, "no birth: {error}");
	}
}

/// Answers a paid request, whose time is over, with a failure: the caller pays for no unit, and
/// nobody is punished.
fn give_up<R: CryptoRng>(agent: &mut Agent, ring: &KeyRing, job: Job, turn: &mut Turn<'_, R>) {
	let JobKind::Order(order) = &job.kind else { return };
	let result = failed(order, Refusal::TooLate, 0);
	let cause = Some((job.clone(), Vec::new()));
	if let Err(error) = agent.propose(ring, &Effects::default(), vec![result], None, cause, turn) {
		tracing::warn!(agent = ?agent.id, "a late request is not answered: {error}");
	}
}

enum Start {
	Run(Box<Run>),
	Done(Result<(), CallError>),
}

fn start<R: CryptoRng>(
	agent: &mut Agent,
	ring: &KeyRing,
	job: &Job,
	turn: &mut Turn<'_, R>,
) -> Start {
	let run = |caller, input, request, entropy, state| {
		Start::Run(Box::new(Run {
			agent: agent.id,
			job: job.id,
			code: agent.snapshot.record.code,
			caller,
			input,
			request,
			entropy,
			attempt: job.attempt,
			state,
			block: (0, H256::zero()),
		}))
	};
	match &job.kind {
		JobKind::Direct(direct) if direct.code != agent.snapshot.record.code.component => {
			Start::Done(Err(CallError::OtherCode))
		}
		JobKind::Direct(direct) => {
			run(direct.caller, direct.input.clone(), direct.request, None, agent.head().clone())
		}
		JobKind::Order(order) => {
			match calls::open_order(agent.head(), &agent.snapshot, order, turn) {
				Ok(Opened::Call { input, .. }) => {
					let state = agent.head().clone();
					let entropy = state
						.keys
						.as_ref()
						.map(|keys| *keys.root().request_randomness(&order.request).expose());
					run(Some(order.caller), input, order.request, entropy, state)
				}
				Ok(Opened::Secrets { secrets, used }) => {
					let effects =
						Effects { secrets, used_inputs: vec![used], ..Default::default() };
					let result = answered(order, Vec::new(), 1);
					let cause = Some((job.clone(), Vec::new()));
					let proposed = agent.propose(ring, &effects, vec![result], None, cause, turn);
					Start::Done(proposed.map_err(CallError::Input))
				}
				Err(refused) => {
					let result = failed(order, refused.refusal(), 1);
					let effects = Effects::default();
					let cause = Some((job.clone(), Vec::new()));
					let proposed = agent.propose(ring, &effects, vec![result], None, cause, turn);
					Start::Done(proposed.map_err(CallError::Input))
				}
			}
		}
	}
}

fn answered(order: &RequestOrder, answer: Vec<u8>, units: u32) -> RequestResult {
	debug_assert!(order.kind == RequestKind::Call || answer.is_empty());
	RequestResult { request: order.request, outcome: RequestOutcome::Answered(answer), units }
}

fn failed(order: &RequestOrder, refusal: Refusal, units: u32) -> RequestResult {
	let outcome = RequestOutcome::Failed(refusal.code());
	RequestResult { request: order.request, outcome, units }
}
