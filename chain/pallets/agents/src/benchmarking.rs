//! Benchmarks of the agents pallet's calls, its hook and the commit of an effect set.

use super::*;
use alloc::vec::Vec;
use frame_benchmarking::v2::*;
use frame_support::traits::fungible::Mutate;
use frame_system::RawOrigin;
use phala_protocol::agents::{AgentKey, Availability};
use sp_core::{crypto::KeyTypeId, sr25519};
use sp_runtime::Saturating;

const KEY_TYPE: KeyTypeId = KeyTypeId(*b"phba");
const CODE: AgentCode =
	AgentCode { component: H256::repeat_byte(1), manifest: H256::repeat_byte(2) };

/// Makes clusters for benchmarks.
pub trait BenchmarkHelper {
	/// A cluster with room, in which the first boots of workers 0, 1, … with these identity keys
	/// count.
	fn cluster_of(identities: &[[u8; 32]]) -> ClusterId;

	/// Workers from `first` on, so many, are members that do not count: each is looked at in full.
	fn add_silent(cluster: ClusterId, first: WorkerId, members: u32);

	/// Somebody waits for an answer of the agent.
	fn await_answer(agent: AgentId);
}

fn funded<T: Config>() -> T::AccountId
where
	T::Currency: Mutate<T::AccountId>,
{
	let owner: T::AccountId = whitelisted_caller();
	fund::<T>(&owner);
	owner
}

fn fund<T: Config>(owner: &T::AccountId)
where
	T::Currency: Mutate<T::AccountId>,
{
	let funds = T::AgentDeposit::get().saturating_mul(1000u32.into()).max(1_000_000u32.into());
	T::Currency::set_balance(owner, funds);
}

fn register_one<T: Config>(
	owner: &T::AccountId,
	cluster: ClusterId,
	upgrades: UpgradePolicy,
) -> AgentId {
	let agent = agent_id(Pallet::<T>::genesis(), NextAgent::<T>::get());
	let origin = RawOrigin::Signed(owner.clone()).into();
	Pallet::<T>::register(origin, cluster, CODE, 1, 10, Access::Listed, upgrades).unwrap();
	agent
}

fn registered<T: Config>(upgrades: UpgradePolicy) -> (T::AccountId, AgentId)
where
	T::Currency: Mutate<T::AccountId>,
{
	let owner = funded::<T>();
	let agent = registered_by::<T>(&owner, upgrades);
	(owner, agent)
}

fn registered_by<T: Config>(owner: &T::AccountId, upgrades: UpgradePolicy) -> AgentId {
	let cluster = T::BenchmarkHelper::cluster_of(&[[1; 32]]);
	register_one::<T>(owner, cluster, upgrades)
}

/// A cluster with as many members as it can have, all of which count.
fn full_cluster<T: Config>() -> ClusterId {
	let identities: Vec<_> = (0..limits::CLUSTER_MEMBERS_MAX).map(|n| [n as u8; 32]).collect();
	T::BenchmarkHelper::cluster_of(&identities)
}

/// As many upgrades but one are due in that block as can be.
fn fill_due<T: Config>(at: BlockNumber) {
	let others = (1..UPGRADES_DUE_MAX).map(|n| phala_protocol::hash_of(&n));
	Due::<T>::insert(at, BoundedVec::truncate_from(others.collect::<Vec<_>>()));
}

/// All but `missing` places of the list are taken.
fn fill_list<T: Config>(agent: AgentId, missing: u32) {
	let callers: Vec<AccountBytes> = (0..limits::AGENT_CALLERS_MAX - missing)
		.map(|n| {
			let mut account = [0xff; 32];
			account[..4].copy_from_slice(&n.to_le_bytes());
			account
		})
		.collect();
	Callers::<T>::insert(agent, BoundedVec::truncate_from(callers));
}

#[benchmarks(where T::Currency: Mutate<T::AccountId>)]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn register() {
		let owner = funded::<T>();
		let cluster = full_cluster::<T>();
		#[extrinsic_call]
		register(
			RawOrigin::Signed(owner),
			cluster,
			CODE,
			1,
			10,
			Access::Public,
			UpgradePolicy::Free,
		);
		assert_eq!(NextAgent::<T>::get(), 1);
	}

	/// The dearest way: without notice, in place of code that was prepared.
	#[benchmark]
	fn upgrade() {
		let (owner, agent) = registered::<T>(UpgradePolicy::Free);
		fill_list::<T>(agent, 0);
		Prepared::<T>::insert(agent, CODE);
		#[extrinsic_call]
		upgrade(RawOrigin::Signed(owner), agent, CODE);
		assert!(History::<T>::contains_key(agent, 2));
	}

	#[benchmark]
	fn set_price() {
		let (owner, agent) = registered::<T>(UpgradePolicy::Free);
		fill_list::<T>(agent, 0);
		#[extrinsic_call]
		set_price(RawOrigin::Signed(owner), agent, 77);
		assert_eq!(Agents::<T>::get(agent).unwrap().unit_price, 77);
	}

	#[benchmark]
	fn set_access() {
		let (owner, agent) = registered::<T>(UpgradePolicy::Free);
		fill_list::<T>(agent, 0);
		#[extrinsic_call]
		set_access(RawOrigin::Signed(owner), agent, Access::Public);
		assert_eq!(Agents::<T>::get(agent).unwrap().access, Access::Public);
	}

	#[benchmark]
	fn allow_caller() {
		let (owner, agent) = registered::<T>(UpgradePolicy::Free);
		fill_list::<T>(agent, 1);
		let friend: T::AccountId = account("friend", 0, 0);
		#[extrinsic_call]
		allow_caller(RawOrigin::Signed(owner), agent, friend);
		assert_eq!(Callers::<T>::get(agent).len() as u32, limits::AGENT_CALLERS_MAX);
	}

	#[benchmark]
	fn disallow_caller() {
		let (owner, agent) = registered::<T>(UpgradePolicy::Free);
		fill_list::<T>(agent, 1);
		let friend: T::AccountId = account("friend", 0, 0);
		let origin = RawOrigin::Signed(owner.clone()).into();
		Pallet::<T>::allow_caller(origin, agent, friend.clone()).unwrap();
		#[extrinsic_call]
		disallow_caller(RawOrigin::Signed(owner), agent, friend);
		assert_eq!(Callers::<T>::get(agent).len() as u32, limits::AGENT_CALLERS_MAX - 1);
	}

	#[benchmark]
	fn activate_due(u: Linear<0, UPGRADES_DUE_MAX>) {
		let owner = funded::<T>();
		let cluster = T::BenchmarkHelper::cluster_of(&[[1; 32]]);
		for _ in 0..u {
			let agent = register_one::<T>(&owner, cluster, UpgradePolicy::AfterNotice(1));
			fill_list::<T>(agent, 0);
			let origin = RawOrigin::Signed(owner.clone()).into();
			Pallet::<T>::upgrade(origin, agent, CODE).unwrap();
		}
		let at = Pallet::<T>::now() + 1;
		LateFrom::<T>::put(at);
		frame_system::Pallet::<T>::set_block_number(at.into());
		#[block]
		{
			Pallet::<T>::activate_due(&mut WeightMeter::new());
		}
		assert_eq!(Planned::<T>::iter().count(), 0);
	}

	/// Together the two may be more than a cluster has members: so each is measured for itself.
	#[benchmark]
	fn commit(
		a: Linear<0, { limits::CLUSTER_MEMBERS_MAX - 1 }>,
		o: Linear<0, { limits::CLUSTER_MEMBERS_MAX - 1 }>,
	) {
		let owner = funded::<T>();
		let members: Vec<sr25519::Public> =
			(0..=a).map(|_| sp_io::crypto::sr25519_generate(KEY_TYPE, None)).collect();
		let identities: Vec<[u8; 32]> = members.iter().map(|member| member.0).collect();
		let cluster = T::BenchmarkHelper::cluster_of(&identities);
		T::BenchmarkHelper::add_silent(cluster, a + 1, o);
		let agent = register_one::<T>(&owner, cluster, UpgradePolicy::Free);
		let Lease { worker, boot } = T::Clusters::lease(agent).unwrap();
		let new_hash = H256::repeat_byte(3);
		let availability = members
			.iter()
			.enumerate()
			.filter(|(member, _)| *member as WorkerId != worker)
			.map(|(member, public)| {
				let member = member as WorkerId;
				let genesis = Pallet::<T>::genesis();
				let content =
					AvailabilityContent::new(genesis, member, 1, agent, H256::zero(), new_hash)
						.encode();
				let signature = sp_io::crypto::sr25519_sign(KEY_TYPE, public, &content).unwrap().0;
				Availability { worker: member, signature }
			})
			.collect();
		let key = Some(AgentKey { version: 1, key: [4; 32] });
		let set = EffectSet {
			agent,
			base_version: 0,
			base_hash: H256::zero(),
			new_hash,
			key,
			results: Vec::new(),
			availability,
		};
		#[block]
		{
			<Pallet<T> as AgentDirectory>::commit(EnvelopeOrigin { worker, boot }, &set).unwrap();
		}
		assert_eq!(Agents::<T>::get(agent).unwrap().version, 1);
	}

	/// At the last of what is looked at first.
	#[benchmark]
	fn refuse_commit() {
		let (_, agent) = registered::<T>(UpgradePolicy::Free);
		let Lease { worker, boot } = T::Clusters::lease(agent).unwrap();
		let set = EffectSet {
			agent,
			base_version: 0,
			base_hash: H256::zero(),
			new_hash: H256::repeat_byte(3),
			key: None,
			results: Vec::new(),
			availability: Vec::new(),
		};
		let refused;
		#[block]
		{
			refused = <Pallet<T> as AgentDirectory>::commit(EnvelopeOrigin { worker, boot }, &set);
		}
		assert_eq!(refused.unwrap_err(), Error::<T>::BirthNeedsKey.into());
	}

	#[benchmark]
	fn look_at_births(n: Linear<0, 8>) {
		BirthRange::<T>::kill();
		let _ = Births::<T>::clear(u32::MAX, None);
		for agent in 0..n {
			Pallet::<T>::await_birth(phala_protocol::hash_of(&agent), 1);
		}
		let now = Pallet::<T>::now() + limits::BIRTH_BLOCKS;
		frame_system::Pallet::<T>::set_block_number(now.into());
		#[block]
		{
			Pallet::<T>::pass_births_on(&mut WeightMeter::new());
		}
		assert_eq!(BirthRange::<T>::get().0, u64::from(n));
	}

	/// In a full cluster, of an agent for which somebody waits.
	#[benchmark]
	fn pass_birth_on() {
		let owner = funded::<T>();
		let cluster = full_cluster::<T>();
		let agent = register_one::<T>(&owner, cluster, UpgradePolicy::Free);
		T::BenchmarkHelper::await_answer(agent);
		let had = T::Clusters::lease(agent);
		#[block]
		{
			Pallet::<T>::pass_birth_on(agent, 1).expect("there is room for the message");
		}
		assert!(had.is_some());
		assert_eq!(BirthRange::<T>::get().1, 2);
	}

	/// One of each agent, and nothing is left of them.
	#[benchmark]
	fn forget_history(n: Linear<0, HISTORY_FORGOTTEN_MAX>) {
		for number in 0..n {
			let agent = phala_protocol::hash_of(&number);
			History::<T>::insert(agent, 1, CodeEntry { code: CODE, block: 1 });
			OldHistory::<T>::insert(agent, 1);
		}
		#[block]
		{
			Pallet::<T>::forget_history(&mut WeightMeter::new());
		}
		assert_eq!(OldHistory::<T>::iter().count(), 0);
	}

	/// Its list is full, more of its history is to be forgotten than the call does, and requests wait for it.
	fn to_be_removed<T: Config>(owner: &T::AccountId) -> AgentId
	where
		T::Currency: Mutate<T::AccountId>,
	{
		fund::<T>(owner);
		let agent = registered_by::<T>(owner, UpgradePolicy::AfterNotice(10));
		fill_list::<T>(agent, 0);
		fill_due::<T>(Pallet::<T>::now() + 10);
		Pallet::<T>::upgrade(RawOrigin::Signed(owner.clone()).into(), agent, CODE).unwrap();
		let versions = HISTORY_FORGOTTEN_MAX + 1;
		Agents::<T>::mutate(agent, |record| record.as_mut().unwrap().code_version = versions);
		for version in 1..=versions {
			History::<T>::insert(agent, version, CodeEntry { code: CODE, block: 1 });
		}
		T::BenchmarkHelper::await_answer(agent);
		agent
	}

	#[benchmark]
	fn retire() {
		let owner: T::AccountId = whitelisted_caller();
		let agent = to_be_removed::<T>(&owner);
		#[extrinsic_call]
		retire(RawOrigin::Signed(owner), agent);
		assert!(!Agents::<T>::contains_key(agent));
	}

	#[benchmark]
	fn offer_transfer() {
		let (owner, agent) = registered::<T>(UpgradePolicy::Free);
		let to = Some(owner.clone());
		#[extrinsic_call]
		offer_transfer(RawOrigin::Signed(owner), agent, to);
		assert!(Offers::<T>::contains_key(agent));
	}

	#[benchmark]
	fn accept_transfer() {
		let (owner, agent) = registered::<T>(UpgradePolicy::Free);
		fill_list::<T>(agent, 0);
		let to: T::AccountId = account("to", 0, 0);
		let funds = T::AgentDeposit::get().saturating_mul(1000u32.into()).max(1_000_000u32.into());
		T::Currency::set_balance(&to, funds);
		let origin = RawOrigin::Signed(owner).into();
		Pallet::<T>::offer_transfer(origin, agent, Some(to.clone())).unwrap();
		#[extrinsic_call]
		accept_transfer(RawOrigin::Signed(to), agent, funds);
		assert!(!Offers::<T>::contains_key(agent));
	}

	#[benchmark]
	fn evict() {
		// Its owner is another than who signs.
		let agent = to_be_removed::<T>(&account("owner", 0, 0));
		Evictions::<T>::insert(agent, 0);
		let cluster = Agents::<T>::get(agent).unwrap().cluster;
		let owner = T::AccountId::from(T::Clusters::owner(cluster).unwrap());
		#[extrinsic_call]
		evict(RawOrigin::Signed(owner), agent);
		assert!(!Agents::<T>::contains_key(agent));
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
