//! Cluster keys under their wrapping, state under cluster keys.

mod common;

use common::{gatekeepers, Dice};
use phala_keys::{
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind, ClusterSecret},
	limits::{STATE_NAME_BYTES_MAX, STATE_VALUE_BYTES_MAX},
	master::ClusterKeyMessage,
	pages::{PageCipher, PageHeader, SealedPage},
	state::StateCipher,
	Error,
};

const AGENT: [u8; 32] = [0xa6; 32];
const DATA: ClusterKeyId = ClusterKeyId { kind: ClusterKeyKind::Data, number: 3 };

fn error<T>(result: Result<T, Error>) -> Error {
	result.err().expect("is refused")
}

fn secret(dice: &mut Dice, epoch: u32, cluster: u32, generation: u32) -> ClusterSecret {
	let (outcome, gatekeepers) = gatekeepers(dice, 1, epoch);
	let message = ClusterKeyMessage::new(cluster, generation);
	let partial = gatekeepers[0].share.partial_sign(&message);
	let polynomial = outcome.polynomial();
	let verified = polynomial.verify_partial(&message, partial).unwrap_or_else(|e| panic!("{e}"));
	polynomial
		.combine(&message, &[verified])
		.unwrap_or_else(|e| panic!("{e}"))
		.cluster_secret(epoch)
}

#[test]
fn a_wrapped_key_comes_back_under_its_own_secret_only() {
	let mut dice = Dice::seeded(30);
	let own = secret(&mut dice, 1, 7, 2);
	let key = ClusterKey::generate(&mut *dice, 7, DATA);
	let wrapped = own.wrap(&mut *dice, &key).unwrap();
	let unwrapped = own.unwrap(&wrapped).unwrap_or_else(|e| panic!("{e}"));
	assert!(unwrapped.secret() == key.secret());
	assert_eq!((unwrapped.id(), unwrapped.cluster()), (DATA, 7));

	let next_generation = secret(&mut dice, 1, 7, 3);
	assert_eq!(
		error(next_generation.unwrap(&wrapped)),
		Error::WrongClusterSecret { cluster: 7, epoch: 1, generation: 2 }
	);
	let stranger = secret(&mut dice, 1, 7, 2);
	assert_eq!(error(stranger.unwrap(&wrapped)), Error::DoesNotOpen { what: "wrapped key" });
}

#[test]
fn a_wrapped_key_cannot_pass_for_another() {
	let mut dice = Dice::seeded(31);
	let own = secret(&mut dice, 1, 7, 2);
	let key = ClusterKey::generate(&mut *dice, 7, DATA);
	let wrapped = own.wrap(&mut *dice, &key).unwrap();
	let refused = Error::DoesNotOpen { what: "wrapped key" };
	for id in [
		ClusterKeyId { kind: ClusterKeyKind::Transport, number: 3 },
		ClusterKeyId { kind: ClusterKeyKind::Data, number: 4 },
	] {
		let mut renamed = wrapped.clone();
		renamed.id = id;
		assert_eq!(error(own.unwrap(&renamed)), refused);
	}
	let mut altered = wrapped.clone();
	altered.ciphertext[47] ^= 1;
	assert_eq!(error(own.unwrap(&altered)), refused);
	let mut altered = wrapped;
	altered.nonce[0] ^= 1;
	assert_eq!(error(own.unwrap(&altered)), refused);
	let foreign = ClusterKey::generate(&mut *dice, 8, DATA);
	assert!(matches!(error(own.wrap(&mut *dice, &foreign)), Error::WrongKeyKind { .. }));
}

#[test]
fn a_value_is_read_back_where_and_when_it_was_written_and_nowhere_else() {
	let mut dice = Dice::seeded(32);
	let key = ClusterKey::generate(&mut *dice, 7, DATA);
	let cipher = StateCipher::new(&key, AGENT.into()).unwrap_or_else(|e| panic!("{e}"));
	let name = cipher.name_tag(b"balance").unwrap();
	let sealed = cipher.seal_value(&mut *dice, 4, &name, b"12").unwrap();
	let opened = cipher.open_value(4, &name, &sealed).unwrap_or_else(|e| panic!("{e}"));
	assert_eq!(opened.expose(), b"12");

	let refused = Error::DoesNotOpen { what: "state value" };
	assert_eq!(error(cipher.open_value(5, &name, &sealed)), refused, "another version");
	let elsewhere = cipher.name_tag(b"debt").unwrap();
	assert_eq!(error(cipher.open_value(4, &elsewhere, &sealed)), refused, "another entry");
	let neighbour = StateCipher::new(&key, [0xa7; 32].into()).unwrap_or_else(|e| panic!("{e}"));
	assert_eq!(error(neighbour.open_value(4, &name, &sealed)), refused, "another agent");
	assert_ne!(neighbour.name_tag(b"balance").unwrap(), name, "names differ between agents");
	let again = cipher.seal_value(&mut *dice, 4, &name, b"12").unwrap();
	assert_ne!(again, sealed, "nobody sees that a value is the same");
}

#[test]
fn a_body_is_bound_to_its_versions_and_to_its_hash() {
	let mut dice = Dice::seeded(33);
	let key = ClusterKey::generate(&mut *dice, 7, DATA);
	let cipher = StateCipher::new(&key, AGENT.into()).unwrap_or_else(|e| panic!("{e}"));
	let sealed = cipher.seal_body(&mut *dice, 4, 5, b"writes").unwrap();
	let opened = cipher.open_body(4, 5, &sealed).unwrap_or_else(|e| panic!("{e}"));
	assert_eq!(opened.expose(), b"writes");
	let refused = Error::DoesNotOpen { what: "effect set body" };
	assert_eq!(error(cipher.open_body(3, 5, &sealed)), refused);
	assert_eq!(error(cipher.open_body(4, 6, &sealed)), refused);
	let mut altered = sealed.clone();
	altered.ciphertext[0] ^= 1;
	assert_eq!(error(cipher.open_body(4, 5, &altered)), refused);
	assert_ne!(altered.hash(), sealed.hash());
	let mut altered = sealed.clone();
	altered.key_number += 1;
	assert_ne!(altered.hash(), sealed.hash());
}

#[test]
fn a_page_opens_under_its_own_name_agent_and_key_only_and_as_what_it_says_it_is() {
	let mut dice = Dice::seeded(37);
	let key = ClusterKey::generate(&mut *dice, 7, DATA);
	let cipher = |agent: [u8; 32], epoch, generation| {
		PageCipher::new(&key, agent.into(), epoch, generation).unwrap_or_else(|e| panic!("{e}"))
	};
	let own = cipher(AGENT, 1, 2);
	let name = [9; 32].into();
	let sealed = own.seal(&mut *dice, name, 1, 5, b"page").unwrap();
	assert_eq!(own.open(name, &sealed).unwrap_or_else(|e| panic!("{e}")).expose(), b"page");
	assert_ne!(own.seal(&mut *dice, name, 1, 5, b"page").unwrap(), sealed);

	let refused = Error::DoesNotOpen { what: "page of state" };
	assert_eq!(error(own.open([8; 32].into(), &sealed)), refused, "another name");
	for other in [cipher([0xa7; 32], 1, 2), cipher(AGENT, 2, 2), cipher(AGENT, 1, 3)] {
		assert_eq!(error(other.open(name, &sealed)), refused, "another agent, epoch, generation");
	}
	let renamed = [
		PageHeader { layout: 2, ..sealed.header },
		PageHeader { version: 6, ..sealed.header },
		PageHeader { epoch: 2, ..sealed.header },
		PageHeader { generation: 3, ..sealed.header },
	];
	for header in renamed {
		let renamed = SealedPage { header, ..sealed.clone() };
		assert_eq!(error(own.open(name, &renamed)), refused, "{header:?}");
	}
}

#[test]
fn a_transport_key_encrypts_no_state() {
	let mut dice = Dice::seeded(34);
	let id = ClusterKeyId { kind: ClusterKeyKind::Transport, number: 0 };
	let key = ClusterKey::generate(&mut *dice, 7, id);
	assert_eq!(
		error(StateCipher::new(&key, AGENT.into())),
		Error::WrongKeyKind { wanted: "a data key" }
	);
	assert_eq!(
		error(PageCipher::new(&key, AGENT.into(), 1, 1)),
		Error::WrongKeyKind { wanted: "a data key" }
	);
}

#[test]
fn names_and_values_are_taken_up_to_their_limits_and_one_byte_more_is_refused() {
	let mut dice = Dice::seeded(35);
	let key = ClusterKey::generate(&mut *dice, 7, DATA);
	let cipher = StateCipher::new(&key, AGENT.into()).unwrap_or_else(|e| panic!("{e}"));
	let name = cipher.name_tag(&vec![0; STATE_NAME_BYTES_MAX]).unwrap();
	let too_long =
		|what| move |error: Error| matches!(error, Error::TooLong { what: w, .. } if w == what);
	assert!(too_long("state entry name")(error(
		cipher.name_tag(&vec![0; STATE_NAME_BYTES_MAX + 1])
	)));
	assert!(cipher.seal_value(&mut *dice, 1, &name, &vec![0; STATE_VALUE_BYTES_MAX]).is_ok());
	assert!(too_long("state value")(error(cipher.seal_value(
		&mut *dice,
		1,
		&name,
		&vec![0; STATE_VALUE_BYTES_MAX + 1]
	))));
}

#[test]
fn a_secret_of_one_cluster_generation_or_epoch_is_none_of_another() {
	let mut dice = Dice::seeded(36);
	let (outcome, gatekeepers) = gatekeepers(&mut dice, 1, 1);
	let secret = |cluster, generation, epoch| {
		let message = ClusterKeyMessage::new(cluster, generation);
		let partial = gatekeepers[0].share.partial_sign(&message);
		let polynomial = outcome.polynomial();
		let verified = polynomial.verify_partial(&message, partial).ok().unwrap();
		*polynomial
			.combine(&message, &[verified])
			.ok()
			.unwrap()
			.cluster_secret(epoch)
			.secret()
			.expose()
	};
	let all = [secret(1, 1, 1), secret(1, 2, 1), secret(2, 1, 1), secret(1, 1, 2)];
	for (index, one) in all.iter().enumerate() {
		assert!(!all[..index].contains(one));
	}
	assert_eq!(secret(1, 1, 1), all[0]);
}
