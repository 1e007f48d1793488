//! A gatekeeper and two members of a cluster, on a chain that does what the pallets do with their
//! envelopes, and nothing more.

use super::*;
use crate::{
	action::CallId,
	worker::{Entries, Run, RunDone},
	ReplicatedBody,
};
use codec::Decode;
use phala_keys::{
	hpke::{DecryptionKey, EncryptionKey},
	input::{seal_input, InputContext, InputKind, SealedInput},
	pages::PageHeader,
	secret::{Secret32, SecretBytes},
	sr25519::{public_of_published_seed, sign_with_published_seed},
};
use phala_protocol::{
	agents::{
		agent_id, Access, AgentCode, AgentId, AgentKey, AgentRecord, AgentSnapshot, EffectSet,
		Lease, UpgradePolicy,
	},
	caller::Caller,
	clusters::{ClusterSnapshot, Member, WrappedKeys},
	keys::{Epoch, KeyRequest, MasterKey, Seat},
	limits::CHALLENGE_BLOCKS,
	mailbox::{ByLane, ClusterId, Envelope, Lane},
	messages::{
		AgentsMessage, AgentsPayload, ClustersMessage, ClustersPayload, KeysMessage, KeysPayload,
		RequestsMessage, Subscription,
	},
	relay::ChannelBodies,
	requests::{
		request_id, CallInput, CallOutput, CallerSignature, DirectCall, DirectCallContent,
		RequestInput, RequestKind, RequestOrder, RequestOutcome, RequestResult,
	},
	BlockNumber, H256,
};
use std::collections::{BTreeMap, BTreeSet};

pub const GATEKEEPER: WorkerId = 0;
pub const FIRST: WorkerId = 1;
pub const SECOND: WorkerId = 2;
pub const CLUSTER: ClusterId = 5;
pub const USER_SEED: [u8; 32] = [0x55; 32];
pub const THIEF_SEED: [u8; 32] = [0x66; 32];
pub const PLAINTEXT: &[u8] = b"what the user keeps to itself";

pub fn account(seed: [u8; 32]) -> AccountBytes {
	public_of_published_seed(seed)
}

pub fn caller_of(seed: [u8; 32]) -> Caller {
	Caller::Account(account(seed))
}

/// The pallets, in as few lines as they can be, and the relayers.
pub struct World {
	pub chain: TestChain,
	pub nodes: BTreeMap<WorkerId, Node>,
	pub consumed: BTreeMap<WorkerId, ByLane<u64>>,
	pub rng: ChaCha20Rng,
	pub now: Instant,
	pub seats: Vec<Seat>,
	pub master: Option<MasterKey>,
	pub wrapped: Option<WrappedKeys>,
	pub generation: u32,
	pub members: Vec<Member>,
	pub agents: BTreeMap<AgentId, AgentSnapshot>,
	pub results: Vec<(H256, RequestOutcome)>,
	/// Key releases that came to the chain.
	pub releases: usize,
	/// Effect sets that were not on the current version, not by the lease holder, kept by too few, or
	/// with an answer to what is settled.
	pub refused: usize,
	/// Refuses the next effect set, for none of these reasons.
	pub refuses_next: bool,
	/// The ceremony under way.
	pub ceremony: (Epoch, u32),
	/// The components that callers name; none: any.
	pub accepted: Vec<H256>,
	/// Nonce and expiry of what is sealed; new ones each time if there are none.
	pub conversation: Option<([u8; 32], BlockNumber)>,
	/// They neither hear nor say anything.
	pub hung: BTreeSet<WorkerId>,
	/// Members that do not count for a majority until they give a sign of life.
	pub set_aside: BTreeSet<WorkerId>,
	/// What members said of lease holders that do not answer, and these of themselves.
	pub said: Vec<(WorkerId, ClustersPayload)>,
	/// Who is challenged: since which block, and how many of its envelopes there were then.
	pub challenged: BTreeMap<WorkerId, (BlockNumber, ByLane<u64>)>,
}

impl World {
	/// Three registered boots, nothing else.
	pub fn new(seed: u64) -> Self {
		let mut world = Self {
			chain: TestChain::new(seed, 4),
			nodes: BTreeMap::new(),
			consumed: BTreeMap::new(),
			rng: ChaCha20Rng::seed_from_u64(seed),
			now: START,
			seats: Vec::new(),
			master: None,
			wrapped: None,
			generation: 1,
			members: Vec::new(),
			agents: BTreeMap::new(),
			results: Vec::new(),
			releases: 0,
			refused: 0,
			refuses_next: false,
			ceremony: (0, 0),
			accepted: Vec::new(),
			conversation: None,
			hung: BTreeSet::new(),
			set_aside: BTreeSet::new(),
			said: Vec::new(),
			challenged: BTreeMap::new(),
		};
		world.chain.seal();
		for worker in [GATEKEEPER, FIRST, SECOND] {
			world.boot(worker);
		}
		world
	}

	pub fn boot(&mut self, worker: WorkerId) {
		let config = Config { genesis: self.chain.genesis(), worker };
		let mut node = Node::boot(config, self.now, &mut self.rng);
		let genesis = Box::new(node.snapshot.prove_genesis(self.chain.genesis_bundle()).unwrap());
		node.ask(|reply| Event::Genesis { reply, genesis }).unwrap();
		self.nodes.insert(worker, node);
		self.seal();
		let keys = self.nodes[&worker].machine.public_keys();
		self.tell(worker, RegistryMessage::Registered { boot: 1, keys, expires_at: 100_000 });
		if let Some(master) = self.master.clone() {
			self.tell(worker, KeysMessage::MasterKey(master));
		}
		self.consumed.insert(worker, ByLane::default());
		self.consume(worker);
		self.seal();
	}

	pub fn node(&mut self, worker: WorkerId) -> &mut Node {
		self.nodes.get_mut(&worker).unwrap()
	}

	/// Time passes for all.
	pub fn wait(&mut self, ms: u64) {
		self.now = self.now.after_ms(ms);
		for node in self.nodes.values_mut() {
			node.now = self.now;
		}
	}

	pub fn consume(&mut self, worker: WorkerId) {
		let next = InboundNext { boot: 1, seqs: self.consumed[&worker] };
		self.chain.put(storage_keys::mailbox_next_envelope(worker), next.encode());
	}

	pub fn tell(&mut self, worker: WorkerId, message: impl Into<Message>) {
		self.chain.push(Channel::Worker(worker), message.into().encode());
	}

	pub fn tell_cluster(&mut self, message: impl Into<Message>) {
		let message = message.into();
		if let Message::Clusters(ClustersMessage::NewGeneration { generation }) = &message {
			self.generation = *generation;
		}
		self.chain.push(Channel::Cluster(CLUSTER), message.encode());
	}

	/// Seals a block and brings it to every machine.
	pub fn seal(&mut self) {
		self.chain.seal();
		for worker in self.awake() {
			self.relay(worker);
		}
	}

	fn awake(&self) -> Vec<WorkerId> {
		self.nodes.keys().copied().filter(|worker| !self.hung.contains(worker)).collect()
	}

	/// As `SIGSTOP` does it: connections are taken, nothing is answered.
	pub fn hang(&mut self, worker: WorkerId) {
		self.hung.insert(worker);
		for node in self.nodes.values_mut() {
			node.silent.insert(worker);
		}
	}

	/// As `SIGCONT` does it.
	pub fn wake(&mut self, worker: WorkerId) {
		self.hung.remove(&worker);
		for node in self.nodes.values_mut() {
			node.silent.remove(&worker);
		}
		self.relay(worker);
	}

	/// Time passes, and everybody awake notices.
	pub fn tick(&mut self, ms: u64) {
		self.wait(ms);
		for worker in self.awake() {
			self.node(worker).tell(Event::Tick);
		}
	}

	pub fn relay(&mut self, worker: WorkerId) {
		self.relay_to(worker, self.chain.height());
	}

	/// A relayer that brings no more than up to there.
	pub fn relay_to(&mut self, worker: WorkerId, height: BlockNumber) {
		let bundle = self.bundle_to(worker, height);
		let node = self.node(worker);
		let bundle = Box::new(node.snapshot.prove(bundle).unwrap());
		node.ask(|reply| Event::Synced { reply, bundle }).unwrap();
	}

	#[cfg(feature = "recording")]
	pub fn bundle(&self, worker: WorkerId) -> SyncBundle {
		self.bundle_to(worker, self.chain.height())
	}

	fn bundle_to(&self, worker: WorkerId, to: BlockNumber) -> SyncBundle {
		let machine = &self.nodes[&worker].machine;
		let status = machine.status();
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
					// It may have left, and joined again.
					from.entry(channel).or_insert(head.next_seq);
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
				.map(|(channel, seq)| ChannelBodies {
					channel,
					messages: self.chain.messages(channel, seq, to),
				})
				.filter(|bodies| !bodies.messages.is_empty())
				.collect(),
		}
	}

	/// An envelope is in a block, and its payload takes effect.
	pub fn land(&mut self, worker: WorkerId, envelope: &Envelope) {
		let payload = Payload::decode_all(&mut &envelope.payload[..]).unwrap();
		assert_eq!(payload.lane(), envelope.lane);
		let consumed = self.consumed.entry(worker).or_default();
		*consumed.of_mut(envelope.lane) = envelope.seq + 1;
		self.receive(worker, payload);
	}

	/// All that a boot has for the chain is in the next block.
	pub fn land_all(&mut self, worker: WorkerId) {
		for envelope in self.nodes[&worker].snapshot.envelopes.clone() {
			self.land(worker, &envelope);
		}
		self.consume(worker);
	}

	/// The next block: of each boot's envelopes those that are not held up, in their order.
	pub fn block(&mut self, is_late: impl Fn(WorkerId, &Payload) -> bool) {
		for worker in self.awake() {
			for envelope in self.nodes[&worker].snapshot.envelopes.clone() {
				let payload = Payload::decode_all(&mut &envelope.payload[..]).unwrap();
				let is_next = envelope.seq == *self.consumed[&worker].of(envelope.lane);
				if is_next && !is_late(worker, &payload) {
					self.land(worker, &envelope);
				}
			}
			self.consume(worker);
		}
		self.seal();
	}

	/// Replicates, submits all envelopes, does what the pallets do, seals. Until nothing happens.
	pub fn settle(&mut self) {
		self.seal();
		for _ in 0..20 {
			self.replicate();
			let mut anything = false;
			for worker in self.awake() {
				for envelope in self.nodes[&worker].snapshot.envelopes.clone() {
					if envelope.seq == *self.consumed[&worker].of(envelope.lane) {
						self.land(worker, &envelope);
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

	pub fn replicate(&mut self) {
		for worker in self.nodes.keys().copied().collect::<Vec<_>>() {
			while let Some((to, body)) = self.node(worker).sends.pop_front() {
				let answer = self.bring_body(to.worker, (*body).clone());
				self.node(worker).body_sent(&to, &body, answer);
			}
		}
	}

	/// A body comes to a member, as over HTTP.
	pub fn bring_body(
		&mut self,
		to: WorkerId,
		body: ReplicatedBody,
	) -> Result<Answer, MachineError> {
		if self.hung.contains(&to) {
			return Err(MachineError::NoCluster);
		}
		let Some(node) = self.nodes.get_mut(&to) else { return Err(MachineError::NoCluster) };
		let body = Box::new(node.snapshot.verify_body(body)?);
		let id = node.call(|reply| Event::BodyBrought { reply, body });
		// Until its disk has it, or what comes before it has come.
		node.replies.remove(&id).unwrap_or(Err(MachineError::Busy))
	}

	pub fn receive(&mut self, worker: WorkerId, payload: Payload) {
		match payload {
			Payload::Keys(KeysPayload::MasterKeyConfirmed { epoch, attempt, outcome }) => {
				if self.ceremony != (epoch, attempt) {
					return;
				}
				self.ceremony = (0, 0);
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
				let request = KeyRequest { worker, boot: 1, cluster, generation, ephemeral_key };
				let message = Message::Keys(KeysMessage::KeyRequested(request));
				self.chain.push(Channel::Gatekeepers, message.encode());
			}
			Payload::Keys(KeysPayload::KeyReleased { request, release }) => {
				self.releases += 1;
				let (cluster, generation) = (request.cluster, request.generation);
				let told = KeysMessage::KeyRelease { boot: 1, cluster, generation, release };
				self.tell(request.worker, told);
			}
			Payload::Clusters(ClustersPayload::KeysWrapped { keys, .. }) => {
				let of = Some((keys.epoch, keys.generation));
				let known = self.wrapped.as_ref().map(|keys| (keys.epoch, keys.generation));
				if of == self.wrapping_in_force() && of != known && self.is_member(worker) {
					self.wrapped = Some(keys.clone());
					self.tell_cluster(ClustersMessage::KeysWrapped(keys));
				}
			}
			Payload::Agents(AgentsPayload::EffectSet(set)) => self.commit(worker, set),
			Payload::Clusters(said) => self.hear(worker, said),
			Payload::Registry(RegistryPayload::Heartbeat { nonce }) => {
				self.tell(worker, RegistryMessage::HeartbeatSeen { boot: 1, nonce });
			}
			_ => {}
		}
	}

	/// What a set of keys must be wrapped for.
	pub fn wrapping_in_force(&self) -> Option<(Epoch, u32)> {
		self.master.as_ref().map(|master| (master.epoch, self.generation))
	}

	fn is_member(&self, worker: WorkerId) -> bool {
		self.members.iter().any(|member| member.worker == worker)
	}

	/// A challenge, as the pallet has it.
	fn hear(&mut self, by: WorkerId, said: ClustersPayload) {
		let block = self.chain.height() + 1;
		match &said {
			ClustersPayload::HolderSilent { holder, boot } => {
				let (holder, boot) = (*holder, *boot);
				self.challenged.insert(holder, (block, self.consumed[&holder]));
				let told = ClustersMessage::HolderChallenged { holder, boot, by, block };
				self.tell_cluster(told);
			}
			ClustersPayload::HolderStillSilent { holder, challenged_at, .. } => {
				let is_it = self.challenged.get(holder).is_some_and(|(at, envelopes)| {
					at == challenged_at
						&& block >= at + CHALLENGE_BLOCKS
						&& self.consumed[holder] == *envelopes
				});
				if is_it {
					self.challenged.remove(holder);
					self.move_leases(*holder, by);
				}
			}
			_ => {}
		}
		self.said.push((by, said));
	}

	fn move_leases(&mut self, from: WorkerId, to: WorkerId) {
		let lease = Some(Lease { worker: to, boot: 1 });
		let mut moved = Vec::new();
		for (agent, snapshot) in &mut self.agents {
			if snapshot.lease.is_some_and(|lease| lease.worker == from) {
				snapshot.lease = lease;
				moved.push(*agent);
			}
		}
		for agent in moved {
			self.tell_cluster(ClustersMessage::LeaseMoved { agent, lease });
		}
	}

	pub fn commit(&mut self, worker: WorkerId, set: EffectSet) {
		let snapshot = self.agents.get_mut(&set.agent).unwrap();
		let record = &mut snapshot.record;
		let lease = Some(Lease { worker, boot: 1 });
		let refused = std::mem::take(&mut self.refuses_next);
		let counts = |member: &&Member| !self.set_aside.contains(&member.worker);
		let members = self.members.iter().filter(counts).count() as u32;
		let is_short = set.availability.len() as u32 + 1
			< phala_protocol::agents::availability_quorum(members);
		let settled = |result: &RequestResult| {
			self.results.iter().any(|(request, _)| *request == result.request)
		};
		let is_settled = set.results.iter().any(settled);
		let stale = (record.version, record.state_hash) != (set.base_version, set.base_hash);
		if refused || is_short || is_settled || stale || snapshot.lease != lease {
			self.refused += 1;
			return;
		}
		record.version += 1;
		record.state_hash = set.new_hash;
		record.key = record.key.or(set.key);
		let (version, state_hash) = (record.version, record.state_hash);
		let EffectSet { agent, results, .. } = set;
		self.tell_cluster(AgentsMessage::Committed { agent, version, state_hash, worker });
		self.results.extend(results.into_iter().map(|result| (result.request, result.outcome)));
	}

	pub fn seat_gatekeeper(&mut self) {
		let keys = self.nodes[&GATEKEEPER].machine.public_keys();
		let head = self.chain.channel_head(Channel::Gatekeepers);
		self.tell(GATEKEEPER, KeysMessage::SeatedAsGatekeeper { identity: keys.identity, head });
		self.seats = vec![Seat { worker: GATEKEEPER, boot: 1, keys }];
		self.start_epoch(1);
	}

	/// The chain seats the same gatekeeper again.
	pub fn start_epoch(&mut self, epoch: Epoch) {
		self.start_attempt(epoch, 0);
	}

	/// The same, before the attempt under way came to its end.
	pub fn start_attempt(&mut self, epoch: Epoch, attempt: u32) {
		self.ceremony = (epoch, attempt);
		let message = KeysMessage::Seated { epoch, attempt, seats: self.seats.clone() };
		self.chain.push(Channel::Gatekeepers, Message::Keys(message).encode());
	}

	pub fn join(&mut self, worker: WorkerId) {
		let identity = self.nodes[&worker].machine.public_keys().identity;
		let member = Member { worker, boot: 1, identity, endpoint: b"http://nowhere".to_vec() };
		self.members.retain(|member| member.worker != worker);
		self.members.push(member.clone());
		let snapshot = ClusterSnapshot {
			cluster: CLUSTER,
			head: self.chain.channel_head(Channel::Cluster(CLUSTER)),
			generation: self.generation,
			members: self.members.clone(),
			keys: self.wrapped.clone(),
		};
		self.tell(worker, ClustersMessage::JoinedCluster { identity, snapshot });
		for agent in self.agents.values().cloned().collect::<Vec<_>>() {
			self.tell(worker, AgentsMessage::Agent(agent));
		}
		self.tell_cluster(ClustersMessage::Member(member));
	}

	/// A member leaves, and the cluster begins a generation without it.
	pub fn leave(&mut self, worker: WorkerId, generation: u32) {
		let identity = self.nodes[&worker].machine.public_keys().identity;
		self.tell(worker, ClustersMessage::LeftCluster { identity, cluster: CLUSTER });
		self.tell_cluster(ClustersMessage::MemberLeft { worker });
		self.members.retain(|member| member.worker != worker);
		self.tell_cluster(ClustersMessage::NewGeneration { generation });
	}

	pub fn register_agent(&mut self, holder: WorkerId, access: Access) -> AgentId {
		self.register_agent_with(holder, access, 0xc0)
	}

	pub fn register_agent_with(
		&mut self,
		holder: WorkerId,
		access: Access,
		component: u8,
	) -> AgentId {
		let agent = agent_id(self.chain.genesis(), self.agents.len() as u64);
		let code = AgentCode { component: H256([component; 32]), manifest: H256([0xaf; 32]) };
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

	pub fn key(&self, agent: AgentId) -> AgentKey {
		self.agents[&agent].record.key.unwrap()
	}

	/// A cluster of two with keys and one agent that the first writes.
	pub fn with_agent(seed: u64) -> (Self, AgentId) {
		let mut world = Self::new(seed);
		world.seat_gatekeeper();
		world.join(FIRST);
		world.join(SECOND);
		world.settle();
		let agent = world.register_agent(FIRST, Access::Public);
		world.settle();
		(world, agent)
	}

	pub fn entries(&self, worker: WorkerId, agent: AgentId) -> Vec<(String, Vec<u8>)> {
		let entries: &Entries = &self.nodes[&worker].snapshot.agent(agent).unwrap().state.entries;
		entries.iter().map(|(key, value)| (key.clone(), value.to_vec())).collect()
	}

	/// Numbers of the data keys that a member's disk has of an agent's pages.
	pub fn keys_on_disk(&self, worker: WorkerId, agent: AgentId) -> BTreeSet<u32> {
		let pages = self.nodes[&worker].disk.iter().filter(|((of, _), _)| *of == agent);
		let header = |bytes: &Vec<u8>| PageHeader::decode(&mut &bytes[..]).unwrap().generation;
		pages.map(|(_, bytes)| header(bytes)).collect()
	}

	/// Starts a worker anew, with the disk that it had.
	pub fn restart(&mut self, worker: WorkerId) {
		let disk = std::mem::take(&mut self.node(worker).disk);
		self.boot(worker);
		self.node(worker).disk = disk;
	}

	pub fn next_run(&mut self, worker: WorkerId) -> Option<Run> {
		self.node(worker).runs.pop_front()
	}

	/// The sandbox: writes the input's body under `last`.
	pub fn run(&mut self, worker: WorkerId) -> Option<Run> {
		let run = self.next_run(worker)?;
		let done = RunDone {
			output: CallOutput { status: 200, headers: vec![], body: run.input.body.clone() },
			writes: vec![("last".into(), Some(run.input.body.clone()))],
			units: 3,
			unproven_inputs: 0,
		};
		self.node(worker).end_run(&run, done);
		Some(run)
	}

	/// A public order of `body` to the agent's lease holder.
	pub fn public_order(&mut self, agent: AgentId, body: &[u8]) -> RequestOrder {
		let input = RequestInput::Public(call_input(body).encode());
		let mut order = self.order(agent, RequestKind::Call, input);
		order.request = H256([body[0]; 32]);
		order
	}

	/// A paid request of a stranger to the agent's lease holder, told in the block that comes next.
	pub fn request(&mut self, agent: AgentId, body: &[u8]) {
		let order = self.public_order(agent, body);
		self.tell_cluster(RequestsMessage::Request(order));
	}

	/// The same in a block, and the first member runs it; what it made is sent to nobody yet.
	pub fn request_and_run(&mut self, agent: AgentId, body: &[u8]) {
		self.request(agent, body);
		self.seal();
		self.run(FIRST).expect("it is ordered, and its keys are there");
	}

	/// The same until it is committed.
	pub fn request_and_commit(&mut self, agent: AgentId, body: &[u8]) {
		self.request_and_run(agent, body);
		self.settle();
		self.tick(limits::PEER_RETRY_MS);
		self.settle();
	}

	/// Opens and brings a direct call.
	pub fn call(
		&mut self,
		worker: WorkerId,
		agent: AgentId,
		call: &DirectCall,
	) -> Result<CallId, MachineError> {
		let node = self.node(worker);
		let call = Box::new(node.snapshot.open_call(agent, call, node.now)?);
		Ok(node.call(|reply| Event::Called { reply, call }))
	}

	pub fn seal_for(
		&mut self,
		agent: AgentId,
		kind: InputKind,
		seed: [u8; 32],
		body: Vec<u8>,
	) -> (Vec<u8>, DecryptionKey, [u8; 32]) {
		let reply = DecryptionKey::generate(&mut self.rng);
		let (sealed, nonce) = self.seal_with(agent, kind, seed, reply.public(), body);
		(sealed, reply, nonce)
	}

	/// With any reply key, one that nobody has too.
	pub fn seal_with(
		&mut self,
		agent: AgentId,
		kind: InputKind,
		seed: [u8; 32],
		reply_key: EncryptionKey,
		body: Vec<u8>,
	) -> (Vec<u8>, [u8; 32]) {
		let key = self.key(agent);
		let (nonce, expiry_block) = self.conversation.unwrap_or_else(|| {
			(*Secret32::random(&mut self.rng).expose(), self.chain.height() + 100)
		});
		let input = SealedInput {
			caller: caller_of(seed),
			nonce,
			reply_key,
			accepted_code_hashes: self.accepted.clone(),
			expiry_block,
			body: SecretBytes::new(body),
		};
		let context = InputContext::new(self.chain.genesis(), agent, key.version, kind);
		let sealed = seal_input(&mut self.rng, &EncryptionKey(key.key), &context, &input).unwrap();
		(sealed.encode(), nonce)
	}

	pub fn order(
		&mut self,
		agent: AgentId,
		kind: RequestKind,
		input: RequestInput,
	) -> RequestOrder {
		let consumed =
			|next: &ByLane<u64>| Lane::ALL.map(|lane| *next.of(lane)).iter().sum::<u64>();
		let number = self.consumed.values().map(consumed).sum::<u64>() + self.results.len() as u64;
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

	pub fn direct(&mut self, agent: AgentId, seed: [u8; 32]) -> DirectCall {
		let body = call_input(PLAINTEXT).encode();
		let (sealed, ..) = self.seal_for(agent, InputKind::Direct, USER_SEED, body);
		let caller = caller_of(seed);
		let content = DirectCallContent::new(self.chain.genesis(), agent, caller, &sealed);
		let signature = CallerSignature::Sr25519(sign_with_published_seed(seed, &content.encode()));
		DirectCall { caller, sealed, signature }
	}
}

pub fn call_input(body: &[u8]) -> CallInput {
	CallInput {
		method: b"POST".to_vec(),
		path: b"/keep".to_vec(),
		headers: vec![],
		body: body.to_vec(),
	}
}

pub fn last(body: &[u8]) -> Vec<(String, Vec<u8>)> {
	vec![("last".into(), body.to_vec())]
}
