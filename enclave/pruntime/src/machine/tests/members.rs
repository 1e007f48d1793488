//! A gatekeeper and two members of a cluster, on a chain that does what the pallets do with their
//! envelopes, and nothing more.

use super::*;
use crate::machine::cluster::{
	calls::AdmittedCall,
	work::{DirectJob, Run, RunDone},
	CallError, Membership, ReplicatedBody,
};
use phala_keys::{
	hpke::{DecryptionKey, EncryptionKey, Sealed},
	input::{seal_input, InputContext, InputKind, SealedInput},
	reply::{open_reply, ReplyContext},
	secret::{Secret32, SecretBytes},
	sr25519::{public_of_published_seed, sign_with_published_seed, verify},
};
use phala_protocol::{
	agents::{
		agent_id, next_state_hash, Access, AgentCode, AgentId, AgentKey, AgentRecord,
		AgentSnapshot, EffectSet, Lease, UpgradePolicy,
	},
	caller::Caller,
	clusters::{ClusterSnapshot, Member, WrappedKeys},
	keys::Seat,
	messages::{
		AgentsMessage, AgentsPayload, ClustersMessage, ClustersPayload, KeysMessage, KeysPayload,
		RegistryMessage, RequestsMessage,
	},
	requests::{
		request_id, salted_hash, CallInput, CallOutput, CallerSignature, DirectCall,
		DirectCallContent, ProvenAnswer, RequestInput, RequestKind, RequestOrder, RequestOutcome,
	},
};
use std::collections::BTreeMap;

const GATEKEEPER: WorkerId = 0;
const FIRST: WorkerId = 1;
const SECOND: WorkerId = 2;
const CLUSTER: ClusterId = 5;
const USER_SEED: [u8; 32] = [0x55; 32];
const THIEF_SEED: [u8; 32] = [0x66; 32];
const PLAINTEXT: &[u8] = b"what the user keeps to itself";

fn account(seed: [u8; 32]) -> AccountBytes {
	public_of_published_seed(seed)
}

fn caller_of(seed: [u8; 32]) -> Caller {
	Caller::Account(account(seed))
}

/// The pallets, in as few lines as they can be, and the relayers.
struct World {
	chain: TestChain,
	machines: BTreeMap<WorkerId, Machine>,
	consumed: BTreeMap<WorkerId, u64>,
	rng: ChaCha20Rng,
	now_ms: u64,
	seats: Vec<Seat>,
	master: Option<MasterKey>,
	wrapped: Option<WrappedKeys>,
	members: Vec<Member>,
	agents: BTreeMap<AgentId, AgentSnapshot>,
	results: Vec<(H256, RequestOutcome)>,
	/// Effect sets that were not on the current version, or not by the lease holder.
	refused: usize,
	/// Refuses the next effect set, as for a lack of availability.
	refuses_next: bool,
}

impl World {
	/// Three registered boots, nothing else.
	fn new(seed: u64) -> Self {
		let mut world = Self {
			chain: TestChain::new(seed, 4),
			machines: BTreeMap::new(),
			consumed: BTreeMap::new(),
			rng: ChaCha20Rng::seed_from_u64(seed),
			now_ms: 0,
			seats: Vec::new(),
			master: None,
			wrapped: None,
			members: Vec::new(),
			agents: BTreeMap::new(),
			results: Vec::new(),
			refused: 0,
			refuses_next: false,
		};
		world.chain.seal();
		for worker in [GATEKEEPER, FIRST, SECOND] {
			world.boot(worker);
		}
		world
	}

	fn boot(&mut self, worker: WorkerId) {
		let config = Config { genesis: self.chain.genesis(), worker };
		let mut machine = Machine::boot(config, self.now_ms, &mut self.rng);
		machine.accept_genesis(&self.chain.genesis_bundle()).unwrap();
		self.machines.insert(worker, machine);
		self.seal();
		let keys = self.machines[&worker].public_keys();
		self.tell(worker, RegistryMessage::Registered { boot: 1, keys, expires_at: 100_000 });
		if let Some(master) = self.master.clone() {
			self.tell(worker, KeysMessage::MasterKey(master));
		}
		self.consumed.insert(worker, 0);
		self.consume(worker);
		self.seal();
	}

	fn consume(&mut self, worker: WorkerId) {
		let next = InboundNext { boot: 1, seq: self.consumed[&worker] };
		self.chain.put(storage_keys::mailbox_next_envelope(worker), next.encode());
	}

	fn tell(&mut self, worker: WorkerId, message: impl Into<Message>) {
		self.chain.push(Channel::Worker(worker), message.into().encode());
	}

	fn tell_cluster(&mut self, message: impl Into<Message>) {
		self.chain.push(Channel::Cluster(CLUSTER), message.into().encode());
	}

	/// Seals a block and brings it to every machine.
	fn seal(&mut self) {
		self.chain.seal();
		for worker in self.machines.keys().copied().collect::<Vec<_>>() {
			self.relay(worker);
		}
	}

	fn relay(&mut self, worker: WorkerId) {
		let bundle = self.bundle(worker);
		let machine = self.machines.get_mut(&worker).unwrap();
		machine.sync(bundle, self.now_ms, &mut self.rng).unwrap();
	}

	fn bundle(&self, worker: WorkerId) -> SyncBundle {
		let machine = &self.machines[&worker];
		let (status, to) = (machine.status(), self.chain.height());
		let identity = machine.public_keys().identity;
		let mut from: BTreeMap<Channel, u64> = status
			.channels
			.iter()
			.filter_map(|position| Some((position.channel, position.next_seq?)))
			.collect();
		let mut channels: Vec<_> =
			status.channels.iter().map(|position| position.channel).collect();
		if let Some(seq) = from.get(&Channel::Worker(worker)).copied() {
			for message in self.chain.messages(Channel::Worker(worker), seq, to) {
				let body = Message::decode_all(&mut &message.body[..]).unwrap();
				if let Some(Subscription::Follow(channel, head)) = body.subscription(&identity) {
					from.insert(channel, head.next_seq);
					channels.push(channel);
				}
			}
		}
		let mut keys: Vec<_> = channels.into_iter().map(storage_keys::mailbox_head).collect();
		keys.push(storage_keys::mailbox_next_envelope(worker));
		SyncBundle {
			steps: self.chain.steps(status.height, to),
			state_proof: self.chain.read_proof(to, keys),
			bodies: from
				.into_iter()
				.map(|(channel, seq)| phala_protocol::relay::ChannelBodies {
					channel,
					messages: self.chain.messages(channel, seq, to),
				})
				.filter(|bodies| !bodies.messages.is_empty())
				.collect(),
		}
	}

	/// Replicates, submits all envelopes, does what the pallets do, seals. Until nothing happens.
	fn settle(&mut self) {
		self.seal();
		for _ in 0..20 {
			self.replicate();
			let mut anything = false;
			for worker in self.machines.keys().copied().collect::<Vec<_>>() {
				for envelope in self.machines[&worker].envelopes() {
					if envelope.seq == self.consumed[&worker] {
						self.consumed.insert(worker, envelope.seq + 1);
						self.receive(
							worker,
							Payload::decode_all(&mut &envelope.payload[..]).unwrap(),
						);
						anything = true;
					}
				}
				self.consume(worker);
			}
			self.seal();
			if !anything {
				return;
			}
		}
		panic!("the network does not come to rest");
	}

	fn replicate(&mut self) {
		for worker in self.machines.keys().copied().collect::<Vec<_>>() {
			let Ok(taken) = self.member(worker, |member, turn| member.take_replications(turn))
			else {
				continue;
			};
			for (body, others) in taken {
				for other in others {
					if !self.machines.contains_key(&other.worker) {
						continue;
					}
					let word =
						self.member(other.worker, |member, turn| member.keep(body.clone(), turn));
					let word = word.unwrap().unwrap();
					self.member(worker, |member, turn| member.available(&body, word, turn))
						.unwrap();
				}
				let hash = H256(body.body.hash());
				self.member(worker, |member, turn| member.replicated(body.agent, hash, turn))
					.unwrap();
			}
		}
	}

	fn receive(&mut self, worker: WorkerId, payload: Payload) {
		match payload {
			Payload::Keys(KeysPayload::MasterKeyConfirmed { epoch, attempt, outcome }) => {
				let key = MasterKey { epoch, attempt, outcome };
				self.master = Some(key.clone());
				let message = Message::Keys(KeysMessage::MasterKey(key));
				self.chain.push(Channel::System, message.encode());
			}
			Payload::Clusters(ClustersPayload::KeyRequest {
				cluster,
				generation,
				ephemeral_key,
			}) => {
				let request = phala_protocol::keys::KeyRequest {
					worker,
					boot: 1,
					cluster,
					generation,
					ephemeral_key,
				};
				let message = Message::Keys(KeysMessage::KeyRequested(request));
				self.chain.push(Channel::Gatekeepers, message.encode());
			}
			Payload::Keys(KeysPayload::KeyReleased { request, release }) => {
				let (cluster, generation) = (request.cluster, request.generation);
				let told = KeysMessage::KeyRelease { boot: 1, cluster, generation, release };
				self.tell(request.worker, told);
			}
			Payload::Clusters(ClustersPayload::KeysWrapped { keys, .. }) => {
				let known = self.wrapped.as_ref().map(|keys| (keys.epoch, keys.generation));
				if known != Some((keys.epoch, keys.generation)) {
					self.wrapped = Some(keys.clone());
					self.tell_cluster(ClustersMessage::KeysWrapped(keys));
				}
			}
			Payload::Agents(AgentsPayload::EffectSet(set)) => self.commit(worker, set),
			_ => {}
		}
	}

	fn commit(&mut self, worker: WorkerId, set: EffectSet) {
		let snapshot = self.agents.get_mut(&set.agent).unwrap();
		let record = &mut snapshot.record;
		let lease = Some(Lease { worker, boot: 1 });
		let refused = std::mem::take(&mut self.refuses_next);
		let stale = (record.version, record.state_hash) != (set.base_version, set.base_hash);
		if refused || stale || snapshot.lease != lease {
			self.refused += 1;
			return;
		}
		record.version += 1;
		record.state_hash = next_state_hash(record.state_hash, set.body_hash);
		record.key = record.key.or(set.key);
		let (version, state_hash) = (record.version, record.state_hash);
		let EffectSet { agent, body_hash, results, .. } = set;
		self.tell_cluster(AgentsMessage::Committed {
			agent,
			version,
			body_hash,
			state_hash,
			worker,
		});
		self.results.extend(results.into_iter().map(|result| (result.request, result.outcome)));
	}

	fn seat_gatekeeper(&mut self) {
		let keys = self.machines[&GATEKEEPER].public_keys();
		let head = self.chain.channel_head(Channel::Gatekeepers);
		self.tell(GATEKEEPER, KeysMessage::SeatedAsGatekeeper { identity: keys.identity, head });
		self.seats = vec![Seat { worker: GATEKEEPER, boot: 1, keys }];
		let (seats, epoch) = (self.seats.clone(), 1);
		let message = KeysMessage::Seated { epoch, attempt: 0, seats };
		self.chain.push(Channel::Gatekeepers, Message::Keys(message).encode());
	}

	/// The chain seats the same gatekeeper again.
	fn start_epoch(&mut self, epoch: Epoch) {
		let message = KeysMessage::Seated { epoch, attempt: 0, seats: self.seats.clone() };
		self.chain.push(Channel::Gatekeepers, Message::Keys(message).encode());
	}

	fn join(&mut self, worker: WorkerId) {
		let identity = self.machines[&worker].public_keys().identity;
		let member = Member { worker, boot: 1, identity, endpoint: b"http://nowhere".to_vec() };
		self.members.retain(|member| member.worker != worker);
		self.members.push(member.clone());
		let snapshot = ClusterSnapshot {
			cluster: CLUSTER,
			head: self.chain.channel_head(Channel::Cluster(CLUSTER)),
			generation: 1,
			members: self.members.clone(),
			keys: self.wrapped.clone(),
		};
		self.tell(worker, ClustersMessage::JoinedCluster { identity, snapshot });
		for agent in self.agents.values().cloned().collect::<Vec<_>>() {
			self.tell(worker, AgentsMessage::Agent(agent));
		}
		self.tell_cluster(ClustersMessage::Member(member));
	}

	fn register_agent(&mut self, holder: WorkerId, access: Access) -> AgentId {
		let agent = agent_id(self.chain.genesis(), self.agents.len() as u64);
		let code = AgentCode { component: H256([0xc0; 32]), manifest: H256([0xaf; 32]) };
		let snapshot = AgentSnapshot {
			agent,
			record: AgentRecord {
				owner: account(USER_SEED),
				cluster: CLUSTER,
				code,
				code_version: 1,
				upgrades: UpgradePolicy::Immutable,
				access,
				unit_price: 1,
				timeout: 10,
				key: None,
				version: 0,
				state_hash: H256::zero(),
			},
			callers: Vec::new(),
			lease: Some(Lease { worker: holder, boot: 1 }),
			planned: None,
		};
		self.agents.insert(agent, snapshot.clone());
		self.tell_cluster(AgentsMessage::Agent(snapshot));
		agent
	}

	fn key(&self, agent: AgentId) -> AgentKey {
		self.agents[&agent].record.key.unwrap()
	}

	/// A cluster of two with keys and one agent that the first writes.
	fn with_agent(seed: u64) -> (Self, AgentId) {
		let mut world = Self::new(seed);
		world.seat_gatekeeper();
		world.join(FIRST);
		world.join(SECOND);
		world.settle();
		let agent = world.register_agent(FIRST, Access::Public);
		world.settle();
		(world, agent)
	}

	fn member<T>(
		&mut self,
		worker: WorkerId,
		step: impl FnOnce(&mut Membership, &mut Turn<'_, ChaCha20Rng>) -> T,
	) -> Result<T, CallError> {
		let machine = self.machines.get_mut(&worker).unwrap();
		machine.as_member(self.now_ms, &mut self.rng, step)
	}

	fn entries(&mut self, worker: WorkerId, agent: AgentId) -> Vec<(String, Vec<u8>)> {
		self.member(worker, |member, _| {
			let entries = &member.agents[&agent].state.entries;
			entries.iter().map(|(key, value)| (key.clone(), value.to_vec())).collect()
		})
		.unwrap()
	}

	fn next_run(&mut self, worker: WorkerId) -> Option<Run> {
		self.member(worker, |member, turn| member.next_run(H256::zero(), |_| true, turn)).unwrap()
	}

	/// The sandbox: writes the input's body under `last`.
	fn run(&mut self, worker: WorkerId) -> Option<Run> {
		let run = self.next_run(worker)?;
		let done = RunDone {
			output: CallOutput { status: 200, headers: vec![], body: run.input.body.clone() },
			writes: vec![("last".into(), Some(run.input.body.clone()))],
			units: 3,
			unproven_inputs: 0,
		};
		let (agent, job) = (run.agent, run.job);
		self.member(worker, |member, turn| member.finish_run(agent, job, Ok(done), turn)).unwrap();
		Some(run)
	}

	fn seal_for(
		&mut self,
		agent: AgentId,
		kind: InputKind,
		seed: [u8; 32],
		body: Vec<u8>,
	) -> (Vec<u8>, DecryptionKey, [u8; 32]) {
		let key = self.key(agent);
		let reply = DecryptionKey::generate(&mut self.rng);
		let nonce = *Secret32::random(&mut self.rng).expose();
		let input = SealedInput {
			caller: caller_of(seed),
			nonce,
			reply_key: reply.public(),
			accepted_code_hashes: vec![],
			expiry_block: self.chain.height() + 100,
			body: SecretBytes::new(body),
		};
		let context = InputContext::new(self.chain.genesis(), agent, key.version, kind);
		let sealed = seal_input(&mut self.rng, &EncryptionKey(key.key), &context, &input).unwrap();
		(sealed.encode(), reply, nonce)
	}

	fn order(&mut self, agent: AgentId, kind: RequestKind, input: RequestInput) -> RequestOrder {
		let number = self.consumed.values().sum::<u64>() + self.results.len() as u64;
		let lease = self.agents[&agent].lease.unwrap();
		RequestOrder {
			request: request_id(self.chain.genesis(), number),
			agent,
			caller: caller_of(USER_SEED),
			kind,
			input,
			units_max: 100,
			min_block: 0,
			deadline: self.chain.height() + 60,
			worker: lease.worker,
			boot: lease.boot,
		}
	}

	fn direct(&mut self, agent: AgentId, seed: [u8; 32]) -> DirectCall {
		let body = call_input(PLAINTEXT).encode();
		let (sealed, ..) = self.seal_for(agent, InputKind::Direct, USER_SEED, body);
		let caller = caller_of(seed);
		let content = DirectCallContent::new(self.chain.genesis(), agent, caller, &sealed);
		let signature = CallerSignature::Sr25519(sign_with_published_seed(seed, &content.encode()));
		DirectCall { caller, sealed, signature }
	}
}

fn call_input(body: &[u8]) -> CallInput {
	CallInput {
		method: b"POST".to_vec(),
		path: b"/keep".to_vec(),
		headers: vec![],
		body: body.to_vec(),
	}
}

fn last(body: &[u8]) -> Vec<(String, Vec<u8>)> {
	vec![("last".into(), body.to_vec())]
}

#[test]
fn an_agent_is_born_and_every_member_has_its_keys() {
	let (mut world, agent) = World::with_agent(1);
	let on_chain = world.key(agent);
	for worker in [FIRST, SECOND] {
		let held = world.member(worker, |member, _| {
			let keys = member.agents[&agent].state.keys.clone().unwrap();
			keys.encryption_key().1 .0
		});
		assert_eq!(held.unwrap(), on_chain.key);
	}
}

#[test]
fn a_sealed_request_is_answered_proven_and_kept_by_both() {
	let (mut world, agent) = World::with_agent(2);
	let body = call_input(PLAINTEXT).encode();
	let (sealed, reply, nonce) = world.seal_for(agent, InputKind::Request, USER_SEED, body);
	let order = world.order(agent, RequestKind::Call, RequestInput::Sealed(sealed));
	world.tell_cluster(RequestsMessage::Request(order.clone()));
	world.seal();
	assert!(world.next_run(SECOND).is_none(), "only the lease holder runs it");
	let run = world.run(FIRST).expect("the lease holder has work");
	assert!(run.entropy.is_some());
	world.settle();

	assert_eq!(world.results.len(), 1);
	let RequestOutcome::Answered(answer) = &world.results[0].1 else { panic!("it failed") };
	let context =
		ReplyContext::new(world.chain.genesis(), agent, Caller::Account(account(USER_SEED)), nonce);
	let sealed = Sealed::decode_all(&mut &answer[..]).unwrap();
	let opened = open_reply(&reply, &context, &sealed).unwrap();
	let proven = ProvenAnswer::decode_all(&mut opened.expose()).unwrap();
	assert_eq!(proven.output.body, PLAINTEXT);
	let content = &proven.proof.content;
	assert_eq!(content.request_hash, salted_hash(proven.salt, &call_input(PLAINTEXT).encode()));
	assert_eq!(content.response_hash, salted_hash(proven.salt, &proven.output.encode()));
	assert_eq!((content.worker, content.state_version), (FIRST, 2));
	let identity = world.machines[&FIRST].public_keys().identity;
	assert!(verify(&identity, &content.encode(), &proven.proof.signature));
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(PLAINTEXT));
	}
}

#[test]
fn a_thief_s_copy_of_a_sealed_input_fails_and_says_nothing() {
	let (mut world, agent) = World::with_agent(3);
	let body = call_input(PLAINTEXT).encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::Request, USER_SEED, body);
	let mut order = world.order(agent, RequestKind::Call, RequestInput::Sealed(sealed));
	order.caller = caller_of(THIEF_SEED);
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	assert!(world.next_run(FIRST).is_none(), "the sandbox never sees it");
	world.settle();
	let failed = RequestOutcome::Failed(Refusal::OriginIsNotCaller.code());
	assert_eq!(world.results[0].1, failed);
}

#[test]
fn a_direct_call_of_a_thief_a_repeat_and_an_input_of_another_kind_are_refused() {
	let (mut world, agent) = World::with_agent(4);
	let call = world.direct(agent, USER_SEED);
	let stolen = DirectCall {
		caller: caller_of(THIEF_SEED),
		signature: {
			let caller = caller_of(THIEF_SEED);
			let content =
				DirectCallContent::new(world.chain.genesis(), agent, caller, &call.sealed);
			CallerSignature::Sr25519(sign_with_published_seed(THIEF_SEED, &content.encode()))
		},
		..call.clone()
	};
	let mut open = |call: &DirectCall| {
		world
			.member(FIRST, |member, turn| member.open_direct(agent, call, turn))
			.unwrap()
			.map(|AdmittedCall { input, .. }| input)
			.map_err(|refused| refused.refusal())
	};
	assert_eq!(open(&stolen).unwrap_err(), Refusal::OriginIsNotCaller);
	let forged = DirectCall { caller: caller_of(THIEF_SEED), ..call.clone() };
	assert_eq!(open(&forged).unwrap_err(), Refusal::BadSignature);
	assert_eq!(open(&call).unwrap(), call_input(PLAINTEXT));
	assert_eq!(open(&call).unwrap_err(), Refusal::Repeated);

	let body = call_input(PLAINTEXT).encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::Request, USER_SEED, body);
	let caller = caller_of(USER_SEED);
	let content = DirectCallContent::new(world.chain.genesis(), agent, caller, &sealed);
	let signature =
		CallerSignature::Sr25519(sign_with_published_seed(USER_SEED, &content.encode()));
	let other_kind = DirectCall { caller, sealed, signature };
	let refused =
		world.member(FIRST, |member, turn| member.open_direct(agent, &other_kind, turn)).unwrap();
	assert_eq!(refused.err().unwrap().refusal(), Refusal::DoesNotOpen);
}

#[test]
fn a_stranger_is_not_let_in_to_an_agent_with_a_list() {
	let (mut world, _) = World::with_agent(5);
	let agent = world.register_agent(FIRST, Access::Listed);
	world.settle();
	let stranger = world.direct(agent, THIEF_SEED);
	let refused =
		world.member(FIRST, |member, turn| member.open_direct(agent, &stranger, turn)).unwrap();
	assert_eq!(refused.err(), Some(CallError::CallerNotAllowed));
	let owner = world.direct(agent, USER_SEED);
	assert!(world
		.member(FIRST, |member, turn| member.open_direct(agent, &owner, turn))
		.unwrap()
		.is_ok());
}

#[test]
fn an_enclave_whose_view_is_old_neither_answers_nor_runs_paid_work() {
	let (mut world, agent) = World::with_agent(6);
	let input = RequestInput::Public(call_input(b"x").encode());
	let order = world.order(agent, RequestKind::Call, input);
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.now_ms += limits::MARK_AGE_MAX_MS + 1;
	assert!(world.next_run(FIRST).is_none());
	let call = world.direct(agent, USER_SEED);
	let refused =
		world.member(FIRST, |member, turn| member.open_direct(agent, &call, turn)).unwrap();
	assert_eq!(refused.err().unwrap().refusal(), Refusal::NotFresh);
}

#[test]
fn work_of_a_refused_effect_set_is_done_again_and_counts_once() {
	let (mut world, agent) = World::with_agent(7);
	world.refuses_next = true;
	for body in [&b"one"[..], b"two"] {
		let input = RequestInput::Public(call_input(body).encode());
		let mut order = world.order(agent, RequestKind::Call, input);
		order.request = H256([body[0]; 32]);
		world.tell_cluster(RequestsMessage::Request(order));
	}
	world.seal();
	// Speculatively one on another.
	assert_eq!(world.run(FIRST).unwrap().attempt, 1);
	assert_eq!(world.run(FIRST).unwrap().attempt, 1);
	world.settle();
	assert_eq!(world.refused, 2, "the second was made on the first");
	assert!(world.results.is_empty());
	assert!(world.entries(FIRST, agent).is_empty(), "what was not committed never happened");

	assert_eq!(world.run(FIRST).unwrap().attempt, 2);
	assert_eq!(world.run(FIRST).unwrap().attempt, 1, "only the first was refused");
	world.settle();
	assert_eq!(world.results.len(), 2);
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(b"two"));
	}
}

#[test]
fn a_holder_that_lost_its_lease_gives_its_work_up_and_the_next_starts_from_what_is_committed() {
	let (mut world, agent) = World::with_agent(8);
	let input = RequestInput::Public(call_input(b"lost").encode());
	let order = world.order(agent, RequestKind::Call, input);
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	let lease = Some(Lease { worker: SECOND, boot: 1 });
	world.agents.get_mut(&agent).unwrap().lease = lease;
	world.tell_cluster(ClustersMessage::LeaseMoved { agent, lease });
	world.settle();
	assert!(world.results.is_empty(), "the old holder's set is not taken");

	let input = RequestInput::Public(call_input(b"kept").encode());
	let order = world.order(agent, RequestKind::Call, input);
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	assert!(world.next_run(FIRST).is_none());
	world.run(SECOND).unwrap();
	world.settle();
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(b"kept"));
	}
}

#[test]
fn a_member_that_joins_later_takes_only_the_bodies_that_the_chain_committed() {
	let (mut world, agent) = World::with_agent(9);
	for body in [&b"one"[..], b"two"] {
		let input = RequestInput::Public(call_input(body).encode());
		let mut order = world.order(agent, RequestKind::Call, input);
		order.request = H256([body[0]; 32]);
		world.tell_cluster(RequestsMessage::Request(order));
		world.seal();
		world.run(FIRST).unwrap();
		world.settle();
	}
	const LATER: WorkerId = 3;
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let missing = world.member(LATER, |member, _| member.missing()).unwrap();
	assert_eq!(missing, [(agent, 1, 3)]);
	let bodies: Vec<_> = world
		.member(FIRST, |member, _| member.agents[&agent].bodies.values().cloned().collect())
		.unwrap();
	let mut supply = |bodies: Vec<_>| {
		world.member(LATER, |member, turn| member.supply(agent, 1, bodies, turn)).unwrap()
	};
	let mut forged = bodies.clone();
	forged[1].ciphertext[0] ^= 1;
	assert!(!supply(forged), "a forger's body");
	let mut reordered = bodies.clone();
	reordered.swap(1, 2);
	assert!(!supply(reordered), "a reorderer's");
	assert!(!supply(bodies[..2].to_vec()), "one that holds some back");
	assert!(supply(bodies));
	assert_eq!(world.entries(LATER, agent), last(b"two"));
}

#[test]
fn a_member_keeps_bodies_for_the_lease_holder_alone() {
	let (mut world, agent) = World::with_agent(10);
	let input = RequestInput::Public(call_input(b"x").encode());
	let order = world.order(agent, RequestKind::Call, input);
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	let mut taken = world.member(FIRST, |member, turn| member.take_replications(turn)).unwrap();
	let (body, _) = taken.remove(0);
	let impostor = ReplicatedBody { worker: SECOND, ..body.clone() };
	let forged = ReplicatedBody { base_hash: H256([7; 32]), ..body.clone() };
	let mut keep = |body| {
		let kept = world.member(SECOND, |member, turn| member.keep(body, turn)).unwrap();
		kept.map(|word| word.worker).map_err(|refused| refused.refusal())
	};
	assert_eq!(keep(impostor), Err(Refusal::NotFromLeaseHolder));
	assert_eq!(keep(forged), Err(Refusal::BadSignature));
	assert_eq!(keep(body), Ok(SECOND));
}

#[test]
fn secrets_come_from_the_owner_and_reach_every_member() {
	let (mut world, agent) = World::with_agent(11);
	let body = vec![(b"OPENAI_API_KEY".to_vec(), b"sk-real".to_vec())].encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::OwnerSecrets, USER_SEED, body);
	let order = world.order(agent, RequestKind::Secrets, RequestInput::Sealed(sealed));
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	assert!(world.next_run(FIRST).is_none(), "no sandbox is needed");
	world.settle();
	assert_eq!(world.results[0].1, RequestOutcome::Answered(vec![]));
	for worker in [FIRST, SECOND] {
		let secret = world.member(worker, |member, _| {
			member.agents[&agent].state.secrets["OPENAI_API_KEY"].expose().to_vec()
		});
		assert_eq!(secret.unwrap(), b"sk-real");
	}
}

#[test]
fn a_member_that_left_holds_nothing_of_the_cluster() {
	let (mut world, agent) = World::with_agent(12);
	let identity = world.machines[&SECOND].public_keys().identity;
	world.tell(SECOND, ClustersMessage::LeftCluster { identity, cluster: CLUSTER });
	world.tell_cluster(ClustersMessage::MemberLeft { worker: SECOND });
	world.seal();
	let refused = world.member(SECOND, |member, _| member.agents.len());
	assert_eq!(refused.err(), Some(CallError::NoCluster));
	world.tell_cluster(ClustersMessage::NewGeneration { generation: 2 });
	world.settle();
	let wrapped = world.wrapped.clone().unwrap();
	assert_eq!(wrapped.generation, 2, "those who stay wrap anew");
	let input = RequestInput::Public(call_input(b"after").encode());
	let order = world.order(agent, RequestKind::Call, input);
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	world.settle();
	assert_eq!(world.entries(FIRST, agent), last(b"after"));
	let under = world.member(FIRST, |member, _| {
		member.agents[&agent].bodies.values().map(|body| body.key_number).collect::<Vec<_>>()
	});
	assert_eq!(under.unwrap(), [1, 2], "what is written since is under a new data key");
}

#[test]
fn a_direct_call_that_writes_is_answered_when_it_is_committed() {
	let (mut world, agent) = World::with_agent(13);
	let job = DirectJob {
		caller: Some(caller_of(USER_SEED)),
		input: call_input(b"direct"),
		reply: None,
		expiry: 1_000,
		request: H256([9; 32]),
		code: H256([0xc0; 32]),
	};
	let id = world.member(FIRST, |member, _| member.queue_direct(agent, job)).unwrap().unwrap();
	world.run(FIRST).unwrap();
	assert!(world.member(FIRST, |member, _| member.take_ended()).unwrap().is_empty());
	world.settle();
	let ended = world.member(FIRST, |member, _| member.take_ended()).unwrap();
	assert_eq!(ended.len(), 1);
	assert_eq!(ended[0].job, id);
	let answer = ended[0].result.as_ref().unwrap();
	let proven = ProvenAnswer::decode_all(&mut &answer[..]).unwrap();
	assert_eq!((proven.output.body, proven.proof.content.state_version), (b"direct".to_vec(), 2));
}

#[test]
fn a_new_master_key_wraps_the_same_data_keys_and_a_later_member_comes_to_them() {
	let (mut world, agent) = World::with_agent(14);
	let first = world.wrapped.clone().unwrap();
	world.start_epoch(2);
	world.settle();
	let second = world.wrapped.clone().unwrap();
	assert_eq!((first.epoch, second.epoch), (1, 2));
	let input = RequestInput::Public(call_input(b"later").encode());
	let order = world.order(agent, RequestKind::Call, input);
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	world.settle();

	const LATER: WorkerId = 3;
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let bodies: Vec<_> = world
		.member(FIRST, |member, _| member.agents[&agent].bodies.values().cloned().collect())
		.unwrap();
	assert!(bodies.iter().all(|body| body.key_number == 1));
	let taken = world.member(LATER, |member, turn| member.supply(agent, 1, bodies, turn));
	assert_eq!(taken, Ok(true));
	assert_eq!(world.entries(LATER, agent), last(b"later"));
}

#[test]
fn an_order_that_does_not_name_this_boot_is_never_run() {
	let (mut world, agent) = World::with_agent(15);
	let input = RequestInput::Public(call_input(b"x").encode());
	let order = world.order(agent, RequestKind::Call, input);
	for order in [
		RequestOrder { boot: 2, ..order.clone() },
		RequestOrder { worker: SECOND, ..order.clone() },
	] {
		world.tell_cluster(RequestsMessage::Request(order));
	}
	let late = RequestOrder { deadline: world.chain.height(), ..order };
	world.tell_cluster(RequestsMessage::Request(late));
	world.seal();
	assert!(world.next_run(FIRST).is_none());
	assert!(world.next_run(SECOND).is_none());
}

#[test]
fn a_run_on_a_state_that_was_refused_meanwhile_never_happened() {
	let (mut world, agent) = World::with_agent(16);
	for body in [&b"one"[..], b"two"] {
		let input = RequestInput::Public(call_input(body).encode());
		let mut order = world.order(agent, RequestKind::Call, input);
		order.request = H256([body[0]; 32]);
		world.tell_cluster(RequestsMessage::Request(order));
	}
	world.seal();
	world.refuses_next = true;
	world.run(FIRST).unwrap();
	// The second starts on the first's proposal, and still runs when that is refused.
	let run = world.next_run(FIRST).unwrap();
	assert_eq!(run.state.entries.len(), 1);
	world.settle();
	assert_eq!(world.refused, 1);
	let (agent_id, job) = (run.agent, run.job);
	let writes = vec![("balance".into(), Some(b"made of nothing".to_vec()))];
	let output = CallOutput::default();
	let done = RunDone { output, writes, units: 1, unproven_inputs: 0 };
	world.member(FIRST, |member, turn| member.finish_run(agent_id, job, Ok(done), turn)).unwrap();
	world.settle();
	assert!(world.results.is_empty());
	assert!(world.entries(FIRST, agent).is_empty());
	world.run(FIRST).unwrap();
	world.run(FIRST).unwrap();
	world.settle();
	assert_eq!(world.results.len(), 2);
	assert_eq!(world.entries(SECOND, agent), last(b"two"));
}

#[test]
fn a_request_that_nobody_can_run_is_answered_with_a_failure_before_its_deadline() {
	let (mut world, agent) = World::with_agent(17);
	let input = RequestInput::Public(call_input(b"x").encode());
	let mut order = world.order(agent, RequestKind::Call, input);
	order.deadline = world.chain.height() + limits::SETTLE_LEAD + 4;
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	// Its code never comes.
	let none = world.member(FIRST, |member, turn| member.next_run(H256::zero(), |_| false, turn));
	assert!(none.unwrap().is_none());
	for _ in 0..4 {
		world.seal();
	}
	world.settle();
	assert_eq!(world.results[0].1, RequestOutcome::Failed(Refusal::TooLate.code()));
}

#[test]
fn a_request_for_later_does_not_hold_up_those_behind_it() {
	let (mut world, agent) = World::with_agent(18);
	for (body, min_block) in [(&b"later"[..], 1_000), (b"now", 0)] {
		let input = RequestInput::Public(call_input(body).encode());
		let order = world.order(agent, RequestKind::Call, input);
		let order =
			RequestOrder { request: H256([body[0]; 32]), min_block, deadline: 2_000, ..order };
		world.tell_cluster(RequestsMessage::Request(order));
	}
	world.seal();
	let run = world.run(FIRST).unwrap();
	assert_eq!(run.input.body, b"now");
	assert!(world.next_run(FIRST).is_none());
}
