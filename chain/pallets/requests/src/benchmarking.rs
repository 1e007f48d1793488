//! Benchmarks of the requests pallet's call, its hook and the settlement of a result.

use super::*;
use alloc::{vec, vec::Vec};
use frame_benchmarking::v2::*;
use frame_system::RawOrigin;
use phala_protocol::agents::EffectSet;

/// Enough for any test's prices.
const FUNDS: Balance = Balance::MAX / 1_000_000;

/// Makes agents for benchmarks.
pub trait BenchmarkHelper<AccountId> {
	/// The agent with this number, in a cluster of its own of so many members, all of other operators, owners
	/// and developers than those of others. It is born, `caller` is the last on the longest list of who may
	/// call it, and some boot has its lease whose own word is enough for a commit if it is the only member.
	fn born_agent(number: u32, members: u32, caller: &AccountId) -> AgentId;

	/// Whoever has the agent's lease is out of force: another is to have it.
	fn silence_holder(agent: AgentId);

	/// Any slash exhausts the stake of whoever has the agent's lease.
	fn drain_stake(agent: AgentId);
}

fn funded<T: Config>(account: &T::AccountId) {
	T::Currency::set_balance(account, FUNDS);
}

/// An agent in a cluster of as many members as can be, and who calls it.
fn setup<T: Config>() -> (T::AccountId, AgentId) {
	another::<T>(0, limits::CLUSTER_MEMBERS_MAX)
}

/// The same of who signs what is measured: the transaction has its account anyway. The list of the soonest
/// deadline, the last of the three, has one place left.
fn all_but_full_deadline<T: Config>() -> (T::AccountId, AgentId, BlockNumber) {
	let caller: T::AccountId = whitelisted_caller();
	let agent = called_by::<T>(&caller, 0, limits::CLUSTER_MEMBERS_MAX);
	let deadline = deadline::<T>(agent);
	let due = (1..limits::REQUESTS_PER_DEADLINE_MAX).map(|n| H256::repeat_byte(n as u8));
	Due::<T>::insert(deadline, BoundedVec::truncate_from(due.collect()));
	(caller, agent, deadline)
}

/// Another agent in another cluster, of so many members, and another who calls it.
fn another<T: Config>(number: u32, members: u32) -> (T::AccountId, AgentId) {
	let caller: T::AccountId = account("caller", number, 0);
	let agent = called_by::<T>(&caller, number, members);
	(caller, agent)
}

fn called_by<T: Config>(caller: &T::AccountId, number: u32, members: u32) -> AgentId {
	funded::<T>(caller);
	funded::<T>(&T::Treasury::get());
	T::BenchmarkHelper::born_agent(number, members, caller)
}

fn submit_one<T: Config>(caller: &T::AccountId, agent: AgentId) -> RequestId {
	let record = T::Agents::record(agent).unwrap();
	let genesis = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero());
	let id = request_id(genesis, NextRequest::<T>::get());
	Pallet::<T>::submit(
		RawOrigin::Signed(caller.clone()).into(),
		agent,
		RequestKind::Call,
		RequestInput::Public(Vec::new()),
		T::BaseFee::get() + record.unit_price.max(1_000_000),
		deadline::<T>(agent),
		0,
	)
	.unwrap();
	id
}

/// Lets as many as one likes be submitted.
fn forget_room<T: Config>(caller: &T::AccountId, agent: AgentId) {
	OpenOfCaller::<T>::remove(caller);
	OpenOfAgent::<T>::remove(agent);
	let _ = OpenOfWorker::<T>::clear(u32::MAX, None);
	Due::<T>::remove(deadline::<T>(agent));
}

/// As near as can be, from block 1 on, where the measured call runs.
fn deadline<T: Config>(agent: AgentId) -> BlockNumber {
	Pallet::<T>::now().max(1) + T::Agents::record(agent).unwrap().timeout + limits::FINALITY_MARGIN
}

/// A set of the holder of the agent's lease that answers these, each with so many bytes.
fn answers<T: Config>(
	agent: AgentId,
	requests: Vec<RequestId>,
	bytes: u32,
) -> (EnvelopeOrigin, EffectSet) {
	let Lease { worker, boot } = T::Clusters::lease(agent).unwrap();
	let outcome = RequestOutcome::Answered(vec![7; bytes as usize]);
	let result = |request| RequestResult { request, outcome: outcome.clone(), units: 1 };
	let set = EffectSet {
		agent,
		base_version: T::Agents::record(agent).unwrap().version,
		base_hash: T::Agents::record(agent).unwrap().state_hash,
		new_hash: H256::repeat_byte(1),
		key: None,
		results: requests.into_iter().map(result).collect(),
		availability: Vec::new(),
	};
	(EnvelopeOrigin { worker, boot }, set)
}

#[benchmarks]
mod benchmarks {
	use super::*;

	/// The deadline's list is all but full, and whoever has the lease is out of force.
	#[benchmark]
	fn submit(i: Linear<0, { limits::REQUEST_INPUT_BYTES_MAX }>) {
		let (caller, agent, deadline) = all_but_full_deadline::<T>();
		// Its lease moves, and somebody waits for an answer of who had it.
		OpenOfAgent::<T>::insert(agent, 1);
		T::BenchmarkHelper::silence_holder(agent);
		let max_fee = T::BaseFee::get() + Balance::from(u64::MAX);
		let input = RequestInput::Sealed(vec![7; i as usize]);
		#[extrinsic_call]
		submit(RawOrigin::Signed(caller), agent, RequestKind::Call, input, max_fee, deadline, 0);
		assert_eq!(Due::<T>::get(deadline).len() as u32, limits::REQUESTS_PER_DEADLINE_MAX);
	}

	/// The deadline's list is all but full.
	#[benchmark]
	fn submit_to_holder(i: Linear<0, { limits::REQUEST_INPUT_BYTES_MAX }>) {
		let (caller, agent, deadline) = all_but_full_deadline::<T>();
		let max_fee = T::BaseFee::get() + Balance::from(u64::MAX);
		let input = RequestInput::Sealed(vec![7; i as usize]);
		#[extrinsic_call]
		submit(RawOrigin::Signed(caller), agent, RequestKind::Call, input, max_fee, deadline, 0);
		assert_eq!(Due::<T>::get(deadline).len() as u32, limits::REQUESTS_PER_DEADLINE_MAX);
	}

	/// Of different callers, agents, clusters and workers, each of which has too little at stake by then.
	#[benchmark]
	fn expire(n: Linear<0, 8>) {
		let mut requests = Vec::new();
		let mut now = Pallet::<T>::now() + 1;
		for number in 0..n {
			let (caller, agent) = another::<T>(number, 3);
			requests.push(submit_one::<T>(&caller, agent));
			now = deadline::<T>(agent) + 1;
			T::BenchmarkHelper::drain_stake(agent);
		}
		DueFrom::<T>::put(now.saturating_sub(1));
		frame_system::Pallet::<T>::set_block_number(now.into());
		#[block]
		{
			Pallet::<T>::expire_due(&mut WeightMeter::new());
		}
		assert_eq!(LeasesToMoveRange::<T>::get(), (0, n.into()));
		for request in requests {
			assert_eq!(Requests::<T>::get(request).unwrap().state, RequestState::Expired);
		}
	}

	/// Of different callers, given to different workers.
	#[benchmark]
	fn refund_moved(n: Linear<0, 32>) {
		let (caller, agent) = setup::<T>();
		for number in 0..n {
			let request = submit_one::<T>(&caller, agent);
			// As if the lease had moved, and come back.
			Duties::<T>::mutate_extant(request, |assigned| assigned.number = u32::MAX);
			forget_room::<T>(&caller, agent);
			let (caller, worker) = (account("refunded", number, 0), WorkerId::MAX - number);
			funded::<T>(&caller);
			OpenOfCaller::<T>::insert(&caller, 2);
			Requests::<T>::mutate_extant(request, |request| {
				request.caller = caller;
				request.worker = worker;
			});
		}
		for number in 0..n {
			OpenOfWorker::<T>::insert(WorkerId::MAX - number, 2);
		}
		OpenOfAgent::<T>::insert(agent, n.max(1));
		<Pallet<T> as LeaseHooks>::on_lease_ended(agent);
		#[block]
		{
			Pallet::<T>::refund_moved(&mut WeightMeter::new());
		}
		assert_eq!(OpenRequests::<T>::iter_prefix(agent).count(), 0);
	}

	/// What a full cluster does about a missed deadline, while somebody waits for another answer.
	#[benchmark]
	fn move_lease() {
		let (_, agent) = setup::<T>();
		OpenOfAgent::<T>::insert(agent, 1);
		let assigned = T::Clusters::assign(agent).unwrap().unwrap();
		#[block]
		{
			T::Clusters::on_missed_deadline(agent, &assigned).unwrap();
		}
	}

	/// Of agents in different clusters.
	#[benchmark]
	fn near(n: Linear<0, { limits::REQUESTS_PER_DEADLINE_MAX }>) {
		let now = T::ResponseRetention::get();
		let one = |number| {
			let (caller, agent) = another::<T>(number, 1);
			let request = submit_one::<T>(&caller, agent);
			forget_room::<T>(&caller, agent);
			request
		};
		let due: Vec<RequestId> = (0..n).map(one).collect();
		let at = now.saturating_add(limits::DEADLINE_NEAR_BLOCKS);
		Due::<T>::insert(at, BoundedVec::truncate_from(due));
		frame_system::Pallet::<T>::set_block_number(now.into());
		let mut meter = WeightMeter::new();
		#[block]
		{
			Pallet::<T>::announce_near(&mut meter);
		}
		assert_eq!(meter.consumed(), T::WeightInfo::near(n));
	}

	#[benchmark]
	fn prune(n: Linear<0, 128>) {
		for number in 0..n.into() {
			let id = request_id(H256::zero(), number);
			let outcome = vec![1; OUTCOME_BYTES_MAX as usize];
			Responses::<T>::insert(id, BoundedVec::truncate_from(outcome));
			Closed::<T>::insert(number, (id, 0));
		}
		ClosedRange::<T>::put((0, u64::from(n)));
		frame_system::Pallet::<T>::set_block_number(T::ResponseRetention::get().into());
		#[block]
		{
			Pallet::<T>::prune(&mut WeightMeter::new());
		}
		assert_eq!(ClosedRange::<T>::get().0, u64::from(n));
	}

	/// Of a set that was committed, and whose results were looked at; the last of a full deadline.
	#[benchmark]
	fn settle(b: Linear<0, { limits::RESPONSE_BYTES_MAX }>) {
		let (caller, agent) = setup::<T>();
		let request = submit_one::<T>(&caller, agent);
		let (origin, set) = answers::<T>(agent, vec![request], b);
		Due::<T>::mutate(deadline::<T>(agent), |due| {
			let others = (1..limits::REQUESTS_PER_DEADLINE_MAX).map(|n| H256::repeat_byte(n as u8));
			*due = BoundedVec::truncate_from(others.chain([request]).collect());
		});
		let acts = (0..OWN_ACTS_MAX).map(|boot| (BootNumber::MAX - BootNumber::from(boot), 1));
		OwnActs::<T>::insert(origin.worker, BoundedVec::truncate_from(acts.collect::<Vec<_>>()));
		let owner = T::Agents::record(agent).unwrap().owner;
		let looked_at = Pallet::<T>::look_at(origin, &set).unwrap().remove(0);
		let result = set.results.into_iter().next().unwrap();
		#[block]
		{
			Pallet::<T>::settle(owner, looked_at, result);
		}
		assert!(Responses::<T>::contains_key(request));
	}

	#[benchmark]
	fn look(n: Linear<0, { limits::RESULTS_PER_EFFECT_SET_MAX }>) {
		let (caller, agent) = setup::<T>();
		let requests = (0..n).map(|_| submit_one::<T>(&caller, agent)).collect();
		let (origin, set) = answers::<T>(agent, requests, 0);
		let looked_at;
		#[block]
		{
			looked_at = Pallet::<T>::look_at(origin, &set).unwrap();
		}
		assert_eq!(looked_at.len() as u32, n);
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
