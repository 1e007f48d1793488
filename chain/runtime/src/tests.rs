//! Contracts between the runtime and those who read it from outside.

mod accounts;
mod blocks;
mod elections;
mod envelopes;
mod fees;
mod governance;
mod lanes;
mod metadata_hash;
mod misses;
mod payouts;
#[cfg(all(feature = "software-evidence", not(feature = "runtime-benchmarks")))]
mod production;
mod purses;
mod random;
mod refunds;
mod room;
mod sessions;
mod slashes;
mod stakes;
mod stored;
mod stored_parameters;
mod throughput;
mod touched;
mod transactions;
mod upgrades;
mod upkeep;

use crate::{parameters::NetworkParameters, *};
use codec::{Decode, Encode};
use frame_support::BoundedVec;
use phala_protocol::{
	agents::{
		agent_id, Access, AgentCode, AgentKey, AgentRecord, CodeEntry, Lease, PlannedUpgrade,
		UpgradePolicy,
	},
	bonding::{Bond, BondId, UnbondingChunk},
	boot::{Boot, BootKeys, WorkerRecord},
	clusters::{MemberRecord, Opening},
	evidence::{EvidenceKind, MeasurementRule},
	mailbox::Channel,
	messages::{AgentsPayload, Message, RegistryMessage},
	requests::{Request, RequestKind, RequestOutcome, RequestState},
	storage_keys,
	traits::{Bonding as _, MailboxInterface},
	AccountBytes, H256,
};
use sp_runtime::BuildStorage;

/// What a test says that needs the runtimes' wasm.
#[cfg(all(feature = "software-evidence", not(feature = "runtime-benchmarks")))]
const WITHOUT_WASM: &str = "this test reads the runtime's wasm: build without SKIP_WASM_BUILD";

fn genesis(preset: &str) -> sp_io::TestExternalities {
	crate::test_support::genesis(preset, serde_json::json!({})).into()
}

#[test]
fn storage_keys_match_the_runtime() {
	genesis("development").execute_with(|| {
		System::set_block_number(1);
		let raw = |key: Vec<u8>| sp_io::storage::get(&key).map(|value| value.to_vec());

		// GRANDPA's first set is stored when its genesis is built.
		assert_eq!(
			raw(storage_keys::grandpa_authorities()),
			Some(Grandpa::grandpa_authorities().encode())
		);
		pallet_grandpa::CurrentSetId::<Runtime>::put(5);
		assert_eq!(raw(storage_keys::grandpa_current_set_id()), Some(5u64.encode()));

		let channel = Channel::Worker(3);
		let message = Message::Registry(RegistryMessage::MeasurementAllowed {
			measurement: Default::default(),
		});
		Mailbox::push(channel, &message).unwrap();
		assert_eq!(
			raw(storage_keys::mailbox_head(channel)),
			Some(pallet_mailbox::Heads::<Runtime>::get(channel).encode())
		);
		assert_eq!(
			raw(storage_keys::mailbox_body(channel, 0)),
			pallet_mailbox::Bodies::<Runtime>::get(channel, 0).map(|body| body.encode())
		);
		Mailbox::open_inbound(3, 9);
		assert_eq!(
			raw(storage_keys::mailbox_next_envelope(3)),
			pallet_mailbox::NextEnvelope::<Runtime>::get(3).map(|next| next.encode())
		);
		let boot = Boot {
			number: 1,
			keys: BootKeys { identity: [1; 32], encryption: [2; 32] },
			evidence: EvidenceKind::Software,
			measurement: Default::default(),
			registered_at: 1,
			expires_at: 2,
		};
		pallet_registry::Boots::<Runtime>::insert(3, &boot);
		assert_eq!(raw(storage_keys::registry_boot(3)), Some(boot.encode()));

		let platform = H256([4; 32]);
		let worker =
			WorkerRecord { operator: endowed_alice().into(), platform: Some(platform), boots: 9 };
		let stored = pallet_registry::Worker {
			operator: endowed_alice(),
			platform: worker.platform,
			boots: worker.boots,
		};
		pallet_registry::Workers::<Runtime>::insert(3, stored);
		assert_eq!(raw(storage_keys::registry_worker(3)), Some(worker.encode()));
		pallet_registry::PlatformWorker::<Runtime>::insert(platform, 3);
		assert_eq!(raw(storage_keys::registry_platform_worker(platform)), Some(3u32.encode()));
		pallet_registry::BannedPlatforms::<Runtime>::insert(platform, ());
		assert_eq!(raw(storage_keys::registry_banned_platform(platform)), Some(vec![]));

		let alice = endowed_alice();
		let bond = BondId::Worker(3);
		Bonding::open(bond, &alice.clone().into()).unwrap();
		Bonding::unbond(RuntimeOrigin::signed(alice.clone()), bond, 7).unwrap();
		let until = 1 + <parameters::UnbondingBlocks as sp_core::Get<BlockNumber>>::get();
		let stored = Bond {
			account: alice.into(),
			active: pallet_bonding::Pallet::<Runtime>::stake(bond) - 7,
			unbonding: vec![UnbondingChunk { amount: 7, until }],
			closed: false,
		};
		assert_eq!(raw(storage_keys::bonding_bond(bond)), Some(stored.encode()));

		let agent = agent_id(H256::repeat_byte(1), 2);
		let record = AgentRecord {
			owner: [1; 32],
			cluster: 2,
			code: AgentCode { component: Default::default(), manifest: Default::default() },
			code_version: 3,
			upgrades: UpgradePolicy::AfterNotice(4),
			access: Access::Listed,
			unit_price: 5,
			timeout: 6,
			key: Some(AgentKey { version: 1, key: [7; 32] }),
			version: 8,
			state_hash: Default::default(),
		};
		assert_eq!(raw(storage_keys::agents_agent(agent)), None);
		pallet_agents::Agents::<Runtime>::insert(agent, &record);
		assert_eq!(raw(storage_keys::agents_agent(agent)), Some(record.encode()));
		let callers = vec![[5; 32], [6; 32]];
		pallet_agents::Callers::<Runtime>::insert(
			agent,
			BoundedVec::truncate_from(callers.clone()),
		);
		assert_eq!(raw(storage_keys::agents_callers(agent)), Some(callers.encode()));
		let deposit: Balance = 11;
		pallet_agents::Deposits::<Runtime>::insert(agent, deposit);
		assert_eq!(raw(storage_keys::agents_deposit(agent)), Some(deposit.encode()));
		let entry = CodeEntry { code: record.code, block: 4 };
		pallet_agents::History::<Runtime>::insert(agent, 3, entry);
		assert_eq!(raw(storage_keys::agents_history(agent, 3)), Some(entry.encode()));
		let planned = PlannedUpgrade { code: record.code, at: 5 };
		pallet_agents::Planned::<Runtime>::insert(agent, planned);
		assert_eq!(raw(storage_keys::agents_planned(agent)), Some(planned.encode()));
		pallet_agents::Prepared::<Runtime>::insert(agent, record.code);
		assert_eq!(raw(storage_keys::agents_prepared(agent)), Some(record.code.encode()));

		pallet_registry::SoftwareRoot::<Runtime>::put([9; 32]);
		assert_eq!(raw(storage_keys::registry_software_root()), Some([9u8; 32].encode()));
		let (measurement, rule) = (H256([8; 32]), MeasurementRule { until: Some(7) });
		pallet_registry::Measurements::<Runtime>::insert(measurement, rule);
		assert_eq!(raw(storage_keys::registry_measurement(measurement)), Some(rule.encode()));

		let member = MemberRecord { endpoint: b"http://a".to_vec(), set_aside: Some(4) };
		let stored = MemberRecord {
			endpoint: BoundedVec::truncate_from(member.endpoint.clone()),
			set_aside: member.set_aside,
		};
		pallet_clusters::Members::<Runtime>::insert(2, 3, stored);
		assert_eq!(raw(storage_keys::clusters_member(2, 3)), Some(member.encode()));
		assert!(storage_keys::clusters_member(2, 3).ends_with(&3u32.encode()));
		let endpoint = b"http://a".to_vec();
		let request = pallet_clusters::JoinRequest {
			cluster: 2,
			endpoint: BoundedVec::truncate_from(endpoint.clone()),
		};
		pallet_clusters::JoinRequests::<Runtime>::insert(3, request);
		let asked = (2u32, endpoint).encode();
		assert_eq!(raw(storage_keys::clusters_join_request(3)), Some(asked));
		let cluster = pallet_clusters::Cluster {
			owner: endowed_alice(),
			deposit: 1,
			generation: 1,
			members: 0,
			agents: 0,
			gap: pallet_clusters::GenerationGap::Open,
		};
		pallet_clusters::Clusters::<Runtime>::insert(7, cluster);
		let stored = raw(storage_keys::clusters_cluster(7)).unwrap();
		assert!(stored.starts_with(&endowed_alice().encode()), "it begins with its owner");
		let opening = Opening { price_floor: 1, deposit: 2 };
		pallet_clusters::Openings::<Runtime>::insert(2, opening);
		assert_eq!(raw(storage_keys::clusters_opening(2)), Some(opening.encode()));
		let lease = Lease { worker: 3, boot: 9 };
		pallet_clusters::Leases::<Runtime>::insert(agent, lease);
		assert_eq!(raw(storage_keys::clusters_lease(agent)), Some(lease.encode()));

		let (id, answer) = (H256([4; 32]), RequestOutcome::Answered(vec![1, 2, 3]).encode());
		let request = Request::<AccountBytes> {
			agent,
			caller: [6; 32],
			kind: RequestKind::Call,
			held: 10,
			unit_price: 1,
			units_max: 10,
			deadline: 50,
			worker: 3,
			boot: 9,
			state: RequestState::Settled { fee: 3, failed: false, block: 7 },
		};
		let encoded = request.encode();
		let stored =
			Request::<AccountId>::decode(&mut &encoded[..]).expect("accounts are their 32 bytes");
		pallet_requests::Requests::<Runtime>::insert(id, stored);
		assert_eq!(raw(storage_keys::requests_request(id)), Some(encoded));
		let outcome = BoundedVec::truncate_from(answer.clone());
		pallet_requests::Responses::<Runtime>::insert(id, outcome);
		assert_eq!(raw(storage_keys::requests_response(id)), Some(answer.encode()));
		pallet_requests::OpenOfAgent::<Runtime>::insert(agent, 4);
		assert_eq!(raw(storage_keys::requests_open_of_agent(agent)), Some(4u32.encode()));
		pallet_requests::OpenOfWorker::<Runtime>::insert(3, 5);
		assert_eq!(raw(storage_keys::requests_open_of_worker(3)), Some(5u32.encode()));
		let due = vec![id, agent];
		pallet_requests::Due::<Runtime>::insert(50, BoundedVec::truncate_from(due.clone()));
		assert_eq!(raw(storage_keys::requests_due(50)), Some(due.encode()));
	});
}

#[test]
fn the_whole_issuance_is_a_thousand_million_pha_in_every_preset() {
	for preset in presets::names() {
		genesis(preset.as_ref()).execute_with(|| {
			assert_eq!(Balances::total_issuance(), 1_000_000_000 * 1_000_000_000_000);
		});
	}
}

#[test]
fn staging_has_no_sudo_no_software_evidence_and_long_periods() {
	genesis(presets::STAGING).execute_with(|| {
		assert_eq!(pallet_sudo::Key::<Runtime>::get(), None);
		assert_eq!(pallet_registry::SoftwareRoot::<Runtime>::get(), None);
		assert_eq!(Parameters::network(), NetworkParameters::PRODUCTION);
		assert_eq!(Session::validators().len(), 4);
	});
}

#[test]
fn development_has_sudo_and_one_validator_and_nobody_else_has_either() {
	for preset in presets::names() {
		genesis(preset.as_ref()).execute_with(|| {
			let fewest = pallet_staking::MinimumValidatorCount::<Runtime>::get();
			let found = (
				pallet_sudo::Key::<Runtime>::get(),
				Session::validators().len(),
				pallet_staking::ValidatorCount::<Runtime>::get(),
				fewest,
			);
			match preset.as_ref() {
				"development" => assert_eq!(found, (Some(endowed_alice()), 1, 1, 1)),
				_ => assert_eq!(found, (None, 4, 4, 4)),
			}
		});
	}
}

/// The periods as the pallets see them: slots of an epoch, sessions of an era, eras bonded, eras
/// until a slash, blocks of evidence, slots in which an equivocation can be reported, sets of
/// voters remembered for it, blocks before a measurement counts.
fn periods_of(preset: &str) -> (u64, u32, u32, u32, BlockNumber, u64, u64, BlockNumber) {
	use frame_support::traits::Get;
	genesis(preset).execute_with(|| {
		(
			<Runtime as pallet_babe::Config>::EpochDuration::get(),
			<Runtime as pallet_staking::Config>::SessionsPerEra::get(),
			<Runtime as pallet_staking::Config>::BondingDuration::get(),
			<Runtime as pallet_staking::Config>::SlashDeferDuration::get(),
			<Runtime as pallet_registry::Config>::EvidenceLifetime::get(),
			config::consensus::ReportLongevity::get(),
			<Runtime as pallet_grandpa::Config>::MaxSetIdSessionEntries::get(),
			parameters::MeasurementDelay::get(),
		)
	})
}

#[test]
fn the_periods_of_a_preset_reach_the_pallets_from_its_genesis() {
	const DAY: BlockNumber = 43_200;
	let short = (10, 3, 3, 2, DAY, 90, 9, 0);
	assert_eq!(periods_of("development"), short);
	assert_eq!(periods_of("local_testnet"), short);
	let week = 7 * DAY;
	assert_eq!(periods_of(presets::STAGING), (1800, 6, 28, 27, DAY, week.into(), 168, week));
}

fn build_with(network: NetworkParameters) {
	let parameters = parameters::GenesisConfig { network, _config: Default::default() };
	RuntimeGenesisConfig { parameters, ..Default::default() }.build_storage().unwrap();
}

#[test]
#[should_panic(expected = "later it would be gone")]
fn a_genesis_whose_slashes_come_after_the_stake_has_left_is_refused() {
	build_with(NetworkParameters { slash_defer_eras: 3, ..NetworkParameters::DEVELOPMENT });
}

#[test]
#[should_panic(expected = "earlier a late report would come after the slash")]
fn a_genesis_whose_slashes_come_before_the_last_report_is_refused() {
	build_with(NetworkParameters { slash_defer_eras: 1, ..NetworkParameters::DEVELOPMENT });
}

/// Two eras of thirty slots pass before a slash.
#[test]
fn a_vote_may_take_a_block_less_than_a_slash_waits() {
	build_with(NetworkParameters { referendum_enactment: 53, ..NetworkParameters::DEVELOPMENT });
}

#[test]
#[should_panic(expected = "a vote that cancels a slash can be enacted before the slash is")]
fn a_genesis_whose_votes_take_as_long_as_a_slash_waits_is_refused() {
	build_with(NetworkParameters { referendum_enactment: 54, ..NetworkParameters::DEVELOPMENT });
}

fn endowed_alice() -> AccountId {
	sp_keyring::Sr25519Keyring::Alice.to_account_id()
}

#[test]
fn an_enclave_can_bind_evidence_to_any_block_that_the_limit_allows() {
	let kept: BlockNumber = <Runtime as frame_system::Config>::BlockHashCount::get();
	assert!(kept > phala_protocol::limits::EVIDENCE_BLOCK_AGE_MAX);
}

#[test]
fn the_development_root_is_the_published_seed() {
	use sp_core::Pair;
	let pair = sp_core::sr25519::Pair::from_seed(&phala_protocol::evidence::DEVELOPMENT_ROOT_SEED);
	assert_eq!(pair.public().0, phala_protocol::evidence::DEVELOPMENT_ROOT_PUBLIC);
}

#[test]
fn what_enclaves_say_of_effects_reaches_the_requests_pallet() {
	use phala_protocol::{
		agents::EffectSet,
		messages::{EnvelopeOrigin, Payload},
		traits::ReceivePayload,
	};
	genesis("development").execute_with(|| {
		let set = EffectSet {
			agent: H256::zero(),
			base_version: 0,
			base_hash: H256::zero(),
			new_hash: H256::zero(),
			key: None,
			results: vec![],
			availability: vec![],
		};
		let origin = EnvelopeOrigin { worker: 0, boot: 1 };
		assert_eq!(
			config::network::PayloadRouter::receive(
				origin,
				Payload::Agents(AgentsPayload::EffectSet(set))
			),
			Err(pallet_agents::Error::<Runtime>::UnknownAgent.into())
		);
	});
}
