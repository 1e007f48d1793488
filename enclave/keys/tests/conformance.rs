//! Frozen encodings and known answers. A failure here means: what was written or derived before
//! cannot be read or found again. Change a domain's version instead.
//!
//! The derivations by HKDF, the sealed input (opened), the wrapped key (unwrapped), the ed25519
//! and secp256k1 wallets and the hash of a body were computed a second time with nothing of this
//! crate, by Python's `hmac`, `hashlib` and `cryptography`.

mod common;

use codec::Encode;
use common::{boots, gatekeepers, Dice, GENESIS};
use phala_keys::{
	agent::SigningRoot,
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind, WrappedKey},
	dkg::{Acknowledgement, Ceremony, Dealer, DealerLog, Dealing},
	hpke::{DecryptionKey, EncryptionKey, Sealed},
	input::{open_input, seal_input, InputContext, InputKind, Reception, SealedInput},
	master::{ClusterKeyMessage, ClusterSecretSignature, MasterPublicKey, SharingId},
	pages::{PageCipher, PageHeader, SealedPage},
	release::{release_partial, PartialRelease, PendingRequest},
	reply::ReplyContext,
	secret::{Secret32, SecretBytes},
	state::{SealedBody, SealedValue, StateCipher},
};
use phala_protocol::{boot::BootKeys as BootPublicKeys, caller::Caller, keys::KeyRequest};
use sp_crypto_hashing::blake2_256;

fn hex(bytes: impl AsRef<[u8]>) -> String {
	bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares all before it fails, so that one run shows every change.
#[derive(Default)]
struct Frozen(Vec<String>);

impl Frozen {
	fn check(&mut self, name: &str, bytes: impl AsRef<[u8]>, frozen: &str) {
		let now = hex(bytes);
		if now != frozen {
			self.0.push(format!("{name}: frozen {frozen}, now {now}"));
		}
	}
}

impl Drop for Frozen {
	fn drop(&mut self) {
		if !std::thread::panicking() {
			assert!(self.0.is_empty(), "changed:\n{}", self.0.join("\n"));
		}
	}
}

fn sealed() -> Sealed {
	Sealed { suite: 1, enc: [0x11; 32], ciphertext: vec![0x22; 3] }
}

const SHARING: SharingId = SharingId { epoch: 5, attempt: 6 };
const DATA: ClusterKeyId = ClusterKeyId { kind: ClusterKeyKind::Data, number: 3 };

#[test]
fn wire_forms_are_frozen() {
	let mut frozen = Frozen::default();
	frozen.check(
		"Sealed",
		sealed().encode(),
		"0111111111111111111111111111111111111111111111111111111111111111110c222222",
	);
	frozen.check(
		"BootPublicKeys",
		BootPublicKeys { identity: [1; 32], encryption: [2; 32] }.encode(),
		"01010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202",
	);
	frozen.check(
		"KeyRequest",
		KeyRequest {
			worker: 1,
			boot: 2,
			cluster: 3,
			generation: 4,
			ephemeral_key: [5; 32],
		}
		.encode(),
		"010000000200000003000000040000000505050505050505050505050505050505050505050505050505050505050505",
	);
	frozen.check(
		"PartialRelease",
		PartialRelease {
			sharing: SHARING,
			gatekeeper: 7,
			sealed: sealed(),
			signature: [8; 64],
		}
		.encode(),
		"0500000006000000070000000111111111111111111111111111111111111111111111111111111111111111110c22222208080808080808080808080808080808080808080808080808080808080808080808080808080808080808080808080808080808080808080808080808080808",
	);
	frozen.check(
		"Dealing",
		Dealing {
			dealer: [1; 32],
			player: [2; 32],
			commitment: vec![[3; 48]],
			sealed_share: sealed(),
			signature: [4; 64],
		}
		.encode(),
		"01010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202040303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030111111111111111111111111111111111111111111111111111111111111111110c22222204040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404",
	);
	frozen.check(
		"Acknowledgement",
		Acknowledgement { dealer: [1; 32], player: [2; 32], signature: [3; 64] }.encode(),
		"0101010101010101010101010101010101010101010101010101010101010101020202020202020202020202020202020202020202020202020202020202020203030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303",
	);
	frozen.check("DealerLog", DealerLog(vec![1, 2, 3]).encode(), "0c010203");
	frozen.check("MasterPublicKey", MasterPublicKey([1; 48]).encode(), "010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101");
	frozen.check(
		"WrappedKey",
		WrappedKey {
			epoch: 1,
			cluster: 2,
			generation: 3,
			id: ClusterKeyId { kind: ClusterKeyKind::Transport, number: 4 },
			nonce: [5; 24],
			ciphertext: [6; 48],
		}
		.encode(),
		"0100000002000000030000000104000000050505050505050505050505050505050505050505050505060606060606060606060606060606060606060606060606060606060606060606060606060606060606060606060606",
	);
	let (key_number, nonce, ciphertext) = (1, [2; 24], vec![3; 4]);
	let value = SealedValue { key_number, nonce, ciphertext: ciphertext.clone() };
	frozen.check(
		"SealedValue",
		value.encode(),
		"010000000202020202020202020202020202020202020202020202021003030303",
	);
	let header = PageHeader { layout: 4, version: 5, epoch: 6, generation: 7 };
	let page = SealedPage { header, nonce, ciphertext: ciphertext.clone() };
	frozen.check(
		"SealedPage",
		page.encode(),
		"040005000000000000000600000007000000\
		 0202020202020202020202020202020202020202020202021003030303",
	);
	let body = SealedBody { key_number, nonce, ciphertext };
	frozen.check(
		"SealedBody",
		body.encode(),
		"010000000202020202020202020202020202020202020202020202021003030303",
	);
	frozen.check(
		"SealedBody::hash",
		body.hash(),
		"7a5048466c82941edc69910c6ac08a1da4ae81252c72b168b54314d476996fb7",
	);
}

#[test]
fn what_is_signed_or_used_as_info_is_frozen() {
	let mut frozen = Frozen::default();
	frozen.check(
		"ClusterKeyMessage",
		ClusterKeyMessage::new(7, 2).encode(),
		"407068616c612f636c75737465722f76310700000002000000",
	);
	frozen.check(
		"InputContext",
		InputContext::new(GENESIS, [0xa6; 32].into(), 9, InputKind::OwnerSecrets).encode(),
		"4c7068616c612f7365616c2f696e7075742f76319e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9ea6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a60900000003",
	);
	frozen.check(
		"ReplyContext",
		ReplyContext::new(GENESIS, [0xa6; 32].into(), Caller::Token([1; 32]), [2; 32]).encode(),
		"4c7068616c612f7365616c2f7265706c792f76319e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9ea6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a60201010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202",
	);
	// What a boot signs is not public: a good signature under a fixed generator stands for it.
	let mut dice = Dice::fixed(1);
	let (outcome, gatekeepers) = gatekeepers(&mut dice, 4, 1);
	frozen.check(
		"Outcome",
		blake2_256(&outcome.encode()),
		"7b53db17a2bd355078db43caf513f2ec4264b4542e909fd00a8fec3ac2b9f433",
	);
	frozen.check(
		"PublicPolynomial",
		blake2_256(&outcome.polynomial().encode()),
		"31cfaedcdaf31a5d0722963dfc703c8f142c1d5582ceb3090bb8738de3238286",
	);
	let pending = PendingRequest::new(&mut *dice, 3, 9, 7, 2);
	let gatekeeper = &gatekeepers[2];
	let release = release_partial(
		&mut *dice,
		GENESIS,
		&gatekeeper.keys,
		&gatekeeper.share,
		pending.request(),
	);
	frozen.check(
		"release",
		blake2_256(&release.unwrap().encode()),
		"d9f8e8f40b8c4a983ffa898f45b0aa96c85e5f72cb6243183450875559487c02",
	);
	let members = boots(&mut dice, 1);
	let ceremony = Ceremony::new_key(GENESIS, 1, 0, &[members[0].public()]).ok().unwrap();
	let (dealer, dealings) = Dealer::start(&mut *dice, &ceremony, &members[0], None).ok().unwrap();
	frozen.check(
		"dealing",
		blake2_256(&dealings[0].encode()),
		"ae479dcaf1ec3eaf8ab28ad1e6fe183086153331556dc91355a9cb837fe02079",
	);
	frozen.check(
		"log",
		blake2_256(&dealer.finish().encode()),
		"f0c3774970e96f70ad1448129de19e22c68ffd6c987acd583e93cf2b312536b4",
	);
}

#[test]
fn a_cluster_secret_and_what_it_wraps_are_found_again() {
	let mut frozen = Frozen::default();
	let signature = ClusterSecretSignature::from_bytes(ClusterKeyMessage::new(7, 2), [0x5a; 96]);
	let secret = signature.cluster_secret(1);
	frozen.check(
		"cluster secret",
		secret.secret().expose(),
		"7df5f298d173cf5c12c118b15336ff8fb75f5d084285ba78f14f252ab3cdd9fe",
	);
	let mut dice = Dice::fixed(2);
	let key = ClusterKey::generate(&mut *dice, 7, DATA);
	let wrapped = secret.wrap(&mut *dice, &key).unwrap();
	frozen.check("wrapped key", wrapped.encode(), "01000000070000000200000000030000002cf8ccb495646e17340d11bb581b17d3180d67443ccd0bddfd553ff5ba9c4543c47d4ed2fdb00aa7edb686f176d3a91f235bd814fd8e92352cea44d032214008e729fff1024f6ffa");
	assert!(secret.unwrap(&wrapped).ok().unwrap().secret() == key.secret());

	let cipher = StateCipher::new(&key, [0xa6; 32].into()).ok().unwrap();
	let name = cipher.name_tag(b"balance").unwrap();
	frozen.check(
		"name tag",
		name,
		"b863f08cd743659bed80274818a2c8266748f29fa8f3ca967056f3a82470b724",
	);
	let value = cipher.seal_value(&mut *dice, 4, &name, b"12").unwrap();
	frozen.check(
		"value",
		blake2_256(&value.encode()),
		"12291d8c6fbd7904e19d19949f6f0261f7b0bd5ab8664f601bd8b0dd00ae6eb2",
	);
	let pages = PageCipher::new(&key, [0xa6; 32].into(), 1, 2).ok().unwrap();
	let page = pages.seal(&mut *Dice::fixed(6), [9; 32].into(), 1, 5, b"page").unwrap();
	frozen.check(
		"page",
		blake2_256(&page.encode()),
		"d9f563ff927782f7e5633894cac5c4e8425a663555d90a6d3ebad4fb13bf94bf",
	);
	let body = cipher.seal_body(&mut *dice, 4, 5, b"writes").unwrap();
	frozen.check(
		"body",
		blake2_256(&body.encode()),
		"61eac036db9a1b18710c23864391f372f12f8b05b2da45823d476fa4f989a361",
	);
}

#[test]
fn wallets_and_draws_are_found_again() {
	let mut frozen = Frozen::default();
	let root = SigningRoot::from_secret(Secret32::new([0x42; 32]));
	frozen.check(
		"sr25519",
		root.sr25519(b"treasury").ok().unwrap().public(),
		"9a021587e8161eac8855de0a39898efb85ad5102fe148cc69e781b94bbe34605",
	);
	frozen.check(
		"ed25519",
		root.ed25519(b"treasury").ok().unwrap().public(),
		"b479f69da7463cc10fe2928e5c0edfcdc939e8f5e27bbf2b918c0b2981a1b71b",
	);
	frozen.check(
		"secp256k1",
		root.secp256k1(b"treasury").ok().unwrap().public(),
		"030d1b942b575d7c829ac5c457a5dcf47b30b4f8ebe9f97e2b050c879a43530e9d",
	);
	frozen.check(
		"randomness",
		root.request_randomness(&[7; 32].into()).expose(),
		"449331becf4ce65abff64541a91495750f4ff2f7ec11642282e61b1abd23225f",
	);
}

#[test]
fn a_sealed_input_is_read_again() {
	let mut frozen = Frozen::default();
	let mut dice = Dice::fixed(3);
	let key = DecryptionKey::from_secret(Secret32::new([0x33; 32]));
	frozen.check(
		"X25519 public key",
		key.public().0,
		"7b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b14",
	);
	let context = InputContext::new(GENESIS, [0xa6; 32].into(), 1, InputKind::Direct);
	let caller = Caller::Account([0xa1; 32]);
	let input = SealedInput {
		caller,
		nonce: [5; 32],
		reply_key: EncryptionKey([6; 32]),
		accepted_code_hashes: vec![[0xc0; 32].into()],
		expiry_block: 1010,
		body: SecretBytes::new(b"what is my balance".to_vec()),
	};
	let sealed = seal_input(&mut *dice, &key.public(), &context, &input).unwrap();
	if let Ok(path) = std::env::var("PHALA_KEYS_DUMP") {
		std::fs::write(path, hex(sealed.encode())).unwrap();
	}
	frozen.check(
		"envelope",
		blake2_256(&sealed.encode()),
		"a1b9b2e28b27072ac1174e37526b43380a3ba16dd0538f5aab9703b0ec9fd08f",
	);
	let reception = Reception { origin: caller, now: 1000, running: [0xc0; 32].into() };
	let opened = open_input(&key, &context, &sealed, &reception).ok().unwrap();
	assert_eq!(opened.body.expose(), b"what is my balance");
}
