//! Benchmarks of the mailbox's calls. The runtime's payload receiver is part of what is measured.

use super::*;
use frame_benchmarking::v2::*;
use phala_protocol::boot::WorkerId;

const WORKER: WorkerId = 0;

/// The first number from boot 1 of [`WORKER`], with a payload of `p` bytes that does not decode: an
/// envelope costs its storage, signature and hashing; each receiver measures its own effect.
fn envelope(p: u32) -> Envelope {
	Envelope {
		genesis: H256::zero(),
		worker: WORKER,
		boot: 1,
		lane: Lane::Rest,
		seq: 0,
		payload: alloc::vec![0xff; p as usize],
		signature: [0; 64],
	}
}

#[benchmarks]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn submit_envelope(p: Linear<0, { limits::ENVELOPE_PAYLOAD_BYTES_MAX }>) {
		<Pallet<T> as MailboxInterface>::open_inbound(WORKER, 1);
		#[extrinsic_call]
		submit_envelope(frame_system::RawOrigin::Authorized, envelope(p));
		assert_eq!(NextEnvelope::<T>::get(WORKER).map(|next| next.seq(Lane::Rest)), Some(1));
	}

	/// The whole of authorization is the signature over `p` bytes and a few reads before it.
	#[benchmark]
	fn authorize_envelope(p: Linear<0, { limits::ENVELOPE_PAYLOAD_BYTES_MAX }>) {
		use sp_core::crypto::KeyTypeId;
		const KEY_TYPE: KeyTypeId = KeyTypeId(*b"phbm");
		<Pallet<T> as MailboxInterface>::open_inbound(WORKER, 1);
		let public = sp_io::crypto::sr25519_generate(KEY_TYPE, None);
		let mut envelope = envelope(p);
		let signature =
			sp_io::crypto::sr25519_sign(KEY_TYPE, &public, &envelope.signed_bytes()).unwrap();
		envelope.signature = signature.0;
		let verified;
		#[block]
		{
			let _ = Pallet::<T>::authorize_envelope(TransactionSource::External, &envelope);
			verified = sp_io::crypto::sr25519_verify(&signature, &envelope.signed_bytes(), &public);
		}
		assert!(verified);
	}

	#[benchmark]
	fn end_block() {
		#[block]
		{
			<Pallet<T> as frame_support::traits::Hooks<_>>::on_finalize(
				frame_system::Pallet::<T>::block_number(),
			);
		}
	}

	#[benchmark]
	fn prune(m: Linear<0, { limits::MESSAGES_PER_BLOCK_MAX }>) {
		let first = frame_system::Pallet::<T>::block_number();
		let body = BoundedVec::truncate_from(alloc::vec![7; limits::MESSAGE_BYTES_MAX as usize]);
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
