use crate::{
	mock::{Mailbox, *},
	*,
};
use codec::Encode;
use frame_support::{assert_noop, assert_ok, traits::Authorize};
use phala_protocol::{
	agents::EffectSet,
	caller::Caller,
	messages::{AgentsPayload, ClustersPayload, RegistryMessage, RegistryPayload, RequestsMessage},
	requests::{RequestInput, RequestKind, RequestOrder, RequestOutcome, RequestResult},
};
use sp_runtime::transaction_validity::{
	InvalidTransaction, TransactionSource, TransactionValidityError,
};

fn probe(n: u8) -> Message {
	Message::Registry(RegistryMessage::Probe { nonce: [n; 32] })
}

fn allowed() -> Message {
	Message::Registry(RegistryMessage::MeasurementAllowed { measurement: H256::zero() })
}

fn heartbeat(n: u8) -> Payload {
	Payload::Registry(RegistryPayload::Heartbeat { nonce: [n; 32] })
}

fn key_request() -> Payload {
	let (cluster, generation) = (0, 1);
	Payload::Clusters(ClustersPayload::KeyRequest { cluster, generation, ephemeral_key: [1; 32] })
}

/// The receiver of the mock refuses it.
fn probe_answer() -> Payload {
	Payload::Registry(RegistryPayload::ProbeAnswered { nonce: [0; 32] })
}

fn commit() -> Payload {
	Payload::Agents(AgentsPayload::EffectSet(EffectSet {
		agent: H256::zero(),
		base_version: 0,
		base_hash: H256::zero(),
		new_hash: H256::zero(),
		key: None,
		results: vec![],
		availability: vec![],
	}))
}

/// One that somebody has paid for.
fn paid_commit() -> Payload {
	let Payload::Agents(AgentsPayload::EffectSet(mut set)) = commit() else { unreachable!() };
	let outcome = RequestOutcome::Answered(vec![1]);
	set.results.push(RequestResult { request: H256::zero(), outcome, units: 1 });
	Payload::Agents(AgentsPayload::EffectSet(set))
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
	Ok(submit(envelope).map(|_| ()).map_err(|refused| refused.error))
}

fn submit(envelope: Envelope) -> DispatchResultWithPostInfo {
	Mailbox::submit_envelope(frame_system::RawOrigin::Authorized.into(), envelope)
}

fn go_to_block(n: u64) {
	while System::block_number() < n {
		Mailbox::on_finalize(System::block_number());
		System::set_block_number(System::block_number() + 1);
		Mailbox::on_initialize(System::block_number());
		Mailbox::prune(&mut WeightMeter::with_limit(ForUpkeep::get()));
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
fn a_flood_of_old_bodies_is_forgotten_over_several_blocks_and_none_stays() {
	use crate::WeightInfo;
	type Weights = <Runtime as Config>::WeightInfo;
	new_test_ext().execute_with(|| {
		for n in 0..7 {
			Mailbox::push(Channel::Worker(n), &probe(1)).unwrap();
		}
		go_to_block(2);
		Mailbox::push(Channel::System, &probe(2)).unwrap();
		go_to_block(RETENTION);
		// Room for three, and for the look at a block.
		ForUpkeep::set(Weights::prune(3));
		let kept = || Bodies::<Runtime>::iter().count();
		for expected in [5, 2, 1, 0] {
			go_to_block(System::block_number() + 1);
			assert_eq!(kept(), expected);
			assert_ok!(Mailbox::check_invariants());
		}
		// A block without any room loses nothing.
		Mailbox::push(Channel::System, &probe(3)).unwrap();
		ForUpkeep::set(Weight::zero());
		go_to_block(System::block_number() + 2 * RETENTION);
		assert_eq!(kept(), 1);
		ForUpkeep::set(Weight::MAX);
		go_to_block(System::block_number() + 1);
		assert_eq!((kept(), PushedIn::<Runtime>::iter().count()), (0, 0));
	});
}

#[test]
fn a_block_takes_its_limit_of_messages_and_not_one_more() {
	new_test_ext().execute_with(|| {
		for _ in 0..limits::MESSAGES_PER_BLOCK_MAX {
			Mailbox::push(Channel::System, &allowed()).unwrap();
		}
		let head = Heads::<Runtime>::get(Channel::System);
		assert_eq!(Mailbox::push(Channel::System, &allowed()), Err(PushError::BlockFull));
		assert_eq!(Heads::<Runtime>::get(Channel::System), head);
		go_to_block(2);
		assert_ok!(Mailbox::push(Channel::System, &allowed()));
	});
}

#[test]
fn an_envelope_in_order_takes_effect_once() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let envelope = enclave.signs(0, &heartbeat(7));
		assert_eq!(include(envelope.clone()), Ok(Ok(())));
		assert_eq!(Received::get().len(), 1);
		System::assert_last_event(
			Event::EnvelopeAccepted { worker: WORKER, boot: 1, lane: Lane::Liveness, seq: 0 }
				.into(),
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
		let second = enclave.signs(1, &key_request());
		assert_eq!(include(second.clone()), Err(InvalidTransaction::Future.into()));
		assert_ok!(authorize(TransactionSource::External, &second));

		let far = enclave.signs(limits::ENVELOPES_PENDING_MAX, &key_request());
		assert_ok!(authorize(TransactionSource::External, &far));
		let too_far = enclave.signs(limits::ENVELOPES_PENDING_MAX + 1, &key_request());
		assert_eq!(
			authorize(TransactionSource::External, &too_far),
			Err(InvalidTransaction::Future.into())
		);

		assert_eq!(include(enclave.signs(0, &key_request())), Ok(Ok(())));
		assert_eq!(include(second), Ok(Ok(())));
	});
}

fn last_failure(lane: Lane, seq: u64, error: impl Into<DispatchError>) {
	let error = error.into();
	System::assert_last_event(
		Event::PayloadFailed { worker: WORKER, boot: 1, lane, seq, error }.into(),
	);
}

#[test]
fn a_failing_payload_is_an_event_and_does_not_block_the_next() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		assert_eq!(include(enclave.signs(0, &probe_answer())), Ok(Ok(())));
		last_failure(Lane::Rest, 0, DispatchError::Unavailable);
		assert_eq!(sp_io::storage::get(b"written by a failing receiver"), None);

		let second = EnvelopeNumber { lane: Lane::Rest, seq: 1 };
		let gibberish = enclave.signs_bytes(GENESIS, second, vec![0xff; 9]);
		assert_eq!(include(gibberish), Ok(Ok(())));
		last_failure(Lane::Rest, 1, Error::<Runtime>::UnknownPayload);
		assert_eq!(include(enclave.signs(2, &probe_answer())), Ok(Ok(())));
	});
}

#[test]
fn each_lane_counts_for_itself_and_a_payload_in_another_lane_changes_nothing() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		assert_eq!(include(enclave.signs(0, &heartbeat(1))), Ok(Ok(())));
		assert_eq!(include(enclave.signs(0, &key_request())), Ok(Ok(())));
		assert_eq!(Received::get().len(), 2);

		// The pusher-in wants the urgent lane for what is not.
		go_to_block(2);
		let pushes_in = enclave.signs_in(Lane::Liveness, 1, &key_request());
		assert_eq!(include(pushes_in), Ok(Ok(())));
		last_failure(Lane::Liveness, 1, Error::<Runtime>::OtherLane);
		assert_eq!(Received::get().len(), 2);
		let next = NextEnvelope::<Runtime>::get(WORKER).unwrap();
		assert_eq!(Lane::ALL.map(|lane| next.seq(lane)), [2, 1, 0, 0, 0]);
	});
}

#[test]
fn an_impostor_a_foreigner_and_a_stranger_are_refused_by_name() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let pool = TransactionSource::External;

		let mut impostor = enclave.signs(0, &heartbeat(1));
		impostor.signature[5] ^= 1;
		assert_eq!(authorize(pool, &impostor), Err(refused(EnvelopeError::BadSignature)));

		let mut altered = enclave.signs(0, &heartbeat(1));
		altered.payload = heartbeat(2).encode();
		assert_eq!(authorize(pool, &altered), Err(refused(EnvelopeError::BadSignature)));

		let first = EnvelopeNumber { lane: Lane::Liveness, seq: 0 };
		let foreign = enclave.signs_bytes(H256::repeat_byte(1), first, heartbeat(1).encode());
		assert_eq!(authorize(pool, &foreign), Err(refused(EnvelopeError::ForeignChain)));

		let mut stranger = enclave.signs(0, &heartbeat(1));
		stranger.worker = WORKER + 1;
		assert_eq!(authorize(pool, &stranger), Err(refused(EnvelopeError::UnknownWorker)));

		InForce::set(false);
		let suspended = enclave.signs(0, &heartbeat(1));
		assert_eq!(authorize(pool, &suspended), Err(refused(EnvelopeError::Suspended)));
	});
}

#[test]
fn a_twin_boot_silences_the_first() {
	new_test_ext().execute_with(|| {
		let first = Enclave::boots(1);
		assert_eq!(include(first.signs(0, &key_request())), Ok(Ok(())));
		let twin = Enclave::boots(2);
		let late = first.signs(1, &key_request());
		assert_eq!(include(late.clone()), Err(refused(EnvelopeError::RetiredBoot)));
		assert_noop!(
			Mailbox::submit_envelope(frame_system::RawOrigin::Authorized.into(), late),
			Error::<Runtime>::RetiredBoot
		);
		assert_eq!(include(twin.signs(0, &key_request())), Ok(Ok(())));
	});
}

#[test]
fn a_payload_at_the_limit_of_its_lane_passes_and_one_past_it_does_not() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let pool = TransactionSource::External;
		for lane in Lane::ALL {
			let longest = lane.payload_bytes_max() as usize;
			let of = |bytes| {
				let first = EnvelopeNumber { lane, seq: 0 };
				authorize(pool, &enclave.signs_bytes(GENESIS, first, vec![0; bytes]))
			};
			assert_ok!(of(longest));
			assert_eq!(of(longest + 1), Err(refused(EnvelopeError::PayloadTooLong)));
		}
	});
}

#[test]
fn a_block_s_length_is_shared_like_its_time_so_gibberish_fills_no_more_of_it() {
	new_test_ext().execute_with(|| {
		let gibberish = vec![0xff; limits::ENVELOPE_PAYLOAD_BYTES_MAX as usize];
		let mut landed = 0u64;
		for worker in 1..=50 {
			let babbler = Enclave::boots_in(worker, 1);
			for seq in 0.. {
				let number = EnvelopeNumber { lane: Lane::Keys, seq };
				if include(babbler.signs_bytes(GENESIS, number, gibberish.clone())).is_err() {
					break;
				}
				landed += 1;
			}
		}
		// As many as fit the lane and what liveness leaves of its own: a hundred fit all lanes.
		let lane = fit(SHARES.liveness) + fit(SHARES.keys);
		assert!((lane - 2..=lane).contains(&landed), "{landed} of {lane}");
	});
}

/// Puts envelopes of a payload into the block until it takes no more; how many it took.
fn flood(enclave: &Enclave, payload: &Payload) -> u64 {
	let lane = payload.lane();
	let first = NextEnvelope::<Runtime>::get(enclave.worker).unwrap().seq(lane);
	for seq in first.. {
		let envelope = enclave.signs(seq, payload);
		match include(envelope.clone()) {
			Ok(landed) => assert_eq!(landed, Ok(())),
			Err(refused) => {
				assert_eq!(refused, InvalidTransaction::ExhaustsResources.into());
				// Nor does an author who skips validation get it in.
				let dispatched =
					Mailbox::submit_envelope(frame_system::RawOrigin::Authorized.into(), envelope);
				assert!(dispatched.is_err());
				return seq - first;
			}
		}
	}
	unreachable!("a block is full at some time")
}

/// How many key requests fit this part of what envelopes may take.
fn fit(part: sp_runtime::Perbill) -> u64 {
	part.mul_floor(EnvelopeWeight::get().ref_time()) / PAYLOAD_PS
}

#[test]
fn a_flooding_boot_is_held_to_its_part_of_a_lane_until_the_next_block() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let quota = fit(SHARE_OF_ONE_BOOT * SHARES.keys);
		// What an envelope itself weighs takes the last one's place.
		assert!((quota - 1..=quota).contains(&flood(&enclave, &key_request())));
		assert!(flood(&enclave, &probe_answer()) > 0, "its other lanes are free");
		go_to_block(2);
		assert!((quota - 1..=quota).contains(&flood(&enclave, &key_request())));
	});
}

#[test]
fn many_flooding_boots_fill_their_lane_and_hold_up_no_other() {
	new_test_ext().execute_with(|| {
		let flooders: Vec<_> = (1..=50).map(|worker| Enclave::boots_in(worker, 1)).collect();
		let landed = |payload: &Payload| -> u64 {
			flooders.iter().map(|flooder| flood(flooder, payload)).sum()
		};
		let rest = landed(&probe_answer());
		// The less urgent took what the others had left so far: all of it.
		assert!((95..=100).contains(&rest), "{rest}");
		// The more urgent have theirs all the same, and what is left of those before them.
		let keys = landed(&key_request());
		let expected = fit(SHARES.liveness) + fit(SHARES.keys);
		assert!((expected - 3..=expected).contains(&keys), "{keys} of {expected}");
		let victim = Enclave::boots_in(51, 1);
		assert_eq!(include(victim.signs(0, &heartbeat(1))), Ok(Ok(())), "it lives");
		assert_eq!(
			include(victim.signs(0, &key_request())),
			Err(InvalidTransaction::ExhaustsResources.into())
		);

		// The next block has all of its room again.
		go_to_block(2);
		assert!(!LaneUse::<Runtime>::exists() && !PushedBytes::<Runtime>::exists());
		assert_eq!(landed(&key_request()), keys);
	});
}

#[test]
fn what_urgent_lanes_took_is_gone_for_the_others() {
	new_test_ext().execute_with(|| {
		let flooders: Vec<_> = (1..=50).map(|worker| Enclave::boots_in(worker, 1)).collect();
		let keys: u64 = flooders.iter().map(|flooder| flood(flooder, &key_request())).sum();
		let rest: u64 = flooders.iter().map(|flooder| flood(flooder, &probe_answer())).sum();
		assert!((95..=100).contains(&(keys + rest)), "{keys} + {rest}");
	});
}

/// Whether a worker is excused for what it should have committed in this block.
fn is_excused(enclave: &Enclave) -> bool {
	let now = System::block_number() as BlockNumber;
	<Mailbox as EnvelopeLanes>::was_full_throughout(enclave.worker, now, now)
}

#[test]
fn an_idler_is_not_excused_by_what_it_says_beside_commits() {
	new_test_ext().execute_with(|| {
		let idler = Enclave::boots(1);
		for beside in [heartbeat(0), key_request(), probe_answer()] {
			assert!(flood(&idler, &beside) > 0);
			assert!(!is_excused(&idler), "a commit would have had room");
		}
		assert_eq!(include(idler.signs(0, &commit())), Ok(Ok(())));
		assert!(!is_excused(&idler), "and a second one has");
	});
}

#[test]
fn who_filled_its_own_part_of_a_lane_is_excused_alone_and_only_then() {
	new_test_ext().execute_with(|| {
		let (busy, idler) = (Enclave::boots_in(1, 1), Enclave::boots_in(2, 1));
		assert!(flood(&busy, &paid_commit()) > 1);
		assert!(is_excused(&busy) && !is_excused(&idler));
		go_to_block(2);
		assert!(!is_excused(&busy), "the next block has room again");
		let was_full =
			|from, to| <Mailbox as EnvelopeLanes>::was_full_throughout(busy.worker, from, to);
		assert!(was_full(1, 1) && !was_full(1, 2));
		assert!(flood(&busy, &paid_commit()) > 1);
		go_to_block(4);
		assert!(was_full(1, 2) && !was_full(1, 3) && !was_full(0, 2));
	});
}

/// Withholds an answer, and fills its own part of the lane meanwhile, so that it seems to have had no room:
/// with what its own agents write for nothing, and with answers that are refused.
struct SelfStuffer {
	enclave: Enclave,
}

impl SelfStuffer {
	fn stuffs(&self) {
		assert!(flood(&self.enclave, &commit()) > 1);
		assert_eq!(
			include(self.enclave.signs(self.next(), &commit())),
			Err(InvalidTransaction::ExhaustsResources.into()),
			"its part of the block is full"
		);
	}

	fn next(&self) -> u64 {
		NextEnvelope::<Runtime>::get(self.enclave.worker).unwrap().seq(Lane::PaidCommits)
	}
}

#[test]
fn a_self_stuffer_is_not_excused_by_what_nobody_paid_it_for() {
	new_test_ext().execute_with(|| {
		let villain = SelfStuffer { enclave: Enclave::boots(1) };
		villain.stuffs();
		assert!(!is_excused(&villain.enclave));
		// Nor by one paid answer on top, in the next block.
		go_to_block(2);
		assert_eq!(include(villain.enclave.signs(villain.next(), &paid_commit())), Ok(Ok(())));
		assert!(flood(&villain.enclave, &commit()) > 0);
		assert!(!is_excused(&villain.enclave));
		// Nor by answers that the chain refuses.
		go_to_block(3);
		Refusing::set(true);
		assert!(flood(&villain.enclave, &paid_commit()) > 1);
		assert!(!is_excused(&villain.enclave));
	});
}

/// Declares the heaviest there is, and does next to nothing.
struct Boaster;

#[test]
fn a_boaster_holds_no_lane_and_gains_no_room_by_what_it_does_not_use() {
	new_test_ext().execute_with(|| {
		let quota = fit(SHARE_OF_ONE_BOOT * SHARES.paid_commits);
		Refusing::set(true);
		let boasts = |_: Boaster| flood(&Enclave::boots_in(1, 1), &commit());
		let landed = boasts(Boaster);
		// A refusal takes a tenth of it: so many more fit, but for the last, which is let in by all of it.
		assert!((8 * quota..=10 * quota).contains(&landed), "{landed} of {quota}");
		let used = *LaneUse::<Runtime>::get().of(Lane::PaidCommits);
		assert!(used <= quota * PAYLOAD_PS + PAYLOAD_PS, "{used}");
		assert_eq!(UseByWorker::<Runtime>::get(1).of(Lane::PaidCommits), &used);
		// Others have what is theirs.
		Refusing::set(false);
		let honest = flood(&Enclave::boots_in(2, 1), &commit());
		assert!((quota - 1..=quota).contains(&honest), "{honest} of {quota}");
	});
}

#[test]
fn what_an_envelope_did_not_use_goes_back_to_its_block_its_lane_and_its_boot() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let lane_use = || *LaneUse::<Runtime>::get().of(Lane::PaidCommits);
		let landed = |envelope: Envelope| {
			use frame_support::dispatch::GetDispatchInfo;
			let call = RuntimeCall::from(Call::submit_envelope { envelope: envelope.clone() });
			let (declared, before) = (call.get_dispatch_info().call_weight, lane_use());
			let used = submit(envelope).unwrap().actual_weight.expect("it is said");
			assert!(declared.all_gte(used));
			(declared, used, lane_use() - before)
		};
		let (declared, used, taken) = landed(enclave.signs(0, &commit()));
		assert_eq!(declared, used, "it did all that it was let in for");
		assert!(taken >= PAYLOAD_PS);
		Refusing::set(true);
		let (declared, used, taken) = landed(enclave.signs(1, &commit()));
		assert_eq!((declared - used).ref_time(), PAYLOAD_PS - PAYLOAD_PS / 10);
		assert!((PAYLOAD_PS / 10..PAYLOAD_PS / 5).contains(&taken), "{taken}");
		// Its bytes are used, whatever it did: as much of the lane as they are of all bytes.
		let gibberish = vec![0xff; limits::ENVELOPE_PAYLOAD_BYTES_MAX as usize];
		let third = EnvelopeNumber { lane: Lane::PaidCommits, seq: 2 };
		let (declared, used, taken) = landed(enclave.signs_bytes(GENESIS, third, gibberish));
		assert_eq!(declared, used);
		assert!(taken >= PAYLOAD_PS, "{taken}");
	});
}

fn fill_block_with_messages() {
	let short = Message::Registry(RegistryMessage::Probe { nonce: [0; 32] });
	while Mailbox::push(Channel::System, &short).is_ok() {}
}

/// Pays for messages that fill the block, to excuse whoever owes an answer.
struct Crier;

impl Crier {
	/// No transaction that is paid for is before envelopes.
	fn fills_block(&self) {
		fill_block_with_messages();
	}
}

/// A hook that has much to tell.
struct Herald;

impl Herald {
	fn fills_block(&self) {
		fill_block_with_messages();
		Mailbox::note_if_messages_are_full();
	}
}

#[test]
fn a_crier_who_pays_for_messages_after_all_envelopes_excuses_nobody() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		assert_eq!(include(enclave.signs(0, &paid_commit())), Ok(Ok(())));
		Crier.fills_block();
		go_to_block(2);
		assert!(!<Mailbox as EnvelopeLanes>::was_full_throughout(WORKER, 1, 1));
	});
}

#[test]
fn a_commit_whose_message_finds_no_room_waits_for_the_next_block_and_its_holder_is_excused() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let envelope = enclave.signs(0, &paid_commit());
		Herald.fills_block();
		assert_eq!(include(envelope.clone()), Err(InvalidTransaction::ExhaustsResources.into()));
		assert_noop!(submit(envelope.clone()), Error::<Runtime>::MessagesFull);
		// What is vital has room of its own, and what pushes nothing needs none.
		assert_eq!(include(enclave.signs(0, &key_request())), Ok(Ok(())));
		assert_eq!(include(enclave.signs(0, &heartbeat(0))), Ok(Ok(())));
		go_to_block(2);
		assert!(<Mailbox as EnvelopeLanes>::was_full_throughout(WORKER, 1, 1));
		assert_eq!(include(envelope), Ok(Ok(())), "its number was not used up");
		assert!(!is_excused(&enclave));
	});
}

#[test]
fn a_holder_crowded_out_by_others_is_excused_though_it_landed_nothing() {
	new_test_ext().execute_with(|| {
		let victim = Enclave::boots_in(51, 1);
		for crowd in 1..=50 {
			flood(&Enclave::boots_in(crowd, 1), &commit());
		}
		assert_eq!(
			include(victim.signs(0, &commit())),
			Err(InvalidTransaction::ExhaustsResources.into())
		);
		assert!(is_excused(&victim));
		go_to_block(2);
		assert!(!is_excused(&victim));
	});
}

#[test]
fn a_block_full_of_what_others_pay_for_excuses_nobody_and_one_full_of_hooks_everybody() {
	new_test_ext().execute_with(|| {
		let idler = Enclave::boots(1);
		let weights: frame_system::limits::BlockWeights =
			<Runtime as frame_system::Config>::BlockWeights::get();
		let most = weights.max_block;
		// Mallory pays for a whole block: commits would have gone in before.
		System::register_extra_weight_unchecked(most, DispatchClass::Normal);
		Mailbox::on_finalize(System::block_number());
		assert!(!is_excused(&idler));
		System::register_extra_weight_unchecked(most, DispatchClass::Mandatory);
		Mailbox::on_finalize(System::block_number());
		assert!(is_excused(&idler));
	});
}

#[test]
fn a_boot_lives_once_a_block_however_full_it_is() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		assert_eq!(flood(&enclave, &heartbeat(0)), 1);
		go_to_block(2);
		assert_eq!(flood(&enclave, &heartbeat(0)), 1);
	});
}

#[test]
fn the_urgent_lane_goes_first_out_of_the_pool() {
	new_test_ext().execute_with(|| {
		let enclave = Enclave::boots(1);
		let priority = |payload: &Payload| {
			let call =
				RuntimeCall::from(Call::submit_envelope { envelope: enclave.signs(0, payload) });
			call.authorize(TransactionSource::External).unwrap().unwrap().0.priority
		};
		assert!(priority(&heartbeat(0)) > priority(&key_request()));
		assert!(priority(&key_request()) > priority(&probe_answer()));
	});
}

#[test]
fn who_has_a_backlog_waits_behind_those_who_have_none() {
	new_test_ext().execute_with(|| {
		let (babbler, quiet) = (Enclave::boots_in(1, 1), Enclave::boots_in(2, 1));
		let priority = |envelope: Envelope| {
			let call = RuntimeCall::from(Call::submit_envelope { envelope });
			call.authorize(TransactionSource::External).unwrap().unwrap().0.priority
		};
		let backlog = priority(babbler.signs(9, &key_request()));
		assert!(priority(quiet.signs(0, &key_request())) > backlog);
		assert!(backlog > priority(quiet.signs(0, &probe_answer())));
	});
}

#[test]
fn what_strangers_make_the_chain_push_leaves_room_for_keys_and_registrations() {
	new_test_ext().execute_with(|| {
		let long = Message::Requests(RequestsMessage::Request(RequestOrder {
			request: H256::zero(),
			agent: H256::zero(),
			caller: Caller::Account([1; 32]),
			kind: RequestKind::Call,
			input: RequestInput::Public(vec![0; limits::REQUEST_INPUT_BYTES_MAX as usize]),
			units_max: 1,
			min_block: 0,
			deadline: 1,
			worker: WORKER,
			boot: 1,
		}));
		let mut pushed = 0;
		while Mailbox::push(Channel::Cluster(0), &long).is_ok() {
			pushed += long.encoded_size();
		}
		let free = (limits::PUSHED_BYTES_PER_BLOCK_MAX - limits::VITAL_BYTES_PER_BLOCK) as usize;
		assert!((free - long.encoded_size()..=free).contains(&pushed), "{pushed}");
		assert_eq!(Mailbox::push(Channel::Worker(1), &long), Err(PushError::BlockFull));
		assert_ok!(Mailbox::push(Channel::Worker(1), &allowed()));
		go_to_block(2);
		assert_ok!(Mailbox::push(Channel::Cluster(0), &long));
	});
}

#[test]
fn a_paying_account_cannot_call_it_itself() {
	new_test_ext().execute_with(|| {
		let envelope = Enclave::boots(1).signs(0, &heartbeat(0));
		assert_noop!(
			Mailbox::submit_envelope(RuntimeOrigin::signed(1), envelope),
			sp_runtime::DispatchError::BadOrigin
		);
	});
}
