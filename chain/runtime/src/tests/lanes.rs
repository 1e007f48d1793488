//! What envelopes may take of a block.

use super::genesis;
use crate::{
	config::{network::PayloadRouter, system::MAXIMUM_BLOCK_WEIGHT},
	Runtime,
};
use codec::Encode;
use pallet_mailbox::{PayloadWeights, SHARES, SHARE_OF_ONE_BOOT};
use phala_protocol::{
	agents::{AgentKey, Availability, EffectSet},
	clusters::WrappedKeys,
	keys::KeyRequest,
	limits,
	mailbox::Envelope,
	messages::{AgentsPayload, ClustersPayload, KeysPayload, Payload, RegistryPayload},
	requests::{RequestOutcome, RequestResult},
	H256,
};

fn zeros(bytes: u32) -> Vec<u8> {
	vec![0; bytes as usize]
}

/// The heaviest effect set that fits an envelope.
fn heaviest_effect_set() -> EffectSet {
	let result = |request| RequestResult {
		request: H256::from_low_u64_be(request),
		units: 1,
		outcome: RequestOutcome::Answered(zeros(
			limits::RESPONSE_BYTES_MAX / limits::RESULTS_PER_EFFECT_SET_MAX,
		)),
	};
	let word = |worker| Availability { worker, signature: [0; 64] };
	EffectSet {
		agent: H256::zero(),
		base_version: 1,
		base_hash: H256::zero(),
		body_hash: H256::zero(),
		key: Some(AgentKey { version: 1, key: [0; 32] }),
		results: (0..u64::from(limits::RESULTS_PER_EFFECT_SET_MAX)).map(result).collect(),
		availability: (1..limits::CLUSTER_MEMBERS_MAX).map(word).collect(),
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
