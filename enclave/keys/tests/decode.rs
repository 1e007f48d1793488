//! Bytes from outside never panic anything, whatever they are.

mod common;

use codec::{Decode, DecodeAll, Encode};
use common::{gatekeepers, Dice, GENESIS};
use phala_keys::{
	agent::AgentKeys,
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind, WrappedKey},
	dkg::{Acknowledgement, Ceremony, Dealer, DealerLog, Dealing, Outcome, Player, Transcript},
	hpke::{self, DecryptionKey, EncryptionKey, Sealed},
	input::{open_input, InputContext, InputKind, Reception},
	master::{
		ClusterKeyMessage, ClusterSecretSignature, MasterPublicKey, PartialSignature,
		PublicPolynomial,
	},
	release::{PartialRelease, PendingRequest, ReleaseCollector},
	secret::{Secret32, SecretBytes},
	sr25519,
	state::{SealedBody, SealedValue, StateCipher},
};
use phala_protocol::{caller::Caller, keys::KeyRequest};
use proptest::{collection::vec, prelude::*};
use std::sync::Arc;

fn decodes_to_itself<T: Decode + Encode>(bytes: &[u8]) {
	if let Ok(value) = T::decode_all(&mut &bytes[..]) {
		assert_eq!(value.encode(), bytes, "one value, one encoding");
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(300))]

	#[test]
	fn any_bytes_decode_or_are_refused(bytes in vec(any::<u8>(), 0..600)) {
		decodes_to_itself::<Sealed>(&bytes);
		decodes_to_itself::<KeyRequest>(&bytes);
		decodes_to_itself::<PartialRelease>(&bytes);
		decodes_to_itself::<Dealing>(&bytes);
		decodes_to_itself::<Acknowledgement>(&bytes);
		decodes_to_itself::<DealerLog>(&bytes);
		decodes_to_itself::<WrappedKey>(&bytes);
		decodes_to_itself::<SealedBody>(&bytes);
		decodes_to_itself::<SealedValue>(&bytes);
		decodes_to_itself::<PublicPolynomial>(&bytes);
		decodes_to_itself::<Outcome>(&bytes);
		let _ = AgentKeys::from_secret_bytes(&SecretBytes::new(bytes));
	}

	#[test]
	fn any_envelope_opens_or_is_refused(
		suite in 0u8..3,
		enc in any::<[u8; 32]>(),
		ciphertext in vec(any::<u8>(), 0..200),
		key in any::<[u8; 32]>(),
	) {
		let key = DecryptionKey::from_secret(Secret32::new(key));
		let sealed = Sealed { suite, enc, ciphertext };
		prop_assert!(hpke::open(&key, &(), &[], &sealed, "it").is_err());
	}

	#[test]
	fn any_plaintext_by_a_hostile_sealer_is_read_or_refused(
		plaintext in vec(any::<u8>(), 0..300),
		seed in any::<u64>(),
	) {
		let mut dice = Dice::fixed(seed);
		let keys = AgentKeys::generate(&mut *dice);
		let context = InputContext::new(GENESIS, [1; 32].into(), 1, InputKind::Direct);
		let sealed =
			hpke::seal(&mut *dice, &keys.encryption_key().1, &context, &[], &plaintext).unwrap();
		let reception =
			Reception { origin: Caller::Account([0; 32]), now: 0, running: [0; 32].into() };
		let _ = open_input(keys.decryption_key(), &context, &sealed, &reception);
	}

	#[test]
	fn any_state_ciphertext_is_refused(
		nonce in any::<[u8; 24]>(),
		ciphertext in vec(any::<u8>(), 0..200),
	) {
		let mut dice = Dice::fixed(0);
		let id = ClusterKeyId { kind: ClusterKeyKind::Data, number: 0 };
		let key = ClusterKey::generate(&mut *dice, 0, id);
		let cipher = StateCipher::new(&key, [0; 32].into()).ok().unwrap();
		let value = SealedValue { key_number: 0, nonce, ciphertext: ciphertext.clone() };
		prop_assert!(cipher.open_value(0, &[0; 32], &value).is_err());
		let body = SealedBody { key_number: 0, nonce, ciphertext };
		prop_assert!(cipher.open_body(0, 1, &body).is_err());
	}

	#[test]
	fn any_bytes_for_keys_points_and_signatures_are_refused(
		key in any::<[u8; 32]>(),
		public in vec(any::<u8>(), 48),
		signature in vec(any::<u8>(), 96),
		seed in any::<u64>(),
	) {
		let mut halves = [0; 64];
		halves.copy_from_slice(&signature[..64]);
		prop_assert!(!sr25519::verify(&key, b"message", &halves));
		let message = ClusterKeyMessage::new(0, 0);
		let point = ClusterSecretSignature::from_bytes(message, signature.clone().try_into().unwrap());
		let public = MasterPublicKey(public.try_into().unwrap());
		prop_assert!(point.verify(&public).is_err());
		prop_assert!(PartialSignature::from_bytes(0, &signature).is_ok());
		prop_assert!(PartialSignature::from_bytes(0, &signature[..95]).is_err());
		// Any 32 bytes are a public key that can be sealed to, or are refused.
		let mut dice = Dice::fixed(seed);
		let _ = hpke::seal(&mut *dice, &EncryptionKey(key), &(), &[], b"");
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(40))]

	/// A dealing, a log, an answer and an outcome, each with a few bytes changed after encoding.
	#[test]
	fn anything_almost_right_is_refused_or_the_same(
		seed in 0u64..8,
		changes in vec((any::<prop::sample::Index>(), 1u8..), 1..4),
	) {
		let mut dice = Dice::fixed(seed);
		let change = |bytes: Vec<u8>| {
			let mut changed = bytes;
			for (index, by) in &changes {
				let index = index.index(changed.len());
				changed[index] ^= by;
			}
			changed
		};
		let (outcome, gatekeepers) = gatekeepers(&mut dice, 1, 1);
		let gatekeeper = &gatekeepers[0];
		let ceremony =
			Ceremony::new_key(GENESIS, 1, 0, &[gatekeeper.keys.public()]).ok().unwrap();
		let (dealer, dealings) =
			Dealer::start(&mut *dice, &ceremony, &gatekeeper.keys, None).ok().unwrap();

		let bytes = dealings[0].encode();
		let changed = change(bytes.clone());
		if let Ok(dealing) = Dealing::decode_all(&mut &changed[..]) {
			let mut player = Player::new(&ceremony, &gatekeeper.keys).ok().unwrap();
			prop_assert_eq!(player.receive(&gatekeeper.keys, &dealing).is_ok(), changed == bytes);
		}

		let log = dealer.finish();
		let changed = DealerLog(change(log.0.clone()));
		let mut transcript = Transcript::new(&ceremony);
		prop_assert_eq!(transcript.record(&changed).is_ok(), changed == log);

		let pending = Arc::new(PendingRequest::new(&mut *dice, 0, 1, 0, 0));
		let release = phala_keys::release::release_partial(
			&mut *dice,
			GENESIS,
			&gatekeeper.keys,
			&gatekeeper.share,
			pending.request(),
		)
		.unwrap();
		let bytes = release.encode();
		let changed = change(bytes.clone());
		if let Ok(release) = PartialRelease::decode_all(&mut &changed[..]) {
			let mut collector = ReleaseCollector::new(
				GENESIS,
				outcome.sharing(),
				outcome.polynomial().clone(),
				outcome.players(),
				pending,
			)
			.ok()
			.unwrap();
			prop_assert_eq!(collector.add(&release).is_ok(), changed == bytes);
		}

		let _ = Outcome::decode_all(&mut &change(outcome.encode())[..]);
		let _ = PublicPolynomial::decode_all(&mut &change(outcome.polynomial().encode())[..]);
	}
}
