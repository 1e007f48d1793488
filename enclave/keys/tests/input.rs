//! Sealed inputs and their answers.

mod common;

use codec::Encode;
use common::{Dice, GENESIS};
use phala_keys::{
	agent::AgentKeys,
	hpke::{self, DecryptionKey, EncryptionKey, Sealed},
	input::{open_input, seal_input, InputContext, InputKind, Reception, SealedInput},
	limits::{
		ACCEPTED_CODE_HASHES_MAX, INPUT_LIFETIME_BLOCKS_MAX, PADDING_STEP_BYTES,
		SEALED_PLAINTEXT_BYTES_MAX,
	},
	reply::{open_reply, seal_reply, ReplyContext},
	secret::SecretBytes,
	Error,
};
use phala_protocol::{caller::Caller, H256};

const AGENT: H256 = H256::repeat_byte(0xa6);
const CODE: H256 = H256::repeat_byte(0xc0);
const ALICE: Caller = Caller::Account([0xa1; 32]);
const NOW: u32 = 1000;

/// Copies ciphertexts off the chain and sends them as her own.
struct Thief;

impl Thief {
	const CALLER: Caller = Caller::Account([0x7e; 32]);
}

fn context(kind: InputKind) -> InputContext {
	InputContext::new(GENESIS, AGENT, 1, kind)
}

fn reception(origin: Caller, now: u32) -> Reception {
	Reception { origin, now, running: CODE }
}

fn input(reply_key: EncryptionKey) -> SealedInput {
	SealedInput {
		caller: ALICE,
		nonce: [5; 32],
		reply_key,
		accepted_code_hashes: vec![CODE],
		expiry_block: NOW + 10,
		body: SecretBytes::new(b"what is my balance".to_vec()),
	}
}

struct Scene {
	dice: Dice,
	agent: AgentKeys,
	reply: DecryptionKey,
}

impl Scene {
	fn new(seed: u64) -> Self {
		let mut dice = Dice::seeded(seed);
		let agent = AgentKeys::generate(&mut *dice);
		let reply = DecryptionKey::generate(&mut *dice);
		Self { dice, agent, reply }
	}

	fn seal(&mut self, input: &SealedInput) -> Sealed {
		let (_, key) = self.agent.encryption_key();
		seal_input(&mut *self.dice, &key, &context(InputKind::Direct), input)
			.unwrap_or_else(|error| panic!("{error}"))
	}

	fn open(&self, sealed: &Sealed, reception: &Reception) -> Result<SealedInput, Error> {
		open_input(self.agent.decryption_key(), &context(InputKind::Direct), sealed, reception)
	}
}

fn error<T>(result: Result<T, Error>) -> Error {
	result.err().expect("is refused")
}

#[test]
fn the_caller_that_sealed_an_input_is_heard_and_gets_its_answer() {
	let mut scene = Scene::new(10);
	let sealed = scene.seal(&input(scene.reply.public()));
	let opened = scene.open(&sealed, &reception(ALICE, NOW)).unwrap_or_else(|e| panic!("{e}"));
	assert_eq!(opened.body.expose(), b"what is my balance");
	assert_eq!((opened.caller, opened.nonce), (ALICE, [5; 32]));

	let asked = ReplyContext::to_input(GENESIS, AGENT, &opened);
	let answer = seal_reply(&mut *scene.dice, &opened.reply_key, &asked, b"12 PHA").unwrap();
	let known = ReplyContext::new(GENESIS, AGENT, ALICE, [5; 32]);
	let read = open_reply(&scene.reply, &known, &answer).unwrap_or_else(|e| panic!("{e}"));
	assert_eq!(read.expose(), b"12 PHA");
	let other = ReplyContext::new(GENESIS, AGENT, ALICE, [6; 32]);
	assert_eq!(
		error(open_reply(&scene.reply, &other, &answer)),
		Error::DoesNotOpen { what: "reply" }
	);
}

#[test]
fn a_copied_ciphertext_is_worth_nothing_to_a_thief() {
	let mut scene = Scene::new(11);
	let sealed = scene.seal(&input(scene.reply.public()));
	for origin in [Thief::CALLER, Caller::Agent([0xa1; 32].into()), Caller::Token([0xa1; 32])] {
		assert_eq!(error(scene.open(&sealed, &reception(origin, NOW))), Error::OriginIsNotCaller);
	}
}

#[test]
fn an_input_is_accepted_in_its_last_block_and_refused_in_the_next() {
	let mut scene = Scene::new(12);
	let sealed = scene.seal(&input(scene.reply.public()));
	let expiry_block = NOW + 10;
	assert!(scene.open(&sealed, &reception(ALICE, expiry_block)).is_ok());
	assert_eq!(
		error(scene.open(&sealed, &reception(ALICE, expiry_block + 1))),
		Error::Expired { expiry_block, now: expiry_block + 1 }
	);
}

#[test]
fn an_expiry_may_lie_as_far_ahead_as_nonces_are_remembered_and_no_further() {
	let mut scene = Scene::new(13);
	let mut late = input(scene.reply.public());
	late.expiry_block = NOW + INPUT_LIFETIME_BLOCKS_MAX;
	let sealed = scene.seal(&late);
	assert!(scene.open(&sealed, &reception(ALICE, NOW)).is_ok());
	assert_eq!(
		error(scene.open(&sealed, &reception(ALICE, NOW - 1))),
		Error::ExpiresTooLate { expiry_block: late.expiry_block, now: NOW - 1 }
	);
}

#[test]
fn code_that_the_caller_did_not_name_does_not_read_it() {
	let mut scene = Scene::new(14);
	let sealed = scene.seal(&input(scene.reply.public()));
	let running = [0xc1u8; 32];
	assert_eq!(
		error(scene.open(&sealed, &Reception { origin: ALICE, now: NOW, running: running.into() })),
		Error::CodeNotAccepted { running: running.into() }
	);
	let mut any_code = input(scene.reply.public());
	any_code.accepted_code_hashes.clear();
	let sealed = scene.seal(&any_code);
	assert!(scene
		.open(&sealed, &Reception { origin: ALICE, now: NOW, running: running.into() })
		.is_ok());
}

#[test]
fn an_input_for_another_chain_agent_key_or_purpose_does_not_open() {
	let mut scene = Scene::new(15);
	let sealed = scene.seal(&input(scene.reply.public()));
	let here = InputKind::Direct;
	for elsewhere in [
		InputContext::new([0; 32].into(), AGENT, 1, here),
		InputContext::new(GENESIS, [0; 32].into(), 1, here),
		InputContext::new(GENESIS, AGENT, 2, here),
		context(InputKind::Request),
		context(InputKind::AgentCall),
		context(InputKind::OwnerSecrets),
	] {
		let key = scene.agent.decryption_key();
		let opened = open_input(key, &elsewhere, &sealed, &reception(ALICE, NOW));
		assert_eq!(error(opened), Error::DoesNotOpen { what: "input" });
	}
	let old = scene.agent.rotate_encryption_key(&mut *scene.dice);
	assert_eq!(scene.agent.encryption_key().0, 2);
	assert!(scene.open(&sealed, &reception(ALICE, NOW)).is_err(), "the new key opens nothing old");
	assert!(open_input(&old, &context(here), &sealed, &reception(ALICE, NOW)).is_ok());
}

#[test]
fn an_altered_envelope_does_not_open() {
	let mut scene = Scene::new(16);
	let sealed = scene.seal(&input(scene.reply.public()));
	let reception = reception(ALICE, NOW);
	let mut altered = sealed.clone();
	altered.suite = 2;
	assert_eq!(error(scene.open(&altered, &reception)), Error::UnknownSuite { suite: 2 });
	for byte in (0..sealed.ciphertext.len()).step_by(13) {
		let mut altered = sealed.clone();
		altered.ciphertext[byte] ^= 1;
		assert_eq!(error(scene.open(&altered, &reception)), Error::DoesNotOpen { what: "input" });
	}
	let mut altered = sealed.clone();
	altered.enc = [0; 32];
	assert_eq!(error(scene.open(&altered, &reception)), Error::DoesNotOpen { what: "input" });
	for cut in [0, 15, 16, sealed.ciphertext.len() - 1] {
		let mut altered = sealed.clone();
		altered.ciphertext.truncate(cut);
		assert_eq!(error(scene.open(&altered, &reception)), Error::DoesNotOpen { what: "input" });
	}
}

#[test]
fn as_many_code_hashes_as_allowed_are_accepted_and_one_more_is_refused() {
	let mut scene = Scene::new(17);
	let mut many = input(scene.reply.public());
	many.accepted_code_hashes = vec![CODE; ACCEPTED_CODE_HASHES_MAX];
	let sealed = scene.seal(&many);
	assert!(scene.open(&sealed, &reception(ALICE, NOW)).is_ok());
	many.accepted_code_hashes.push(CODE);
	let (_, key) = scene.agent.encryption_key();
	let sealed = seal_input(&mut *scene.dice, &key, &context(InputKind::Direct), &many);
	assert!(
		matches!(error(sealed), Error::TooMany { count, .. } if count == many.accepted_code_hashes.len())
	);
}

#[test]
fn nothing_is_sealed_to_a_point_of_low_order() {
	let mut dice = Dice::seeded(18);
	for point in [[0; 32], {
		let mut one = [0; 32];
		one[0] = 1;
		one
	}] {
		assert_eq!(
			error(hpke::seal(&mut *dice, &EncryptionKey(point), &(), &[], b"secret")),
			Error::UnusableRecipient
		);
	}
}

#[test]
fn lengths_say_which_step_and_nothing_finer() {
	let mut dice = Dice::seeded(19);
	let key = DecryptionKey::generate(&mut *dice);
	let mut size = |bytes: usize| {
		hpke::seal(&mut *dice, &key.public(), &(), &[], &vec![1; bytes])
			.unwrap_or_else(|error| panic!("{error}"))
			.encoded_size()
	};
	assert_eq!(size(0), size(900));
	assert!(size(0) <= PADDING_STEP_BYTES);
	// 16 KiB of request input: all of it can be used but the reserve and the length.
	assert!(size(16 * 1024 - 68) <= 16 * 1024);
	assert!(size(16 * 1024 - 67) > 16 * 1024);
}

#[test]
fn the_longest_plaintext_is_sealed_and_one_byte_more_is_refused() {
	let mut dice = Dice::seeded(20);
	let key = DecryptionKey::generate(&mut *dice);
	let longest = vec![1; SEALED_PLAINTEXT_BYTES_MAX];
	let sealed = hpke::seal(&mut *dice, &key.public(), &(), &[], &longest).unwrap();
	let opened = hpke::open(&key, &(), &[], &sealed, "it").unwrap_or_else(|e| panic!("{e}"));
	assert_eq!(opened.expose(), longest);
	let longer = vec![1; SEALED_PLAINTEXT_BYTES_MAX + 1];
	assert!(matches!(
		error(hpke::seal(&mut *dice, &key.public(), &(), &[], &longer)),
		Error::TooLong { .. }
	));
}
