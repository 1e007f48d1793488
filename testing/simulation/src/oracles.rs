//! What must hold, whatever happened: looked at after every block, every snapshot that a machine
//! publishes, every answer, and every byte that leaves a machine.
//!
//! | oracle | of ARCHITECTURE §9 | looks at |
//! |---|---|---|
//! | no plaintext | 1 | packets, envelopes, proofs, extrinsics, messages; at the end the chain's whole state |
//! | lies change nothing | 2 | each forged bundle (`relayer.rs`) |
//! | exactly once | 3 | numbers of envelopes; versions of agents; ends of requests; entries of the agent's state |
//! | nothing fails | 4 | panics of machines |
//! | money | 5 | the runtime's own oracle: sums, holds, escrow, places of requests |
//! | one boot counts | 7 | envelopes and answers, against the newest registration |
//! | committed is committed | 9 | members' state against the chain's versions; answered writes; after the death of all members too |
//! | all requests end | 10 | within their deadline and one block |

use crate::{
	chain::{Chain, Made},
	host::HostId,
	operators::GATEKEEPER,
	simulation::Simulation,
};
use codec::{DecodeAll, Encode};
use frame_system::LastRuntimeUpgrade;
use memchr::memmem::Finder;
use phala_keys::boot::verify_statement;
use phala_protocol::{
	agents::{AgentId, StateVersion},
	boot::{BootNumber, WorkerId},
	mailbox::Lane,
	messages::{AgentsMessage, ClustersMessage, Message},
	requests::RequestId,
	BlockNumber, H256,
};
use phala_runtime::{test_support::oracle, Runtime, RuntimeEvent};
use std::collections::{BTreeMap, BTreeSet};

/// In everything that users give under a seal.
pub const MARKER: &[u8] = b"what the user keeps to itself";

/// How long after its deadline a request may be open: the deadline is the last block that settles.
const ENDS_WITHIN_BLOCKS: BlockNumber = 1;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
	Open { deadline: BlockNumber },
	Settled,
	Refunded,
	Expired,
}

#[derive(Clone)]
struct Version {
	state_hash: H256,
	worker: WorkerId,
}

/// What the chain said so far.
#[derive(Clone, Default)]
struct Said {
	requests: BTreeMap<RequestId, Course>,
	versions: BTreeMap<(AgentId, StateVersion), Version>,
	newest: BTreeMap<AgentId, StateVersion>,
	/// The newest boot of each worker, and the identity of each boot.
	boots: BTreeMap<WorkerId, BootNumber>,
	identities: BTreeMap<(WorkerId, BootNumber), [u8; 32]>,
	/// What comes next in each lane.
	envelopes: BTreeMap<(WorkerId, BootNumber, Lane), u64>,
	/// The next block is the first under its runtime.
	awaits_upgrade: bool,
}

/// What was seen so far.
pub struct Oracles {
	marker: Finder<'static>,
	/// The agent had a key once: users began.
	pub is_born: bool,
	/// At some time nobody alive had the cluster's keys.
	keys_were_gone: bool,
	/// Whose disk was lost, or is an older one.
	pub disks_replaced: BTreeSet<WorkerId>,
	chain: Said,
	/// By block, as far as it may be abandoned; only where blocks are.
	before: Option<BTreeMap<BlockNumber, Said>>,
}

impl Oracles {
	pub fn new() -> Self {
		Self {
			marker: Finder::new(MARKER),
			is_born: false,
			keys_were_gone: false,
			disks_replaced: BTreeSet::new(),
			chain: Said::default(),
			before: None,
		}
	}

	/// Keeps from now on what it takes to forget blocks.
	pub fn keep_forks(&mut self) {
		self.before.get_or_insert_default();
	}

	/// The blocks after this one never were.
	pub fn forget_after(&mut self, number: BlockNumber) {
		if let Some(said) = self.before.as_ref().and_then(|before| before.get(&number)) {
			self.chain = said.clone();
		}
	}

	fn note_block(&mut self, number: BlockNumber, finalized: BlockNumber) {
		if let Some(before) = &mut self.before {
			before.insert(number, self.chain.clone());
			*before = before.split_off(&finalized);
		}
	}
}

impl Simulation {
	/// Bytes leave a machine, or are on the chain.
	pub(crate) fn leaves(&mut self, how: &str, bytes: &[u8]) {
		if self.oracles.marker.find(bytes).is_some() {
			self.violated(format!("plaintext leaves as {how}"));
		}
	}

	/// A block was made.
	pub(crate) fn observe_block(&mut self, made: &Made) {
		for event in &made.events {
			if let Err(found) = self.observe_event(event) {
				self.violated(found);
			}
		}
		let late = self.oracles.chain.requests.iter().find(|(_, course)| {
			matches!(course, Course::Open { deadline } if made.number > deadline + ENDS_WITHIN_BLOCKS)
		});
		if let Some((request, course)) = late {
			let found = format!("request {request:?} did not end: {course:?}");
			self.violated(found);
		}
		let Chain { oracle: start, .. } = &self.chain;
		let start = start.clone();
		if let Err(found) = self.chain.read(|| oracle::check(&start)) {
			self.violated(found);
		}
		// The first block under a runtime writes down which it is.
		let is_upgraded = self.chain.read(LastRuntimeUpgrade::<Runtime>::exists);
		let awaited = std::mem::replace(&mut self.oracles.chain.awaits_upgrade, !is_upgraded);
		self.counts.upgrades += u64::from(awaited && is_upgraded);
		self.oracles.note_block(made.number, self.chain.finalized());
	}

	pub(crate) fn observe_event(&mut self, event: &RuntimeEvent) -> Result<(), String> {
		match event {
			RuntimeEvent::Requests(event) => self.observe_request(event),
			RuntimeEvent::Agents(pallet_agents::Event::Committed {
				agent,
				version,
				state_hash,
				worker,
			}) => {
				let newest = self.oracles.chain.newest.entry(*agent).or_default();
				if *version != *newest + 1 {
					return Err(format!("version {version} of {agent:?} came after {newest}"));
				}
				*newest = *version;
				self.counts.commits += 1;
				let known = self
					.oracles
					.chain
					.versions
					.entry((*agent, *version))
					.or_insert(Version { state_hash: *state_hash, worker: *worker });
				if known.state_hash != *state_hash {
					return Err(format!("version {version} of {agent:?} is two states"));
				}
				Ok(())
			}
			RuntimeEvent::Registry(pallet_registry::Event::BootRegistered { worker, boot }) => {
				let before = self.oracles.chain.boots.insert(*worker, boot.number);
				self.oracles.chain.identities.insert((*worker, boot.number), boot.keys.identity);
				let after = before.unwrap_or(0) + 1;
				if boot.number != after {
					return Err(format!(
						"boot {} of worker {worker} came for {after}",
						boot.number
					));
				}
				Ok(())
			}
			RuntimeEvent::Registry(pallet_registry::Event::MeasurementDelisted { .. }) => {
				self.counts.delistings += 1;
				Ok(())
			}
			RuntimeEvent::Mailbox(event) => self.observe_mailbox(event),
			_ => Ok(()),
		}
	}

	fn observe_mailbox(
		&mut self,
		event: &pallet_mailbox::Event<phala_runtime::Runtime>,
	) -> Result<(), String> {
		use pallet_mailbox::Event;
		match event {
			Event::MessagePushed { body, .. } => {
				self.leaves("message", body);
				match Message::decode_all(&mut &body[..]) {
					Ok(Message::Agents(AgentsMessage::Committed {
						agent,
						version,
						state_hash,
						worker,
					})) => {
						let seen = Version { state_hash, worker };
						let key = (agent, version);
						match self.oracles.chain.versions.insert(key, seen) {
							Some(before) if before.state_hash != state_hash => {
								Err(format!("version {version} of {agent:?} is two states"))
							}
							_ => Ok(()),
						}
					}
					Ok(Message::Clusters(ClustersMessage::LeaseMoved { .. })) => {
						self.counts.lease_moves += 1;
						Ok(())
					}
					Ok(_) => Ok(()),
					Err(_) => Err("the chain said what nobody can read".into()),
				}
			}
			Event::EnvelopeAccepted { worker, boot, lane, seq }
			| Event::PayloadFailed { worker, boot, lane, seq, .. } => {
				let newest = self.oracles.chain.boots.get(worker).copied().unwrap_or_default();
				if *boot != newest {
					return Err(format!(
						"boot {boot} of {worker} counts, and {newest} is its newest"
					));
				}
				let next = self.oracles.chain.envelopes.entry((*worker, *boot, *lane)).or_default();
				if seq != next {
					return Err(format!("envelope {seq} of {worker} in {lane:?} came for {next}"));
				}
				*next += 1;
				Ok(())
			}
			_ => Ok(()),
		}
	}

	fn version_of(&self, agent: &AgentId) -> StateVersion {
		self.oracles.chain.newest.get(agent).copied().unwrap_or_default()
	}

	fn observe_request(
		&mut self,
		event: &pallet_requests::Event<phala_runtime::Runtime>,
	) -> Result<(), String> {
		use pallet_requests::Event;
		let requests = &mut self.oracles.chain.requests;
		let (request, allowed, after): (_, fn(&Course) -> bool, _) = match event {
			Event::RequestSubmitted { request, deadline, .. } => {
				self.counts.requests += 1;
				let before = requests.insert(*request, Course::Open { deadline: *deadline });
				return match before {
					None => Ok(()),
					Some(course) => Err(format!("request {request:?} came twice: {course:?}")),
				};
			}
			Event::RequestSettled { request, failed, .. } => {
				self.counts.settled += 1;
				self.counts.failed += u64::from(*failed);
				(request, |course| matches!(course, Course::Open { .. }), Course::Settled)
			}
			Event::RequestRefunded { request, .. } => {
				self.counts.refunded += 1;
				(request, |course| matches!(course, Course::Open { .. }), Course::Refunded)
			}
			Event::RequestExpired { request, .. } => {
				self.counts.expired += 1;
				let may =
					|course: &Course| matches!(course, Course::Open { .. } | Course::Refunded);
				(request, may, Course::Expired)
			}
			_ => return Ok(()),
		};
		match requests.insert(*request, after) {
			Some(before) if allowed(&before) => Ok(()),
			before => Err(format!("request {request:?} is {after:?}, and was {before:?}")),
		}
	}

	/// A machine published what can be read of it.
	pub(crate) fn observe_snapshot(&mut self, id: HostId) {
		let Some(host) = self.hosts.get(&id) else { return };
		let snapshot = host.snapshot.clone();
		let Some(cluster) = &snapshot.cluster else { return };
		for (agent, view) in &cluster.agents {
			let version = view.state.version;
			if version == 0 {
				continue;
			}
			let known = self.oracles.chain.versions.get(&(*agent, version));
			if known.map(|known| known.state_hash) != Some(view.state.hash) {
				let found = format!("{id:?} has another version {version} of {agent:?}");
				self.violated(found);
			}
		}
	}

	/// A process died. Keys are in memory only; who has none gets them from the gatekeeper.
	pub(crate) fn observe_death(&mut self) {
		let has_keys = |host: &crate::host::Host| {
			host.snapshot.cluster.as_ref().is_some_and(|cluster| cluster.has_keys)
		};
		if self.oracles.is_born && !self.hosts.values().any(has_keys) {
			self.oracles.keys_were_gone = true;
		}
	}

	/// Whether what was committed may be lost all the same.
	fn may_be_lost(&self) -> bool {
		let gatekeepers = self.lives.get(&GATEKEEPER).copied().unwrap_or_default();
		let are_keys_lost = self.oracles.keys_were_gone && gatekeepers > 1;
		are_keys_lost || self.oracles.disks_replaced.len() > 1
	}

	/// A direct call was answered.
	pub(crate) fn observe_answer(&mut self, number: usize) {
		let call = &self.users.calls[number];
		let (writes, body) = (call.writes, call.body.clone());
		let Some(answer) = &call.answer else { return };
		let content = &answer.proof.content;
		let (worker, boot) = (content.worker, content.boot);
		let identity =
			self.oracles.chain.identities.get(&(worker, boot)).copied().unwrap_or_default();
		let statement = answer.proof.statement();
		let is_signed = statement.is_ok_and(|statement| {
			verify_statement(&identity, &statement, &answer.proof.signature)
		});
		let version = content.state_version;
		let by =
			self.oracles.chain.versions.get(&(content.agent, version)).map(|known| known.worker);
		let newest = self.version_of(&content.agent);
		let has_body = answer.output.body == body;
		if !is_signed {
			self.violated(format!("the answer to call {number} is signed by nobody"));
		}
		if version > newest {
			self.violated(format!("call {number} was answered from version {version} of {newest}"));
		}
		if writes && (by != Some(worker) || !has_body) {
			self.violated(format!("write {number} was answered and is not in version {version}"));
		}
	}

	/// Everything is at rest.
	pub(crate) fn check_at_the_end(&mut self) {
		let open =
			self.oracles.chain.requests.values().filter(|one| matches!(one, Course::Open { .. }));
		let open = open.count();
		if open > 0 {
			self.violated(format!("{open} requests are open at the end"));
		}
		if self.chain.state_has(&self.oracles.marker) {
			self.violated("plaintext is in the chain's state".into());
		}
		let Some(agent) = self.users.agent else {
			return self.violated("no agent was deployed".into());
		};
		let newest = self.version_of(&agent);
		let now_ms = self.now_ms();
		let mut states = Vec::new();
		let mut is_ready = false;
		for id in self.listening.values() {
			let Some(host) = self.hosts.get(id) else { continue };
			let Ok(view) = host.snapshot.agent(agent) else { continue };
			if view.state.version == newest {
				states.push((*id, view.state.entries.clone()));
			}
			is_ready |= host.snapshot.ready(agent, host.counter(now_ms)).is_ok();
		}
		if self.may_be_lost() && (!is_ready || states.is_empty()) {
			self.counts.lost += 1;
			return;
		}
		if !is_ready {
			return self
				.violated(format!("nobody answers for the agent at the end, {newest} versions"));
		}
		let Some((_, entries)) = states.first().cloned() else {
			return self.violated(format!("nobody has version {newest} of the agent"));
		};
		if let Some((id, _)) = states.iter().find(|(_, other)| *other != entries) {
			let found = format!("{id:?} has other entries at version {newest}");
			self.violated(found);
		}
		let mut values = BTreeSet::new();
		for (key, value) in entries.iter().filter(|(key, _)| key.starts_with("request/")) {
			if !values.insert(value.clone()) {
				return self.violated(format!("{key} took effect twice"));
			}
		}
		let lost = self.users.calls.iter().position(|call| {
			call.writes && call.answer.is_some() && !values.contains(&call.body[..])
		});
		if let Some(call) = lost {
			self.violated(format!("write {call} was answered and is lost"));
		}
		self.trace.note(now_ms, "end", &(newest, self.users.calls.len() as u64).encode());
	}
}
