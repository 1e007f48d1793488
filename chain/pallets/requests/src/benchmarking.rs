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
	/// An agent of `owner` that is born, costs at most 2⁶⁴ a unit, and whose lease some boot has
	/// whose own word is enough for a commit.
	fn born_agent(owner: &AccountId) -> AgentId;
}

fn setup<T: Config>() -> (T::AccountId, AgentId) {
	let caller: T::AccountId = whitelisted_caller();
	T::Currency::set_balance(&caller, FUNDS);
	T::Currency::set_balance(&T::Treasury::get(), FUNDS);
	let agent = T::BenchmarkHelper::born_agent(&caller);
	(caller, agent)
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

	/// The deadline's list is all but full.
	#[benchmark]
	fn submit(i: Linear<0, { limits::REQUEST_INPUT_BYTES_MAX }>) {
		let (caller, agent) = setup::<T>();
		let deadline = deadline::<T>(agent);
		let due = (1..limits::REQUESTS_PER_DEADLINE_MAX).map(|n| H256::repeat_byte(n as u8));
		Due::<T>::insert(deadline, BoundedVec::truncate_from(due.collect()));
		let max_fee = T::BaseFee::get() + Balance::from(u64::MAX);
		let input = RequestInput::Sealed(vec![7; i as usize]);
		#[extrinsic_call]
		submit(RawOrigin::Signed(caller), agent, RequestKind::Call, input, max_fee, deadline, 0);
		assert_eq!(Due::<T>::get(deadline).len() as u32, limits::REQUESTS_PER_DEADLINE_MAX);
	}

	#[benchmark]
	fn expire(n: Linear<0, 8>) {
		let (caller, agent) = setup::<T>();
		let requests: Vec<_> = (0..n).map(|_| submit_one::<T>(&caller, agent)).collect();
		let now = deadline::<T>(agent) + 1;
		#[block]
		{
			for request in &requests {
				Pallet::<T>::expire(*request, now);
			}
		}
		for request in requests {
			assert_eq!(Requests::<T>::get(request).unwrap().state, RequestState::Expired);
		}
	}

	#[benchmark]
	fn refund_moved(n: Linear<0, 32>) {
		let (caller, agent) = setup::<T>();
		for _ in 0..n {
			let request = submit_one::<T>(&caller, agent);
			// As if the lease had moved, and come back.
			Duties::<T>::mutate_extant(request, |assigned| assigned.number = u32::MAX);
			forget_room::<T>(&caller, agent);
		}
		OpenOfAgent::<T>::insert(agent, n);
		<Pallet<T> as LeaseHooks>::on_lease_ended(agent);
		#[block]
		{
			Pallet::<T>::refund_moved(&mut WeightMeter::new());
		}
		assert_eq!(OpenRequests::<T>::iter_prefix(agent).count(), 0);
	}

	/// What the cluster does about one; `s` cost that many times as much.
	#[benchmark]
	fn move_leases(s: Linear<0, 8>) {
		let (_, agent) = setup::<T>();
		let assigned = T::Clusters::assign(agent).unwrap().unwrap();
		#[block]
		{
			for _ in 0..s {
				let _ = T::Clusters::on_missed_deadline(agent, &assigned);
			}
		}
	}

	#[benchmark]
	fn near(n: Linear<0, { limits::REQUESTS_PER_DEADLINE_MAX }>) {
		let (caller, agent) = setup::<T>();
		let now = T::ResponseRetention::get();
		let one = |_| {
			forget_room::<T>(&caller, agent);
			submit_one::<T>(&caller, agent)
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

	/// Of a set that was committed, and whose results were looked at.
	#[benchmark]
	fn settle(b: Linear<0, { limits::RESPONSE_BYTES_MAX }>) {
		let (caller, agent) = setup::<T>();
		let request = submit_one::<T>(&caller, agent);
		let (origin, set) = answers::<T>(agent, vec![request], b);
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
