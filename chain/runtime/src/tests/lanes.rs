//! What envelopes may take of a block.

use super::{
	genesis,
	random::Random,
	stakes::{bob, chain, charlie, member, signed, worker_of},
};
use crate::{
	config::{network::PayloadRouter, system::MAXIMUM_BLOCK_WEIGHT},
	Runtime, RuntimeEvent,
};
use codec::Encode;
use frame_support::{assert_ok, weights::Weight};
use pallet_agents::WeightInfo as _;
use pallet_mailbox::{PayloadWeights, SHARES, SHARE_OF_ONE_BOOT};
use pallet_requests::WeightInfo as _;
use phala_protocol::{
	agents::{
		agent_id, Access, AgentCode, AgentId, AgentKey, Availability, EffectSet, UpgradePolicy,
	},
	boot::WorkerId,
	clusters::WrappedKeys,
	keys::KeyRequest,
	limits,
	mailbox::Envelope,
	messages::{AgentsPayload, ClustersPayload, KeysPayload, Payload, RegistryPayload},
	requests::{RequestOutcome, RequestResult},
	traits::MailboxInterface,
	H256,
};
use sp_runtime::DispatchError;

fn zeros(bytes: u32) -> Vec<u8> {
	vec![0; bytes as usize]
}

/// The heaviest effect set that fits an envelope.
pub(super) fn heaviest_effect_set() -> EffectSet {
	let result = |request| RequestResult {
		request: H256::from_low_u64_be(request),
		units: 1,
		outcome: RequestOutcome::Answered(zeros(
			limits::RESPONSE_BYTES_MAX / limits::RESULTS_PER_EFFECT_SET_MAX,
		)),
	};
	let held_by = |worker| Availability { worker, signature: [0; 64] };
	EffectSet {
		agent: H256::zero(),
		base_version: 1,
		base_hash: H256::zero(),
		new_hash: H256::zero(),
		key: Some(AgentKey { version: 1, key: [0; 32] }),
		results: (0..u64::from(limits::RESULTS_PER_EFFECT_SET_MAX)).map(result).collect(),
		availability: (1..limits::CLUSTER_MEMBERS_MAX).map(held_by).collect(),
	}
}

fn heaviest_of_each_kind() -> Vec<Payload> {
	let ephemeral_key = [0; 32];
	let request = KeyRequest { worker: 1, boot: 1, cluster: 1, generation: 1, ephemeral_key };
	let keys = zeros(limits::WRAPPED_KEYS_BYTES_MAX);
	let keys = WrappedKeys { epoch: 1, generation: 1, keys };
	let outcome = zeros(limits::CEREMONY_OUTCOME_BYTES_MAX);
	let release = zeros(limits::KEY_RELEASE_BYTES_MAX);
	vec![
		Payload::Registry(RegistryPayload::Heartbeat { nonce: [0; 32] }),
		Payload::Registry(RegistryPayload::ProbeAnswered { nonce: [0; 32] }),
		Payload::Keys(KeysPayload::MasterKeyConfirmed { epoch: 1, attempt: 1, outcome }),
		Payload::Keys(KeysPayload::KeyReleased { request, release }),
		Payload::Clusters(ClustersPayload::KeyRequest { cluster: 1, generation: 1, ephemeral_key }),
		Payload::Clusters(ClustersPayload::KeysWrapped { cluster: 1, keys }),
		Payload::Clusters(ClustersPayload::HolderSilent { holder: 1, boot: 1 }),
		Payload::Agents(AgentsPayload::EffectSet(heaviest_effect_set())),
	]
}

#[test]
fn envelopes_have_half_of_a_block_and_the_heaviest_of_each_kind_fits_its_lane() {
	genesis("development").execute_with(|| {
		let all = <Runtime as pallet_mailbox::Config>::EnvelopeWeight::get().ref_time();
		assert_eq!(all, MAXIMUM_BLOCK_WEIGHT.ref_time() / 2);
		for payload in heaviest_of_each_kind() {
			let weight = PayloadRouter::weight_of(&payload).ref_time();
			let share = SHARES.of(payload.lane()).mul_floor(all);
			assert!(weight > 0 && weight < share, "{:?}: {weight} of {share}", payload.lane());
		}
	});
}

#[test]
fn an_envelope_is_declared_with_all_that_its_payload_takes() {
	use frame_support::dispatch::GetDispatchInfo;
	genesis("development").execute_with(|| {
		for payload in heaviest_of_each_kind() {
			let weight = PayloadRouter::weight_of(&payload);
			let envelope = Envelope {
				genesis: H256::zero(),
				worker: 1,
				boot: 1,
				lane: payload.lane(),
				seq: 0,
				payload: payload.encode(),
				signature: [0; 64],
			};
			assert!(envelope.payload.len() <= payload.lane().payload_bytes_max() as usize);
			let all = <Runtime as pallet_mailbox::Config>::EnvelopeWeight::get().ref_time();
			let share = SHARES.of(payload.lane()).mul_floor(all);
			let cost = pallet_mailbox::Pallet::<Runtime>::cost_of(&envelope);
			assert!(cost < share, "{:?}: {cost} of {share}", payload.lane());
			let call = crate::RuntimeCall::from(pallet_mailbox::Call::submit_envelope { envelope });
			let declared = call.get_dispatch_info().total_weight();
			assert!(declared.all_gt(weight), "{declared:?} of {weight:?}");
		}
	});
}

#[test]
fn full_lanes_leave_a_quarter_of_a_block_to_those_who_pay() {
	use frame_support::dispatch::DispatchClass;
	genesis("development").execute_with(|| {
		let weights = <Runtime as frame_system::Config>::BlockWeights::get();
		let normal = weights.get(DispatchClass::Normal).max_total.expect("it is bounded");
		let lanes = <Runtime as pallet_mailbox::Config>::EnvelopeWeight::get();
		let left = normal.ref_time() - lanes.ref_time();
		// Shares are rounded to the picosecond.
		assert!((left + 1) * 4 >= MAXIMUM_BLOCK_WEIGHT.ref_time());
		let length = <Runtime as frame_system::Config>::BlockLength::get();
		let bytes = <Runtime as pallet_mailbox::Config>::EnvelopeBytes::get();
		assert_eq!(bytes, length.max.get(DispatchClass::Normal) / 2);
	});
}

#[test]
fn an_unused_lane_is_not_full_and_no_commit_is_heavier_than_the_heaviest() {
	genesis("development").execute_with(|| {
		let all = <Runtime as pallet_mailbox::Config>::EnvelopeWeight::get().ref_time();
		let quota = SHARE_OF_ONE_BOOT.mul_floor(SHARES.paid_commits.mul_floor(all));
		let heaviest = pallet_mailbox::Pallet::<Runtime>::cost_of_heaviest_commit();
		// Or a boot would be excused for its misses by its first commit in a block.
		assert!(heaviest * 2 <= quota, "{heaviest} twice in {quota}");
		let set = Payload::Agents(AgentsPayload::EffectSet(heaviest_effect_set()));
		assert!(PayloadRouter::heaviest_commit().all_gte(PayloadRouter::weight_of(&set)));
	});
}

/// The figures of docs/decisions/014.
#[test]
fn the_lane_of_commits_takes_as_many_as_decision_014_says() {
	chain(|| {
		let (agent, worker) = agent_among(3);
		let lane = SHARES
			.paid_commits
			.mul_floor(<Runtime as pallet_mailbox::Config>::EnvelopeWeight::get().ref_time());
		let fit = |members: u32, answers: usize| {
			has_members(members);
			let mut set = EffectSet { agent, key: None, ..heaviest_effect_set() };
			// A majority, of whom the holder is one.
			set.availability.truncate(members as usize / 2);
			set.results.truncate(answers);
			for result in &mut set.results {
				result.outcome = RequestOutcome::Answered(zeros(100));
			}
			let payload = Payload::Agents(AgentsPayload::EffectSet(set));
			let bytes = payload.encoded_size() as u32;
			let used = PayloadRouter::actual_weight_of(&payload, &Ok(()));
			lane / crate::Mailbox::cost(bytes, u64::from(bytes) + 121, used)
		};
		assert!(pallet_clusters::Members::<Runtime>::contains_key(0, worker));
		assert_eq!([fit(3, 0), fit(3, 1), fit(32, 0), fit(32, 1)], [85, 47, 30, 23]);
		// Three of the heaviest are a boot's part.
		let quota = SHARE_OF_ONE_BOOT.mul_floor(lane);
		assert_eq!(quota / crate::Mailbox::cost_of_heaviest_commit(), 3);
	});
}

#[test]
fn a_boot_lands_several_commits_of_a_cluster_of_three_in_one_block() {
	genesis("development").execute_with(|| {
		let all = <Runtime as pallet_mailbox::Config>::EnvelopeWeight::get().ref_time();
		let mut set = heaviest_effect_set();
		set.availability.truncate(2);
		set.results.truncate(1);
		let payload = Payload::Agents(AgentsPayload::EffectSet(set));
		let quota = SHARE_OF_ONE_BOOT.mul_floor(SHARES.of(payload.lane()).mul_floor(all));
		assert!(PayloadRouter::weight_of(&payload).ref_time() * 4 < quota);
	});
}

/// What an enclave lets wait before an answer that is made at the last moment: while that may still land,
/// three blocks take it.
#[test]
fn what_nobody_paid_for_and_waits_before_a_paid_answer_lands_in_three_blocks() {
	const BLOCKS: u64 = 3;
	// Genesis, worker, boot, lane, number, signature.
	const ENVELOPE_BYTES_BESIDE: u32 = 32 + 4 + 8 + 1 + 8 + 64 + 4;
	chain(|| {
		let all = <Runtime as pallet_mailbox::Config>::EnvelopeWeight::get().ref_time();
		let quota = SHARE_OF_ONE_BOOT.mul_floor(SHARES.paid_commits.mul_floor(all));
		let (agent, _) = agent_among(1);
		for members in 1..=limits::CLUSTER_MEMBERS_MAX {
			has_members(members);
			let mut set = EffectSet { agent, key: None, ..heaviest_effect_set() };
			set.results.clear();
			set.availability.truncate(members as usize - 1);
			let payload = Payload::Agents(AgentsPayload::EffectSet(set));
			let bytes = payload.encoded_size() as u32;
			let all_bytes = u64::from(bytes + ENVELOPE_BYTES_BESIDE);
			let cost = |weight| crate::Mailbox::cost(bytes, all_bytes, weight);
			let declared = cost(PayloadRouter::weight_of(&payload));
			let used = cost(PayloadRouter::actual_weight_of(&payload, &Ok(())));
			// The last one is let in by what it declares.
			let in_one = 1 + (quota - declared) / used;
			let waiting = u64::from(limits::unpaid_commits_waiting_max(members));
			assert!(waiting <= BLOCKS * in_one, "{members} members: {waiting}, {in_one} a block");
		}
	});
}

#[test]
fn signs_of_life_that_use_up_the_class_of_envelopes_excuse_who_finds_no_room_behind_them() {
	use frame_support::{dispatch::DispatchClass, traits::Hooks};
	use phala_protocol::{mailbox::Lane, traits::EnvelopeLanes};
	genesis("development").execute_with(|| {
		let weights = <Runtime as frame_system::Config>::BlockWeights::get();
		let class = weights.get(DispatchClass::Normal).max_total.expect("it is bounded").ref_time();
		assert!(class < weights.max_block.ref_time());
		frame_system::BlockWeight::<Runtime>::kill();
		let back = <Runtime as pallet_mailbox::Config>::ExtensionWeightReturned::get();
		let room = class - crate::Mailbox::cost_of_heaviest_commit() - back.ref_time();
		let was_full = |block: u32, signs: u64| {
			crate::System::set_block_number(block);
			pallet_mailbox::LaneUse::<Runtime>::mutate(|used| *used.of_mut(Lane::Liveness) = signs);
			crate::Mailbox::on_finalize(block);
			crate::Mailbox::was_full_throughout(1, block, block)
		};
		assert!(!was_full(5, room));
		assert!(was_full(6, room + 1));
	});
}

/// So many members the only cluster has.
fn has_members(members: u32) {
	pallet_clusters::Clusters::<Runtime>::mutate(0, |record| {
		record.as_mut().expect("it was created").members = members;
	});
}

/// Deploys in a cluster of so many members, whose first has the lease; the agent and that worker.
fn agent_among(members: u32) -> (AgentId, WorkerId) {
	assert_ok!(crate::Clusters::create(signed(&charlie())));
	let worker = worker_of(&bob());
	member(0, worker);
	has_members(members);
	let agent = agent_id(crate::System::block_hash(0), 0);
	let code = AgentCode { component: H256::zero(), manifest: H256::zero() };
	let (access, upgrades) = (Access::Public, UpgradePolicy::Free);
	assert_ok!(crate::Agents::register(signed(&charlie()), 0, code, 1, 10, access, upgrades));
	crate::Mailbox::open_inbound(worker, 1);
	(agent, worker)
}

/// The next envelope of a worker's first boot with this set, as a block has it that was authorized.
fn lands(worker: WorkerId, set: EffectSet) -> (Weight, Weight) {
	use frame_support::dispatch::GetDispatchInfo;
	let payload = Payload::Agents(AgentsPayload::EffectSet(set));
	let lane = payload.lane();
	let next = pallet_mailbox::NextEnvelope::<Runtime>::get(worker).expect("it is open");
	let envelope = Envelope {
		genesis: H256::zero(),
		worker,
		boot: 1,
		lane,
		seq: next.seq(lane),
		payload: payload.encode(),
		signature: [0; 64],
	};
	let call = pallet_mailbox::Call::<Runtime>::submit_envelope { envelope: envelope.clone() };
	let declared = crate::RuntimeCall::from(call).get_dispatch_info().call_weight;
	let origin = frame_system::RawOrigin::Authorized.into();
	let landed = crate::Mailbox::submit_envelope(origin, envelope).expect("it is its turn");
	(declared, landed.actual_weight.expect("it is said"))
}

fn last_error() -> Option<DispatchError> {
	let events = crate::System::events();
	match &events.last().expect("something happened").event {
		RuntimeEvent::Mailbox(pallet_mailbox::Event::PayloadFailed { error, .. }) => Some(*error),
		_ => None,
	}
}

fn commit_of(signed: u32, others: u32) -> Weight {
	<Runtime as pallet_agents::Config>::WeightInfo::commit(signed, others)
}

#[test]
fn a_set_costs_what_became_of_it_and_never_more_than_it_was_let_in_for() {
	type AgentError = pallet_agents::Error<Runtime>;
	type RequestError = pallet_requests::Error<Runtime>;
	chain(|| {
		let (agent, worker) = agent_among(1);
		let birth = EffectSet {
			agent,
			base_version: 0,
			results: vec![],
			availability: vec![],
			..heaviest_effect_set()
		};
		// Refused at the first look: nobody's signature was looked at, nor any result.
		let stale = EffectSet { agent, base_version: 1, ..heaviest_effect_set() };
		let (declared, used) = lands(worker, stale.clone());
		assert_eq!(last_error(), Some(AgentError::StaleBase.into()));
		let most = PayloadRouter::weight_of(&Payload::Agents(AgentsPayload::EffectSet(stale)));
		assert!(declared.all_gte(used) && (declared - used).ref_time() > most.ref_time() * 9 / 10);

		// Accepted in a cluster of one: no other member was looked at.
		let (declared, used) = lands(worker, birth.clone());
		assert_eq!(last_error(), None);
		assert!((declared - used).all_gte(commit_of(0, 31) - commit_of(0, 0)));

		// Refused for a result: the commit was made, and nobody paid.
		let record = pallet_agents::Agents::<Runtime>::get(agent).unwrap();
		let set = EffectSet {
			agent,
			base_version: 1,
			base_hash: record.state_hash,
			key: None,
			availability: vec![],
			..heaviest_effect_set()
		};
		let (declared, used) = lands(worker, set.clone());
		assert_eq!(last_error(), Some(RequestError::UnknownRequest.into()));
		let settle = <Runtime as pallet_requests::Config>::WeightInfo::settle(0);
		assert!(
			(declared - used).all_gte(settle.saturating_mul(4)) && used.all_gte(commit_of(0, 0))
		);

		// Refused for want of members: all who may count were looked at, and all signatures paid for.
		pallet_clusters::Clusters::<Runtime>::mutate(0, |record| {
			record.as_mut().unwrap().members = 5;
		});
		let held_by = |worker| Availability { worker, signature: [0; 64] };
		let vain = EffectSet { availability: vec![held_by(7); 2], ..set };
		let (declared, used) = lands(worker, vain);
		assert_eq!(last_error(), Some(AgentError::DuplicateSignature.into()));
		assert!(declared.all_gte(used) && used.all_gte(commit_of(2, 2)));
	});
}

#[test]
fn whatever_a_set_is_and_becomes_it_takes_no_more_than_was_declared() {
	let mut random = Random(8);
	chain(|| {
		let (agent, _) = agent_among(1);
		let errors: [DispatchError; 6] = [
			pallet_agents::Error::<Runtime>::StaleBase.into(),
			pallet_agents::Error::<Runtime>::NotAvailable.into(),
			pallet_agents::Error::<Runtime>::MailboxFull.into(),
			pallet_requests::Error::<Runtime>::AlreadySettled.into(),
			DispatchError::Unavailable,
			DispatchError::Corruption,
		];
		for _ in 0..2_000 {
			let members = random.below(u64::from(limits::CLUSTER_MEMBERS_MAX) + 1) as u32;
			pallet_clusters::Clusters::<Runtime>::mutate(0, |record| {
				record.as_mut().unwrap().members = members;
			});
			let mut set = EffectSet { agent, ..heaviest_effect_set() };
			set.availability.truncate(random.below(40) as usize);
			let results = random.below(6) as usize;
			set.results = set.results.iter().cycle().take(results).cloned().collect();
			for result in &mut set.results {
				result.outcome = RequestOutcome::Answered(zeros(random.below(20_000) as u32));
			}
			if random.one_in(10) {
				set.agent = H256::repeat_byte(9);
			}
			let payload = Payload::Agents(AgentsPayload::EffectSet(set));
			let declared = PayloadRouter::weight_of(&payload);
			let of = |effect| PayloadRouter::actual_weight_of(&payload, &effect);
			let accepted = of(Ok(()));
			assert!(accepted.all_lte(declared), "{accepted:?} of {declared:?}");
			for error in errors {
				let refused = of(Err(error));
				assert!(refused.all_lte(declared), "{error:?}: {refused:?} of {declared:?}");
				assert!(refused.all_lte(accepted), "{error:?}: {refused:?} and {accepted:?}");
				assert!(refused.ref_time() > 0);
			}
		}
	});
}

#[test]
fn no_payload_pushes_more_than_the_room_that_it_waits_for() {
	use phala_protocol::messages::{AgentsMessage, ClustersMessage, KeysMessage, Message};
	let bytes = |message: Message| message.encoded_size() as u32;
	for payload in heaviest_of_each_kind() {
		let pushed: Option<Message> = match &payload {
			Payload::Keys(KeysPayload::KeyReleased { request, release }) => {
				let (cluster, generation) = (request.cluster, request.generation);
				let release = release.clone();
				Some(KeysMessage::KeyRelease { boot: 1, cluster, generation, release }.into())
			}
			Payload::Clusters(ClustersPayload::KeyRequest { cluster, generation, .. }) => {
				let (cluster, generation) = (*cluster, *generation);
				let ephemeral_key = [0; 32];
				let request = KeyRequest { worker: 1, boot: 1, cluster, generation, ephemeral_key };
				Some(KeysMessage::KeyRequested(request).into())
			}
			Payload::Clusters(ClustersPayload::KeysWrapped { keys, .. }) => {
				Some(ClustersMessage::KeysWrapped(keys.clone()).into())
			}
			Payload::Clusters(ClustersPayload::HolderSilent { holder, boot }) => {
				let (holder, boot) = (*holder, *boot);
				Some(ClustersMessage::HolderChallenged { holder, boot, by: 1, block: 1 }.into())
			}
			Payload::Agents(AgentsPayload::EffectSet(set)) => {
				let (agent, state_hash) = (set.agent, set.new_hash);
				let (version, worker) = (1, 1);
				let committed = AgentsMessage::Committed { agent, version, state_hash, worker };
				assert_eq!(bytes(committed.clone().into()), PayloadRouter::commit_news());
				Some(committed.into())
			}
			_ => None,
		};
		let news = PayloadRouter::news_of(&payload);
		assert_eq!(news.is_some(), pushed.is_some(), "{payload:?}");
		if let (Some((room, is_vital)), Some(pushed)) = (news, pushed) {
			assert_eq!(is_vital, pushed.is_vital());
			assert!(bytes(pushed) <= room, "{payload:?}");
		}
	}
}
