use crate::{
	mock::{Mailbox, *},
	*,
};
use codec::Encode;
use frame_support::{assert_noop, assert_ok, traits::Authorize};
use phala_protocol::messages::{RegistryMessage, RegistryPayload};
use sp_runtime::transaction_validity::{
	InvalidTransaction, TransactionSource, TransactionValidityError,
};

fn probe(n: u8) -> Message {
	Message::Registry(RegistryMessage::Probe { nonce: [n; 32] })
}

fn heartbeat(n: u8) -> Payload {
	Payload::Registry(RegistryPayload::Heartbeat { nonce: [n; 32] })
}

fn refused(refused: EnvelopeError) -> TransactionValidityError {
	InvalidTransaction::Custom(refused as u8).into()
}

fn authorize(
	source: TransactionSource,
	envelope: &Envelope,
) -> Result<(), TransactionValidityError> {
	RuntimeCall::from(Call::submit_envelope { envelope: envelope.clone() })
		.authorize(source)
		.unwrap()
		.map(|_| ())
}

/// As a block does it: authorized first, then dispatched.
fn include(envelope: Envelope) -> Result<DispatchResult, TransactionValidityError> {
	authorize(TransactionSource::InBlock, &envelope)?;
	Ok(Mailbox::submit_envelope(frame_system::RawOrigin::Authorized.into(), envelope))
}

fn go_to_block(n: u64) {
	while System::block_number() < n {
		Mailbox::on_finalize(System::block_number());
		System::set_block_number(System::block_number() + 1);
		Mailbox::on_initialize(System::block_number());
	}
}

#[test]
fn pushed_messages_chain_by_hash_and_count_over_all_channels_of_a_block() {
	new_test_ext().execute_with(|| {
		let system =
			Message::Registry(RegistryMessage::MeasurementAllowed { measurement: H256::zero() });
		assert_eq!(Mailbox::push(Channel::Worker(1), &probe(1)), Ok(0));
		assert_eq!(Mailbox::push(Channel::System, &system), Ok(0));
		assert_eq!(Mailbox::push(Channel::Worker(1), &probe(2)), Ok(1));
		go_to_block(2);
		assert_eq!(Mailbox::push(Channel::Worker(1), &probe(3)), Ok(2));

		let expected = [(1, 0, probe(1)), (1, 2, probe(2)), (2, 0, probe(3))]
			.iter()
			.fold(ChannelHead::default(), |head, (block, index, message)| {
				head.after(*block, *index, &message.encode()).unwrap()
			});
		assert_eq!(Heads::<Runtime>::get(Channel::Worker(1)), expected);
		assert_eq!(Heads::<Runtime>::get(Channel::System).next_seq, 1);
		let stored = Bodies::<Runtime>::get(Channel::System, 0).unwrap();
		assert_eq!((stored.block, stored.index, stored.body.to_vec()), (1, 1, system.encode()));
	});
}

#[test]
fn bodies_are_pruned_after_retention_and_heads_stay() {
	new_test_ext().execute_with(|| {
		Mailbox::push(Channel::System, &probe(1)).unwrap();
		go_to_block(2);
		Mailbox::push(Channel::System, &probe(2)).unwrap();
		go_to_block(RETENTION);
		assert!(Bodies::<Runtime>::contains_key(Channel::System, 0));
		go_to_block(RETENTION + 1);
		assert!(!Bodies::<Runtime>::contains_key(Channel::System, 0));
		assert!(Bodies::<Runtime>::contains_key(Channel::System, 1));
		assert_eq!(Heads::<Runtime>::get(Channel::System).next_seq, 2);
	});
}

#[test]
fn a_block_takes_its_limit_of_messages_and_not_one_more() {
	new_test_ext().execute_with(|| {
		for _ in 0..limits::MESSAGES_PER_BLOCK_MAX {
			Mailbox::push(Channel::System, &probe(0)).unwrap();
		}
		let head = Heads::<Runtime>::get(Channel::System);
		assert_eq!(Mailbox::push(Channel::System, &probe(0)), Err(PushError::BlockFull));
		assert_eq!(Heads::<Runtime>::get(Channel::System), head);
		go_to_block(2);
		assert_ok!(Mailbox::push(Channel::System, &probe(0)));
	});
}

#[test]
fn an_envelope_in_order_takes_effect_once() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let envelope = enclave.says(0, &heartbeat(7));
		assert_eq!(include(envelope.clone()), Ok(Ok(())));
		assert_eq!(Received::get().len(), 1);
		System::assert_last_event(
			Event::EnvelopeAccepted { worker: WORKER, boot: 1, seq: 0 }.into(),
		);

		// The repeater sends it again.
		assert_eq!(include(envelope.clone()), Err(InvalidTransaction::Stale.into()));
		// Even a block author who skips validation gets nothing.
		assert_noop!(
			Mailbox::submit_envelope(frame_system::RawOrigin::Authorized.into(), envelope),
			Error::<Runtime>::OutOfOrder
		);
		assert_eq!(Received::get().len(), 1);
	});
}

#[test]
fn a_reorderer_gets_nothing_into_a_block_and_the_pool_waits_for_the_gap() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let second = enclave.says(1, &heartbeat(1));
		assert_eq!(include(second.clone()), Err(InvalidTransaction::Future.into()));
		assert_ok!(authorize(TransactionSource::External, &second));

		let far = enclave.says(limits::ENVELOPES_PENDING_MAX, &heartbeat(1));
		assert_ok!(authorize(TransactionSource::External, &far));
		let too_far = enclave.says(limits::ENVELOPES_PENDING_MAX + 1, &heartbeat(1));
		assert_eq!(
			authorize(TransactionSource::External, &too_far),
			Err(InvalidTransaction::Future.into())
		);

		assert_eq!(include(enclave.says(0, &heartbeat(0))), Ok(Ok(())));
		assert_eq!(include(second), Ok(Ok(())));
	});
}

#[test]
fn a_failing_payload_is_an_event_and_does_not_block_the_next() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let failing =
			enclave.says(0, &Payload::Registry(RegistryPayload::ProbeAnswered { nonce: [0; 32] }));
		assert_eq!(include(failing), Ok(Ok(())));
		System::assert_last_event(
			Event::PayloadFailed {
				worker: WORKER,
				boot: 1,
				seq: 0,
				error: DispatchError::Unavailable,
			}
			.into(),
		);
		assert_eq!(sp_io::storage::get(b"written by a failing receiver"), None);

		let gibberish = enclave.says_bytes(GENESIS, 1, vec![0xff; 9]);
		assert_eq!(include(gibberish), Ok(Ok(())));
		System::assert_last_event(
			Event::PayloadFailed {
				worker: WORKER,
				boot: 1,
				seq: 1,
				error: Error::<Runtime>::UnknownPayload.into(),
			}
			.into(),
		);
		assert_eq!(include(enclave.says(2, &heartbeat(2))), Ok(Ok(())));
	});
}

#[test]
fn an_impostor_a_foreigner_and_a_stranger_are_refused_by_name() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let pool = TransactionSource::External;

		let mut impostor = enclave.says(0, &heartbeat(1));
		impostor.signature[5] ^= 1;
		assert_eq!(authorize(pool, &impostor), Err(refused(EnvelopeError::BadSignature)));

		let mut altered = enclave.says(0, &heartbeat(1));
		altered.payload = heartbeat(2).encode();
		assert_eq!(authorize(pool, &altered), Err(refused(EnvelopeError::BadSignature)));

		let foreign = enclave.says_bytes(H256::repeat_byte(1), 0, heartbeat(1).encode());
		assert_eq!(authorize(pool, &foreign), Err(refused(EnvelopeError::ForeignChain)));

		let mut stranger = enclave.says(0, &heartbeat(1));
		stranger.worker = WORKER + 1;
		assert_eq!(authorize(pool, &stranger), Err(refused(EnvelopeError::UnknownWorker)));

		InForce::set(false);
		let suspended = enclave.says(0, &heartbeat(1));
		assert_eq!(authorize(pool, &suspended), Err(refused(EnvelopeError::Suspended)));
	});
}

#[test]
fn a_twin_boot_silences_the_first() {
	new_test_ext().execute_with(|| {
		let first = Enclave::boots(1);
		assert_eq!(include(first.says(0, &heartbeat(1))), Ok(Ok(())));
		let twin = Enclave::boots(2);
		let late = first.says(1, &heartbeat(2));
		assert_eq!(include(late.clone()), Err(refused(EnvelopeError::RetiredBoot)));
		assert_noop!(
			Mailbox::submit_envelope(frame_system::RawOrigin::Authorized.into(), late),
			Error::<Runtime>::RetiredBoot
		);
		assert_eq!(include(twin.says(0, &heartbeat(3))), Ok(Ok(())));
	});
}

#[test]
fn a_payload_at_its_limit_passes_and_one_past_it_does_not() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let longest = limits::ENVELOPE_PAYLOAD_BYTES_MAX as usize;
		let pool = TransactionSource::External;
		assert_ok!(authorize(pool, &enclave.says_bytes(GENESIS, 0, vec![0; longest])));
		assert_eq!(
			authorize(pool, &enclave.says_bytes(GENESIS, 0, vec![0; longest + 1])),
			Err(refused(EnvelopeError::PayloadTooLong))
		);
	});
}

#[test]
fn a_flooding_worker_is_held_to_its_quota_until_the_next_block() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let quota = u64::from(limits::ENVELOPES_PER_WORKER_PER_BLOCK_MAX);
		for seq in 0..quota {
			assert_eq!(include(enclave.says(seq, &heartbeat(0))), Ok(Ok(())));
		}
		let flood = enclave.says(quota, &heartbeat(0));
		assert_eq!(include(flood.clone()), Err(InvalidTransaction::ExhaustsResources.into()));
		assert_noop!(
			Mailbox::submit_envelope(frame_system::RawOrigin::Authorized.into(), flood.clone()),
			Error::<Runtime>::QuotaUsedUp
		);
		go_to_block(2);
		assert_eq!(include(flood), Ok(Ok(())));
	});
}

#[test]
fn a_paying_account_cannot_call_it_itself() {
	new_test_ext().execute_with(|| {
		let envelope = Enclave::boots(1).says(0, &heartbeat(0));
		assert_noop!(
			Mailbox::submit_envelope(RuntimeOrigin::signed(1), envelope),
			sp_runtime::DispatchError::BadOrigin
		);
	});
}
