//! Those who send extrinsics, each as it likes: most of what they try is refused.

mod institutions;

use super::{chain::Chain, Random};
use crate::*;
use codec::Encode;
use pallet_registry::EvictionReason;
use pallet_staking::RewardDestination;
use phala_protocol::{
	agents::{
		Access, AgentCode, AgentId, AgentKey, Availability, AvailabilityContent, EffectSet,
		UpgradePolicy,
	},
	boot::{BootKeys, BootNumber, BootStatement, WorkerId},
	clusters::Opening,
	evidence::{
		Evidence, SoftwareEvidence, SoftwareReport, SoftwareReportContent, DEVELOPMENT_ROOT_SEED,
	},
	mailbox::{Envelope, InboundNext, Lane},
	messages::{AgentsPayload, ClustersPayload, Payload, RegistryPayload},
	refusals::Refusal,
	requests::{RequestId, RequestInput, RequestKind, RequestOutcome, RequestResult, RequestState},
	traits::ClusterDirectory,
	H256,
};
use sp_core::{sr25519, Pair};
use sp_runtime::{ApplyExtrinsicResult, MultiAddress, Permill};
use std::collections::BTreeMap;

const MEASUREMENT: H256 = H256::repeat_byte(0xc0);
const NEXT_MEASUREMENT: H256 = H256::repeat_byte(0xc1);
const ENDPOINT: &[u8] = b"http://a.worker:1";
const USERS: usize = 10;
/// The first users are those of genesis, Alice among them; the others begin with nothing.
const WELL_KNOWN: [&str; 6] = ["//Alice", "//Bob", "//Charlie", "//Dave", "//Eve", "//Ferdie"];

/// What a run that is long enough has seen done.
pub const MUST_HAPPEN: [&str; 29] = [
	"transferred",
	"registered a worker",
	"registered a boot",
	"evicted a worker",
	"put more at stake",
	"let stake leave",
	"took a worker over",
	"created a cluster",
	"joined a cluster",
	"left a cluster",
	"registered an agent",
	"bore an agent",
	"submitted a request",
	"answered a request",
	"missed a deadline",
	"paid for a missed deadline",
	"bonded",
	"voted",
	"vested",
	"spent of the treasury",
	"funded a bounty",
	"took a bounty",
	"took a part of a bounty",
	"named a deputy",
	"asked for another's word",
	"said who it is",
	"applied for a seat",
	"seated a gatekeeper",
	"delisted code",
];

/// A worker's enclave: who speaks for its newest boot.
struct Enclave {
	pair: sr25519::Pair,
	boot: BootNumber,
}

pub struct Actors {
	users: Vec<sr25519::Pair>,
	enclaves: BTreeMap<WorkerId, Enclave>,
	happened: BTreeMap<&'static str, u64>,
	done: u64,
	refused: u64,
	boots: u64,
	referenda: u32,
}

type Act = fn(&mut Actors, &mut Chain, &mut Random);

/// What may be done, and how often it is tried.
const ACTS: &[(u64, Act)] = &[
	(6, Actors::transfer),
	(3, Actors::register_worker),
	(6, Actors::boot),
	(1, Actors::evict),
	(1, Actors::close_worker),
	(4, Actors::change_bond),
	(2, Actors::hand_worker_over),
	(2, Actors::probe),
	(2, Actors::create_cluster),
	(5, Actors::ask_to_join),
	(5, Actors::approve),
	(1, Actors::leave),
	(1, Actors::open_or_close_cluster),
	(4, Actors::register_agent),
	(3, Actors::change_agent),
	(2, Actors::give_agent_up_or_away),
	(12, Actors::submit_request),
	(16, Actors::commit),
	(4, Actors::beat),
	(12, Actors::see_finality),
	(2, Actors::ask_for_keys),
	(6, Actors::stake),
	(3, Actors::vote),
	(2, Actors::vest),
	(1, Actors::spend),
	(2, Actors::pay_out),
	(3, Actors::work_on_bounties),
	(1, Actors::name_deputies),
	(1, Actors::act_together),
	(1, Actors::say_who),
	(1, Actors::keep_keys),
	(1, Actors::change_policy),
];

impl Actors {
	/// Nobody has done anything.
	pub fn new() -> Self {
		let well_known = WELL_KNOWN.iter().map(|uri| (*uri).to_owned());
		let others = (WELL_KNOWN.len()..USERS).map(|n| format!("//Stranger{n}"));
		let users = well_known
			.chain(others)
			.map(|uri| sr25519::Pair::from_string(&uri, None).expect("a development URI"))
			.collect();
		Self {
			users,
			enclaves: BTreeMap::new(),
			happened: BTreeMap::new(),
			done: 0,
			refused: 0,
			boots: 0,
			referenda: 0,
		}
	}

	/// What a block did by itself when it began.
	pub fn see(&mut self) {
		for record in System::events() {
			match record.event {
				RuntimeEvent::Requests(pallet_requests::Event::RequestExpired {
					penalty, ..
				}) => {
					self.note("missed a deadline");
					if penalty > 0 {
						self.note("paid for a missed deadline");
					}
				}
				_ => continue,
			}
		}
	}

	/// Extrinsics that did what they should, and others.
	pub fn counts(&self) -> (u64, u64) {
		(self.done, self.refused)
	}

	pub fn happened(&self, kind: &str) -> u64 {
		self.happened.get(kind).copied().unwrap_or_default()
	}

	fn note(&mut self, kind: &'static str) {
		*self.happened.entry(kind).or_default() += 1;
	}

	/// Somebody does something.
	pub fn act(&mut self, chain: &mut Chain, random: &mut Random) {
		let all: u64 = ACTS.iter().map(|(often, _)| often).sum();
		let mut place = random.below(all);
		for (often, act) in ACTS {
			if place < *often {
				return act(self, chain, random);
			}
			place -= often;
		}
	}

	fn user(&self, random: &mut Random) -> sr25519::Pair {
		random.pick(&self.users).expect("there are users").clone()
	}

	fn account(&self, random: &mut Random) -> AccountId {
		self.user(random).public().into()
	}

	/// Mostly the one it belongs to, else a thief.
	fn owner_or_thief(&self, owner: &AccountId, random: &mut Random) -> sr25519::Pair {
		let owner = self.users.iter().find(|user| AccountId::from(user.public()) == *owner);
		match owner {
			Some(owner) if !random.one_in(8) => owner.clone(),
			_ => self.user(random),
		}
	}

	fn count(&mut self, result: ApplyExtrinsicResult) -> bool {
		let is_done = matches!(result, Ok(Ok(())));
		if is_done {
			self.done += 1;
		} else {
			self.refused += 1;
		}
		is_done
	}

	fn send(
		&mut self,
		chain: &mut Chain,
		by: &sr25519::Pair,
		kind: &'static str,
		call: impl Into<RuntimeCall>,
	) -> bool {
		let result = chain.submit(by, call.into());
		let is_done = self.count(result);
		if is_done {
			self.note(kind);
		}
		is_done
	}

	fn amount(random: &mut Random) -> Balance {
		let exponent = random.below(20) as u32;
		Balance::from(random.below(9) + 1) * 10u128.pow(exponent)
	}

	fn transfer(&mut self, chain: &mut Chain, random: &mut Random) {
		let (by, dest) = (self.user(random), MultiAddress::Id(self.account(random)));
		let value = Self::amount(random);
		let call = match random.below(3) {
			0 => pallet_balances::Call::transfer_keep_alive { dest, value },
			1 => pallet_balances::Call::transfer_allow_death { dest, value },
			// Of a stranger alone: who has all ends the run for many.
			_ if random.one_in(20) => {
				pallet_balances::Call::transfer_all { dest, keep_alive: random.one_in(2) }
			}
			_ => pallet_balances::Call::transfer_keep_alive { dest, value: 2_000 * currency::PHA },
		};
		self.send(chain, &by, "transferred", call);
	}

	fn register_worker(&mut self, chain: &mut Chain, random: &mut Random) {
		if pallet_registry::Measurements::<Runtime>::get(MEASUREMENT).is_none() {
			let allow = pallet_registry::Call::allow_measurement { measurement: MEASUREMENT };
			let call = Box::new(RuntimeCall::from(allow));
			let alice = self.users[0].clone();
			self.send(chain, &alice, "allowed code", pallet_sudo::Call::sudo { call });
		}
		if pallet_registry::Workers::<Runtime>::iter_keys().count() > 8 {
			return;
		}
		let by = self.user(random);
		self.send(chain, &by, "registered a worker", pallet_registry::Call::register_worker {});
	}

	fn some_worker(&self, random: &mut Random) -> Option<(WorkerId, AccountId)> {
		let mut workers: Vec<_> = pallet_registry::Workers::<Runtime>::iter()
			.map(|(worker, record)| (worker, record.operator))
			.collect();
		workers.sort();
		random.pick(&workers).cloned()
	}

	fn boot(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some((worker, operator)) = self.some_worker(random) else { return };
		// Most boots go on living.
		let lives = pallet_registry::Boots::<Runtime>::contains_key(worker);
		if lives && !random.one_in(12) {
			return;
		}
		self.boots += 1;
		let pair = sr25519::Pair::from_seed(&random.bytes());
		let keys = BootKeys { identity: pair.public().0, encryption: random.bytes() };
		let recent_block = System::block_number() - 1;
		let statement = BootStatement::new(
			System::block_hash(0),
			worker,
			operator.clone().into(),
			keys,
			System::block_hash(recent_block),
		);
		let codes = [MEASUREMENT, NEXT_MEASUREMENT].into_iter();
		let listed: Vec<_> = codes
			.filter(|code| pallet_registry::Measurements::<Runtime>::contains_key(code))
			.collect();
		let Some(measurement) = random.pick(&listed).copied() else { return };
		let report = SoftwareReport {
			measurement,
			platform: H256::from_low_u64_be(u64::from(worker) + 1),
			report_data: statement.report_data(),
			debug: random.one_in(20),
		};
		let root = sr25519::Pair::from_seed(&DEVELOPMENT_ROOT_SEED);
		let signature = root.sign(&SoftwareReportContent::new(&report).encode()).0;
		let evidence = Evidence::Software(SoftwareEvidence { report, signature }).encode();
		let by = self.owner_or_thief(&operator, random);
		let call = pallet_registry::Call::register_boot { worker, keys, evidence, recent_block };
		if self.send(chain, &by, "registered a boot", call) {
			let boot = pallet_registry::Boots::<Runtime>::get(worker).expect("it is registered");
			self.enclaves.insert(worker, Enclave { pair, boot: boot.number });
		}
	}

	fn evict(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some((worker, _)) = self.some_worker(random) else { return };
		if random.one_in(2) {
			let by = self.user(random);
			let evict = pallet_registry::Call::evict { worker };
			self.send(chain, &by, "evicted a delisted worker", evict);
			return;
		}
		let slash = Permill::from_percent(random.below(101) as u32);
		let reason = EvictionReason::Fault { slash };
		let evict = pallet_registry::Call::evict_for { worker, reason };
		let before = pallet_registry::Boots::<Runtime>::contains_key(worker);
		let call = Box::new(RuntimeCall::from(evict));
		let alice = self.users[0].clone();
		self.send(chain, &alice, "commanded", pallet_sudo::Call::sudo { call });
		if before && !pallet_registry::Boots::<Runtime>::contains_key(worker) {
			self.note("evicted a worker");
		}
	}

	fn close_worker(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some((worker, operator)) = self.some_worker(random) else { return };
		let by = self.owner_or_thief(&operator, random);
		self.send(chain, &by, "closed a worker", pallet_registry::Call::close_worker { worker });
	}

	fn change_bond(&mut self, chain: &mut Chain, random: &mut Random) {
		let mut bonds: Vec<_> = pallet_bonding::Bonds::<Runtime>::iter().collect();
		bonds.sort_by_key(|(bond, _)| *bond);
		let Some((bond, record)) = random.pick(&bonds).cloned() else { return };
		let by = self.owner_or_thief(&record.account, random);
		let amount = match random.below(3) {
			0 => record.active,
			1 => record.active / 20,
			_ => Self::amount(random),
		};
		match random.below(4) {
			0 => {
				let call = pallet_bonding::Call::top_up { bond, amount };
				self.send(chain, &by, "put more at stake", call);
			}
			1 | 2 => {
				let call = pallet_bonding::Call::unbond { bond, amount };
				self.send(chain, &by, "let stake leave", call);
			}
			_ => drop(self.send(
				chain,
				&by,
				"withdrew stake",
				pallet_bonding::Call::withdraw { bond },
			)),
		}
	}

	fn hand_worker_over(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some((worker, operator)) = self.some_worker(random) else { return };
		let by = self.owner_or_thief(&operator, random);
		let to = Some(self.account(random));
		let call = pallet_registry::Call::offer_worker { worker, to: to.clone() };
		if self.send(chain, &by, "offered a worker", call) {
			let by = to.map_or(by, |to| self.owner_or_thief(&to, random));
			let call = pallet_registry::Call::accept_worker { worker };
			self.send(chain, &by, "took a worker over", call);
		}
	}

	fn probe(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some((worker, _)) = self.some_worker(random) else { return };
		let (by, nonce) = (self.user(random), random.bytes());
		self.send(chain, &by, "probed", pallet_registry::Call::probe { worker, nonce });
	}

	fn create_cluster(&mut self, chain: &mut Chain, random: &mut Random) {
		if pallet_clusters::Clusters::<Runtime>::iter_keys().count() > 3 {
			return;
		}
		let by = self.user(random);
		self.send(chain, &by, "created a cluster", pallet_clusters::Call::create {});
	}

	fn some_cluster(&self, random: &mut Random) -> Option<(u32, AccountId)> {
		let mut clusters: Vec<_> = pallet_clusters::Clusters::<Runtime>::iter()
			.map(|(cluster, record)| (cluster, record.owner))
			.collect();
		clusters.sort();
		random.pick(&clusters).cloned()
	}

	fn ask_to_join(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some((worker, operator)) = self.some_worker(random) else { return };
		let Some((cluster, _)) = self.some_cluster(random) else { return };
		let by = self.owner_or_thief(&operator, random);
		let endpoint = ENDPOINT.to_vec();
		let call = pallet_clusters::Call::request_join { cluster, worker, endpoint };
		self.send(chain, &by, "asked to join", call);
	}

	fn approve(&mut self, chain: &mut Chain, random: &mut Random) {
		let mut requests: Vec<_> = pallet_clusters::JoinRequests::<Runtime>::iter()
			.map(|(worker, request)| (worker, request.cluster))
			.collect();
		requests.sort();
		let Some((worker, cluster)) = random.pick(&requests).copied() else { return };
		let Some(record) = pallet_clusters::Clusters::<Runtime>::get(cluster) else { return };
		let by = self.owner_or_thief(&record.owner, random);
		let Some(boot) = pallet_registry::Boots::<Runtime>::get(worker) else { return };
		let call = pallet_clusters::Call::approve_join {
			cluster,
			worker,
			boot: boot.number,
			measurement: boot.measurement,
			endpoint: ENDPOINT.to_vec(),
		};
		self.send(chain, &by, "joined a cluster", call);
	}

	fn leave(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some((worker, operator)) = self.some_worker(random) else { return };
		let Some(cluster) = pallet_clusters::MemberOf::<Runtime>::get(worker) else { return };
		let by = self.owner_or_thief(&operator, random);
		if random.one_in(2) {
			let call = pallet_clusters::Call::leave { cluster, worker };
			self.send(chain, &by, "left a cluster", call);
		} else {
			let call = pallet_clusters::Call::remove_member { cluster, worker };
			let owner = pallet_clusters::Clusters::<Runtime>::get(cluster).map(|one| one.owner);
			let by = owner.map_or(by, |owner| self.owner_or_thief(&owner, random));
			self.send(chain, &by, "removed a member", call);
		}
	}

	fn open_or_close_cluster(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some((cluster, owner)) = self.some_cluster(random) else { return };
		let by = self.owner_or_thief(&owner, random);
		if random.one_in(2) {
			self.send(chain, &by, "closed a cluster", pallet_clusters::Call::close { cluster });
		} else {
			let price_floor = Balance::from(random.below(2)) * currency::MILLIS;
			let deposit = Balance::from(random.below(40)) * currency::PHA;
			let opening = (!random.one_in(3)).then_some(Opening { price_floor, deposit });
			let call = pallet_clusters::Call::set_open { cluster, opening };
			self.send(chain, &by, "opened a cluster", call);
		}
	}

	fn register_agent(&mut self, chain: &mut Chain, random: &mut Random) {
		if pallet_agents::Agents::<Runtime>::iter_keys().count() > 12 {
			return;
		}
		let Some((cluster, owner)) = self.some_cluster(random) else { return };
		let call = pallet_agents::Call::register {
			cluster,
			code: Self::code(random),
			unit_price: Balance::from(random.below(4)) * currency::MILLIS,
			timeout: 1 + random.below(4) as u32,
			access: if random.one_in(4) { Access::Listed } else { Access::Public },
			upgrades: match random.below(3) {
				0 => UpgradePolicy::Immutable,
				1 => UpgradePolicy::AfterNotice(1 + random.below(20) as u32),
				_ => UpgradePolicy::Free,
			},
		};
		let by = self.owner_or_thief(&owner, random);
		self.send(chain, &by, "registered an agent", call);
	}

	fn code(random: &mut Random) -> AgentCode {
		AgentCode { component: H256(random.bytes()), manifest: H256(random.bytes()) }
	}

	fn some_agent(&self, random: &mut Random) -> Option<AgentId> {
		let mut agents: Vec<_> = pallet_agents::Agents::<Runtime>::iter_keys().collect();
		agents.sort();
		random.pick(&agents).copied()
	}

	fn change_agent(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some(agent) = self.some_agent(random) else { return };
		let Some(record) = pallet_agents::Agents::<Runtime>::get(agent) else { return };
		let by = self.owner_or_thief(&record.owner.into(), random);
		let account = self.account(random);
		let call = match random.below(4) {
			0 => pallet_agents::Call::upgrade { agent, code: Self::code(random) },
			1 => pallet_agents::Call::set_access { agent, access: Access::Public },
			2 => pallet_agents::Call::allow_caller { agent, account },
			_ => pallet_agents::Call::disallow_caller { agent, account },
		};
		self.send(chain, &by, "changed an agent", call);
	}

	fn give_agent_up_or_away(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some(agent) = self.some_agent(random) else { return };
		let Some(record) = pallet_agents::Agents::<Runtime>::get(agent) else { return };
		let by = self.owner_or_thief(&record.owner.into(), random);
		match random.below(6) {
			0 => drop(self.send(chain, &by, "retired", pallet_agents::Call::retire { agent })),
			1 => {
				let owner = pallet_clusters::Clusters::<Runtime>::get(record.cluster);
				let by = owner.map_or(by, |cluster| self.owner_or_thief(&cluster.owner, random));
				self.send(chain, &by, "evicted an agent", pallet_agents::Call::evict { agent });
			}
			2 | 3 => {
				let to = Some(self.account(random));
				let call = pallet_agents::Call::offer_transfer { agent, to };
				self.send(chain, &by, "offered an agent", call);
			}
			_ => {
				let offered = pallet_agents::Offers::<Runtime>::get(agent);
				let by = offered.map_or(by, |to| self.owner_or_thief(&to, random));
				let call =
					pallet_agents::Call::accept_transfer { agent, deposit_max: Balance::MAX };
				self.send(chain, &by, "took an agent over", call);
			}
		}
	}

	fn submit_request(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some(agent) = self.some_agent(random) else { return };
		let now = System::block_number();
		let call = pallet_requests::Call::submit {
			agent,
			kind: if random.one_in(10) { RequestKind::Secrets } else { RequestKind::Call },
			input: match random.below(3) {
				0 => RequestInput::Sealed(vec![1; random.below(200) as usize]),
				_ => RequestInput::Public(vec![2; random.below(200) as usize]),
			},
			max_fee: Balance::from(random.below(200)) * currency::MILLIS,
			deadline: now + random.below(40) as u32,
			min_block: now.saturating_sub(random.below(3) as u32),
		};
		let by = self.user(random);
		self.send(chain, &by, "submitted a request", call);
	}

	/// The boot of a worker submits an envelope, one time in eight a lie; whether the payload took effect.
	fn submit(
		&mut self,
		chain: &mut Chain,
		random: &mut Random,
		worker: WorkerId,
		payload: Payload,
	) -> bool {
		let Some(enclave) = self.enclaves.get(&worker) else { return false };
		let next: InboundNext =
			pallet_mailbox::NextEnvelope::<Runtime>::get(worker).unwrap_or_default();
		let lane = payload.lane();
		let mut envelope = Envelope {
			genesis: System::block_hash(0),
			worker,
			boot: enclave.boot,
			lane,
			seq: next.seq(lane),
			payload: payload.encode(),
			signature: [0; 64],
		};
		let lie = random.one_in(8).then(|| random.below(6));
		// There is none before the first.
		let lie = lie.filter(|lie| *lie != 0 || envelope.seq > 0);
		match lie {
			Some(0) => envelope.seq = envelope.seq.saturating_sub(1),
			Some(1) => envelope.seq += 1,
			Some(2) => envelope.boot = envelope.boot.saturating_sub(1),
			Some(3) => envelope.lane = *random.pick(&Lane::ALL).expect("there are lanes"),
			Some(4) => envelope.payload = vec![0xff; 40],
			_ => {}
		}
		envelope.signature = enclave.pair.sign(&envelope.signed_bytes()).0;
		if lie == Some(5) {
			envelope.signature[7] ^= 1;
		}
		let (worker, number) = (envelope.worker, envelope.number());
		let failures = || {
			System::events()
				.iter()
				.filter(|record| {
					matches!(
						record.event,
						RuntimeEvent::Mailbox(pallet_mailbox::Event::PayloadFailed { .. })
					)
				})
				.count()
		};
		let before = failures();
		let result = chain.relay(envelope);
		let after: InboundNext =
			pallet_mailbox::NextEnvelope::<Runtime>::get(worker).unwrap_or_default();
		if self.count(result) {
			// It took exactly the number that was next in its lane.
			let mut expected = next;
			assert_eq!(number.seq, expected.seq(number.lane));
			*expected.seqs.of_mut(number.lane) += 1;
			assert_eq!(after, expected);
			assert!(!matches!(lie, Some(0 | 1 | 2 | 5)), "a lie of kind {lie:?} was taken");
			return failures() == before;
		}
		assert_eq!(after, next);
		false
	}

	fn some_enclave(&self, random: &mut Random) -> Option<WorkerId> {
		let workers: Vec<_> = self.enclaves.keys().copied().collect();
		random.pick(&workers).copied()
	}

	fn beat(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some(worker) = self.some_enclave(random) else { return };
		let nonce = random.bytes();
		let open = pallet_registry::OpenProbes::<Runtime>::get(worker);
		let payload = match open.first() {
			Some(open) if random.one_in(2) => RegistryPayload::ProbeAnswered { nonce: open.nonce },
			_ => RegistryPayload::Heartbeat { nonce },
		};
		if self.submit(chain, random, worker, Payload::Registry(payload)) {
			self.note("lived");
		}
	}

	/// Members say that blocks become final, without which nobody pays for a miss.
	fn see_finality(&mut self, chain: &mut Chain, random: &mut Random) {
		let mut members: Vec<_> = pallet_clusters::MemberOf::<Runtime>::iter_keys().collect();
		members.sort();
		for worker in members {
			let payload = ClustersPayload::BlockFinal { block: System::block_number() - 1 };
			if self.submit(chain, random, worker, Payload::Clusters(payload)) {
				self.note("saw a block become final");
			}
		}
	}

	fn ask_for_keys(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some(worker) = self.some_enclave(random) else { return };
		let cluster = pallet_clusters::MemberOf::<Runtime>::get(worker).unwrap_or_default();
		let generation = pallet_clusters::Clusters::<Runtime>::get(cluster)
			.map_or(1, |record| record.generation);
		let ephemeral_key = random.bytes();
		let payload = ClustersPayload::KeyRequest { cluster, generation, ephemeral_key };
		if self.submit(chain, random, worker, Payload::Clusters(payload)) {
			self.note("asked for keys");
		}
	}

	/// A lease holder bears an agent, or answers what is asked of it.
	fn commit(&mut self, chain: &mut Chain, random: &mut Random) {
		let Some(agent) = self.some_agent(random) else { return };
		let Some(record) = pallet_agents::Agents::<Runtime>::get(agent) else { return };
		let Some(lease) = Clusters::lease(agent) else { return };
		// Some are lazy, so that deadlines are missed.
		if lease.worker % 3 == 2 && !random.one_in(6) {
			return;
		}
		let is_birth = record.version == 0;
		let new_hash = H256(random.bytes());
		let mut open: Vec<_> = pallet_requests::Requests::<Runtime>::iter()
			.filter(|(_, request)| {
				request.state == RequestState::Open
					&& request.agent == agent
					&& request.worker == lease.worker
			})
			.map(|(id, _)| id)
			.collect();
		open.sort();
		let result = |request: &RequestId, random: &mut Random| RequestResult {
			request: *request,
			units: random.below(300) as u32,
			outcome: if random.one_in(5) {
				RequestOutcome::Failed(Refusal::CpuTime.code())
			} else {
				RequestOutcome::Answered(vec![7; random.below(60) as usize])
			},
		};
		let mut results = Vec::new();
		if !is_birth {
			for request in open.iter().take(1 + random.below(4) as usize) {
				results.push(result(request, random));
			}
		}
		if random.one_in(15) {
			// The double-dipper wants to be paid twice, or for nothing.
			let again = results.first().map_or(H256(random.bytes()), |result| result.request);
			results.push(result(&again, random));
		}
		let answered = results.len();
		let set = EffectSet {
			agent,
			base_version: record.version,
			base_hash: record.state_hash,
			new_hash,
			key: is_birth.then(|| AgentKey { version: 1, key: random.bytes() }),
			results,
			availability: self.acknowledgements(record.cluster, agent, record.state_hash, new_hash),
		};
		let payload = Payload::Agents(AgentsPayload::EffectSet(set));
		if self.submit(chain, random, lease.worker, payload) {
			self.note(if is_birth { "bore an agent" } else { "committed" });
			for _ in 0..answered {
				self.note("answered a request");
			}
		}
	}

	/// The members' acknowledgements that they keep what a new state leads to.
	fn acknowledgements(
		&self,
		cluster: u32,
		agent: AgentId,
		base: H256,
		body: H256,
	) -> Vec<Availability> {
		let genesis = System::block_hash(0);
		let acknowledgement = |worker: WorkerId, boot: BootNumber| {
			let enclave = self.enclaves.get(&worker)?;
			let content = AvailabilityContent::new(genesis, worker, boot, agent, base, body);
			Some(Availability { worker, signature: enclave.pair.sign(&content.encode()).0 })
		};
		Clusters::counted(cluster)
			.into_iter()
			.filter_map(|(worker, boot)| acknowledgement(worker, boot.number))
			.collect()
	}

	fn stake(&mut self, chain: &mut Chain, random: &mut Random) {
		let by = self.user(random);
		let value = Self::amount(random);
		let target = MultiAddress::Id(self.users[random.below(4) as usize].public().into());
		let (kind, call) = match random.below(6) {
			0 | 1 => {
				let payee = RewardDestination::Staked;
				("bonded", pallet_staking::Call::bond { value, payee })
			}
			2 => ("bonded more", pallet_staking::Call::bond_extra { max_additional: value }),
			3 => ("unbonded", pallet_staking::Call::unbond { value }),
			4 => {
				let call = pallet_staking::Call::withdraw_unbonded { num_slashing_spans: 0 };
				("withdrew", call)
			}
			_ => ("nominated", pallet_staking::Call::nominate { targets: vec![target] }),
		};
		self.send(chain, &by, kind, call);
	}

	fn vote(&mut self, chain: &mut Chain, random: &mut Random) {
		let by = self.user(random);
		match random.below(4) {
			0 => {
				let remark = frame_system::Call::remark { remark: random.bytes().to_vec() };
				let call = RuntimeCall::from(remark).encode();
				let proposal = frame_support::traits::Bounded::Inline(
					call.try_into().expect("a remark is short"),
				);
				let submit = pallet_referenda::Call::submit {
					proposal_origin: Box::new(frame_system::RawOrigin::Root.into()),
					proposal,
					enactment_moment: frame_support::traits::schedule::DispatchTime::After(1),
				};
				if self.send(chain, &by, "proposed", submit) {
					self.referenda += 1;
				}
			}
			1 => {
				let index = random.below(self.referenda.into()) as u32;
				let call = pallet_referenda::Call::place_decision_deposit { index };
				self.send(chain, &by, "deposited", call);
			}
			_ => {
				use pallet_conviction_voting::{AccountVote, Conviction, Vote};
				let poll_index = random.below(self.referenda.into()) as u32;
				let aye = !random.one_in(4);
				let vote = AccountVote::Standard {
					vote: Vote { aye, conviction: Conviction::Locked1x },
					balance: Self::amount(random),
				};
				let call = pallet_conviction_voting::Call::vote { poll_index, vote };
				self.send(chain, &by, "voted", call);
			}
		}
	}

	/// Gives what vests block by block, or takes what has.
	fn vest(&mut self, chain: &mut Chain, random: &mut Random) {
		let by = self.user(random);
		if random.one_in(2) {
			self.send(chain, &by, "vested", pallet_vesting::Call::vest {});
			return;
		}
		let locked = currency::PHA * Balance::from(1 + random.below(200));
		let per_block = locked / Balance::from(1 + random.below(50));
		let schedule = pallet_vesting::VestingInfo::new(locked, per_block, System::block_number());
		let target = MultiAddress::Id(self.account(random));
		let call = pallet_vesting::Call::vested_transfer { target, schedule };
		self.send(chain, &by, "gave what vests", call);
	}

	/// Of the treasury, mostly by whoever may not.
	fn spend(&mut self, chain: &mut Chain, random: &mut Random) {
		let by = self.user(random);
		if random.one_in(2) {
			let index = random.below(pallet_treasury::SpendCount::<Runtime>::get().into()) as u32;
			self.send(chain, &by, "spent of the treasury", pallet_treasury::Call::payout { index });
			return;
		}
		let spend = pallet_treasury::Call::spend {
			asset_kind: Box::new(()),
			amount: Self::amount(random) / 1_000,
			beneficiary: Box::new(self.account(random)),
			valid_from: None,
		};
		let (by, call) = if random.one_in(4) {
			(by, RuntimeCall::from(spend))
		} else {
			let call = Box::new(RuntimeCall::from(spend));
			(self.users[0].clone(), pallet_sudo::Call::sudo { call }.into())
		};
		self.send(chain, &by, "granted of the treasury", call);
	}

	/// The one path that makes PHA, of the reserve; an era takes longer than a short run.
	fn pay_out(&mut self, chain: &mut Chain, random: &mut Random) {
		let by = self.user(random);
		let validators = Session::validators();
		let Some(validator_stash) = random.pick(&validators).cloned() else { return };
		let era = pallet_staking::CurrentEra::<Runtime>::get().unwrap_or_default();
		let era = era.saturating_sub(random.below(3) as u32);
		let call = pallet_staking::Call::payout_stakers { validator_stash, era };
		self.send(chain, &by, "had an era paid out", call);
	}
}
