//! Benchmarks of the mailbox's calls, each in a block that is as full as it can be. What a payload does is
//! measured by the pallet that acts on it.

use super::*;
use frame_benchmarking::v2::*;
use frame_system::pallet_prelude::BlockNumberFor;
use phala_protocol::{
	agents::EffectSet,
	messages::AgentsPayload,
	refusals::RefusalCode,
	requests::{RequestOutcome, RequestResult},
};
use sp_core::crypto::KeyTypeId;

const WORKER: WorkerId = 0;
const KEY_TYPE: KeyTypeId = KeyTypeId(*b"phbm");

/// Gives benchmarks workers: the registry's storage is the runtime's to fill.
pub trait BenchmarkHelper {
	/// Makes a worker with a first boot in force that has this identity key.
	fn boot(worker: WorkerId, identity: [u8; 32]);
}

/// An effect set of `p` bytes at most, of as many results as fit: what takes longest to decode.
fn many_results(p: u32) -> Vec<u8> {
	let of = |results: Vec<RequestResult>| {
		let (agent, base_hash, new_hash) = Default::default();
		let (base_version, key, availability) = (1, None, Vec::new());
		let set =
			EffectSet { agent, base_version, base_hash, new_hash, key, results, availability };
		Payload::Agents(AgentsPayload::EffectSet(set)).encode()
	};
	let outcome = RequestOutcome::Failed(RefusalCode(1));
	let result = RequestResult { request: H256::zero(), outcome, units: 0 };
	// Their number takes up to three bytes more.
	let room = p.saturating_sub(of(Vec::new()).len() as u32 + 3);
	of(alloc::vec![result.clone(); (room / result.encoded_size() as u32) as usize])
}

/// The first number from boot 1 of [`WORKER`], which is in force, with a payload of `p` bytes that is decoded
/// and refused at once.
fn envelope<T: Config>(p: u32) -> Envelope {
	let public = sp_io::crypto::sr25519_generate(KEY_TYPE, None);
	T::BenchmarkHelper::boot(WORKER, public.0);
	<Pallet<T> as MailboxInterface>::open_inbound(WORKER, 1);
	let payload = many_results(p);
	let mut envelope = Envelope {
		genesis: frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero()),
		worker: WORKER,
		boot: 1,
		lane: Lane::PaidCommits,
		seq: 0,
		payload,
		signature: [0; 64],
	};
	let signed = sp_io::crypto::sr25519_sign(KEY_TYPE, &public, &envelope.signed_bytes());
	envelope.signature = signed.expect("the key was made just now").0;
	envelope
}

/// A cost with which what a boot may have of the lane of commits is used up.
fn all_of_it<T: Config>() -> u64 {
	T::EnvelopeWeight::get().ref_time()
}

#[benchmarks]
mod benchmarks {
	use super::*;

	/// With all that is written down of one that was paid for and fills both its boot's part and the block,
	/// and with what the end of the block forgets of it.
	#[benchmark]
	fn submit_envelope(p: Linear<0, { limits::ENVELOPE_PAYLOAD_BYTES_MAX }>) {
		let envelope = envelope::<T>(p);
		FullForWorker::<T>::insert(WORKER, FullBlocks { newest: 0, before: 0 });
		FullForAll::<T>::put(FullBlocks { newest: 0, before: 0 });
		let origin = frame_system::RawOrigin::Authorized;
		#[block]
		{
			Pallet::<T>::submit_envelope(origin.into(), envelope).expect("it is its turn");
			Pallet::<T>::note_paid(WORKER, all_of_it::<T>());
			Pallet::<T>::note_full(WORKER);
			Pallet::<T>::note_block_full();
			Pallet::<T>::forget_use();
		}
		assert_eq!(NextEnvelope::<T>::get(WORKER).map(|next| next.seq(Lane::PaidCommits)), Some(1));
		let full = FullForWorker::<T>::get(WORKER);
		assert_eq!(full.map(|full| full.newest), Some(Pallet::<T>::now()));
	}

	/// In a block that has pushed as much as it may beside this.
	#[benchmark]
	fn authorize_envelope(p: Linear<0, { limits::ENVELOPE_PAYLOAD_BYTES_MAX }>) {
		let envelope = envelope::<T>(p);
		Pallet::<T>::note_use(WORKER, Lane::PaidCommits, 1);
		let others = (0..capacity(false).0 as u64 - 1).map(|seq| (Channel::System, seq));
		let now = frame_system::Pallet::<T>::block_number();
		PushedIn::<T>::insert(now, BoundedVec::truncate_from(others.collect::<Vec<_>>()));
		PushedBytes::<T>::put(1);
		let authorized;
		#[block]
		{
			authorized = Pallet::<T>::authorize_envelope(TransactionSource::External, &envelope);
		}
		assert!(authorized.is_ok());
	}

	/// In which nobody had room for one more commit.
	#[benchmark]
	fn end_block() {
		let all = T::BlockWeights::get().max_block.ref_time();
		LaneUse::<T>::mutate(|used| *used.of_mut(Lane::Liveness) = all);
		PushedBytes::<T>::put(1);
		FullForAll::<T>::put(FullBlocks { newest: 0, before: 0 });
		#[block]
		{
			<Pallet<T> as Hooks<_>>::on_finalize(frame_system::Pallet::<T>::block_number());
		}
		assert!(FullForAll::<T>::get().is_some_and(|full| full.newest == Pallet::<T>::now()));
	}

	#[benchmark]
	fn prune(m: Linear<0, { limits::MESSAGES_PER_BLOCK_MAX }>) {
		let first = frame_system::Pallet::<T>::block_number();
		let bytes = limits::PUSHED_BYTES_PER_BLOCK_MAX / limits::MESSAGES_PER_BLOCK_MAX;
		let body = BoundedVec::truncate_from(alloc::vec![7; bytes as usize]);
		let mut pushed = BoundedVec::default();
		for seq in 0..u64::from(m) {
			let stored = StoredMessage { block: 0, index: seq as u32, body: body.clone() };
			Bodies::<T>::insert(Channel::System, seq, stored);
			pushed.try_push((Channel::System, seq)).expect("so many are in one block");
		}
		PushedIn::<T>::insert(first, pushed);
		frame_system::Pallet::<T>::set_block_number(first + T::Retention::get());
		#[block]
		{
			Pallet::<T>::prune(&mut WeightMeter::new());
		}
		assert_eq!(Bodies::<T>::iter().count(), 0);
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
