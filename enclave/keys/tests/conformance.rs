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
	release::{release_partial, PartialRelease, PendingRequest},
	reply::ReplyContext,
	secret::{Secret32, SecretBytes},
	state::{SealedBody, SealedValue, StateCipher},
};
use phala_protocol::{boot::BootKeys as BootPublicKeys, caller::Caller, keys::KeyRequest, H256};
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
	let body = SealedBody { key_number, nonce, ciphertext };
	frozen.check(
		"SealedBody",
		body.encode(),
		"010000000202020202020202020202020202020202020202020202021003030303",
	);
	frozen.check(
		"SealedBody::hash",
		body.hash(),
		"afbe82c4b6309d040489a259ef46b4be96711bbc2912789ece5cf6971a1bf3a4",
	);
}

#[test]
fn what_is_signed_or_used_as_info_is_frozen() {
	let mut frozen = Frozen::default();
	frozen.check(
		"ClusterKeyMessage",
		ClusterKeyMessage::new(7, 2).encode(),
		"7068616c612f636c75737465722f76310700000002000000",
	);
	frozen.check(
		"InputContext",
		InputContext::new(GENESIS, [0xa6; 32].into(), 9, InputKind::OwnerSecrets).encode(),
		"7068616c612f7365616c2f696e702f319e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9ea6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a60900000003",
	);
	frozen.check(
		"ReplyContext",
		ReplyContext::new(GENESIS, [0xa6; 32].into(), Caller::Token([1; 32]), [2; 32]).encode(),
		"7068616c612f7365616c2f7265702f319e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9ea6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a60201010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202",
	);
	// What a boot signs is not public: a good signature under a fixed generator stands for it.
	let mut dice = Dice::fixed(1);
	let (outcome, gatekeepers) = gatekeepers(&mut dice, 4, 1);
	frozen.check(
		"Outcome",
		blake2_256(&outcome.encode()),
		"27d6897f932fec867d1f84e0598bb0f7aaacc19666935447bee8a11e2710678b",
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
		"0beee70b2b8e06bcbc31da1fe7d05f8ee101b5a7f8b510d4db18a39b596c2ed8",
	);
	let members = boots(&mut dice, 1);
	let ceremony = Ceremony::new_key(GENESIS, 1, 0, &[members[0].public()]).ok().unwrap();
	let (dealer, dealings) = Dealer::start(&mut *dice, &ceremony, &members[0], None).ok().unwrap();
	frozen.check(
		"dealing",
		blake2_256(&dealings[0].encode()),
		"e50f7348b350c1622022c66d61c04855b32763f9627ca1fc653b0e840732454c",
	);
	frozen.check(
		"log",
		blake2_256(&dealer.finish().encode()),
		"f6a2afda3746fdffed59c1542efa8345518a6a58f6551c39f3ba60a4d6bafa84",
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
		"9e309641a77ced4ae090fdc6cadf6ce527bfa30dd774557c2f35154c451241ac",
	);
	let mut dice = Dice::fixed(2);
	let key = ClusterKey::generate(&mut *dice, 7, DATA);
	let wrapped = secret.wrap(&mut *dice, &key).unwrap();
	frozen.check("wrapped key", wrapped.encode(), "01000000070000000200000000030000002cf8ccb495646e17340d11bb581b17d3180d67443ccd0bdd9f29430fc92e598209b77de385e2158aedc8b4090dd93837160bf461b104f8f44cd32ce34a82fc98645172067ab16b6e");
	assert!(secret.unwrap(&wrapped).ok().unwrap().secret() == key.secret());

	let cipher = StateCipher::new(&key, [0xa6; 32].into()).ok().unwrap();
	let name = cipher.name_tag(b"balance").unwrap();
	frozen.check(
		"name tag",
		name,
		"d27209491614a63a3ddfa6be719bbf30cadfdd5b04ae28fd6a27c5bd3f110715",
	);
	let value = cipher.seal_value(&mut *dice, 4, &name, b"12").unwrap();
	frozen.check(
		"value",
		blake2_256(&value.encode()),
		"5c71fe3195988c6ebf5e266595ddad1b2ee1c5738d1c01fafd59a85dbf77b2e0",
	);
	let body = cipher.seal_body(&mut *dice, 4, 5, b"writes").unwrap();
	frozen.check(
		"body",
		blake2_256(&body.encode()),
		"cd4477990a9c075cd1dc0b3972f5290f15b2a38d5eef9342f8fb84d040749352",
	);
}

#[test]
fn wallets_and_draws_are_found_again() {
	let mut frozen = Frozen::default();
	let root = SigningRoot::from_secret(Secret32::new([0x42; 32]));
	frozen.check(
		"sr25519",
		root.sr25519(b"treasury").ok().unwrap().public(),
		"8a36ed40a5335a6b4950b47bfed071afe6f9a2ee1d70e6e1bbb945269e24b611",
	);
	frozen.check(
		"ed25519",
		root.ed25519(b"treasury").ok().unwrap().public(),
		"6b2be951d1e3db41c983d74670d0c04e4b291f797fdd5671076ad4fba7970bfa",
	);
	frozen.check(
		"secp256k1",
		root.secp256k1(b"treasury").ok().unwrap().public(),
		"03d77cb15c25994f9c9a5d574498467b707ba2aaa1867282fcbcca6a4146be84c1",
	);
	frozen.check(
		"randomness",
		root.request_randomness(&[7; 32].into()).expose(),
		"477130ef67ee8c7cc3e2b76bd2fb70d130cf99e90be7f5ea926ef47c47c388b1",
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
		"33409ba377d87aa6b997d89483b64026ebc7a57da02f4263e1cbc13796fef4c2",
	);
	let reception = Reception { origin: caller, now: 1000, running: [0xc0; 32].into() };
	let opened = open_input(&key, &context, &sealed, &reception).ok().unwrap();
	assert_eq!(opened.body.expose(), b"what is my balance");
}
