//! One honest answer on a chain of tests, and every way to bend it.

use crate::{
	check::{self, Verification},
	file::{AnswerFile, ChainEvidence, HexBytes, ReplyEvidence, ReportEvidence},
	needed_keys, verify, Expected,
};
use alloc::{
	borrow::ToOwned,
	format,
	string::{String, ToString},
	vec,
	vec::Vec,
};
use codec::Encode;
use phala_keys::{
	hpke::DecryptionKey,
	reply::{seal_reply, ReplyContext},
	sr25519,
};
use phala_light_client::{test_chain::TestChain, ProvenState};
use phala_protocol::{
	agents::{Access, AgentCode, AgentRecord, CodeEntry, UpgradePolicy},
	boot::{Boot, BootKeys},
	caller::Caller,
	clusters::MemberRecord,
	evidence::{
		Evidence, EvidenceKind, MeasurementRule, SoftwareEvidence, SoftwareReport,
		SoftwareReportContent, DEVELOPMENT_ROOT_PUBLIC, DEVELOPMENT_ROOT_SEED,
	},
	requests::{
		answer_tree, salted_hash, AnswerContent, AnswerPath, AnswersStatement, CallInput,
		CallOutput, ProvenAnswer, ReportStatement, Request, RequestKind, RequestOutcome,
		RequestState, SignedAnswer,
	},
	storage_keys, H256,
};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};

/// Of the boot's identity key.
const BOOT_SEED: [u8; 32] = [7; 32];
const AGENT: H256 = H256([2; 32]);
const CODE: AgentCode = AgentCode { component: H256([3; 32]), manifest: H256([13; 32]) };
const MEASUREMENT: H256 = H256([4; 32]);
const REQUEST: H256 = H256([5; 32]);
const CALLER: [u8; 32] = [6; 32];
const ALLOWED: MeasurementRule = MeasurementRule { until: None };
const REPLY_NONCE: [u8; 32] = [10; 32];
const WORKER: u32 = 1;
const CLUSTER: u32 = 3;
/// Of the agent's state, on the chain.
const VERSION: u64 = 5;

/// An honest boot answers an honest request on a chain of tests.
struct Scene {
	chain: TestChain,
	file: AnswerFile,
	answer: ProvenAnswer,
	reply_key: DecryptionKey,
}

impl Scene {
	fn new() -> Self {
		let mut chain = TestChain::new(1, 4);
		let keys = BootKeys {
			identity: sr25519::public_of_published_seed(BOOT_SEED),
			encryption: [9; 32],
		};
		let boot = Boot {
			number: 7,
			keys,
			evidence: EvidenceKind::Software,
			measurement: MEASUREMENT,
			registered_at: 0,
			expires_at: 1_000,
		};
		let record = AgentRecord {
			owner: [1; 32],
			cluster: CLUSTER,
			code: CODE,
			code_version: 1,
			upgrades: UpgradePolicy::Free,
			access: Access::Public,
			unit_price: 1,
			timeout: 10,
			key: None,
			version: VERSION,
			state_hash: H256::zero(),
		};
		let member = MemberRecord { endpoint: b"http://w".to_vec(), set_aside: None };
		let input =
			CallInput { method: b"GET".to_vec(), path: b"/price".to_vec(), ..Default::default() };
		let output = CallOutput { status: 200, headers: vec![], body: b"64000".to_vec() };
		let salt = [8; 32];
		let content = AnswerContent {
			genesis: chain.genesis(),
			worker: WORKER,
			boot: 7,
			agent: AGENT,
			code: CODE,
			caller: Some(Caller::Account(CALLER)),
			request_hash: salted_hash(salt, &input.encode()),
			response_hash: salted_hash(salt, &output.encode()),
			state_version: VERSION,
			block: 1,
			unproven_inputs: 0,
		};
		let proof = signed_among_others(content);
		let report_data =
			ReportStatement::new(chain.genesis(), WORKER, keys, proof.id().0).report_data();
		let answer = ProvenAnswer { output, salt, proof };

		let mut rng = ChaCha20Rng::seed_from_u64(1);
		let reply_key = DecryptionKey::generate(&mut rng);
		let context =
			ReplyContext::new(chain.genesis(), AGENT, Caller::Account(CALLER), REPLY_NONCE);
		let sealed = seal_reply(&mut rng, &reply_key.public(), &context, &answer.encode()).unwrap();
		let request = Request {
			agent: AGENT,
			caller: CALLER,
			kind: RequestKind::Call,
			held: 10,
			unit_price: 1,
			units_max: 10,
			deadline: 50,
			worker: WORKER,
			boot: 7,
			state: RequestState::Settled { fee: 3, failed: false, block: 1 },
		};

		let report = SoftwareReport {
			measurement: MEASUREMENT,
			platform: H256::zero(),
			report_data,
			debug: false,
		};
		let signed = SoftwareReportContent::new(&report).encode();
		let signature = sr25519::sign_with_published_seed(DEVELOPMENT_ROOT_SEED, &signed);
		let evidence = Evidence::Software(SoftwareEvidence { report, signature });

		chain.put(storage_keys::registry_boot(WORKER), boot.encode());
		chain.put(storage_keys::agents_agent(AGENT), record.encode());
		chain.put(storage_keys::clusters_member(CLUSTER, WORKER), member.encode());
		chain.put(storage_keys::registry_software_root(), DEVELOPMENT_ROOT_PUBLIC.encode());
		chain.put(storage_keys::registry_measurement(MEASUREMENT), ALLOWED.encode());
		chain.put(storage_keys::requests_request(REQUEST), request.encode());
		let outcome = RequestOutcome::Answered(sealed.encode()).encode();
		chain.put(storage_keys::requests_response(REQUEST), outcome.encode());
		chain.seal();
		let mut file = AnswerFile::new(chain.genesis(), &input, &answer);
		file.report = Some(ReportEvidence { evidence: HexBytes(evidence.encode()) });
		let mut scene = Self { chain, file, answer, reply_key };
		scene.prove();
		scene
	}

	/// With what the chain says at its newest block.
	fn prove(&mut self) {
		let height = self.chain.height();
		let content = &self.answer.proof.content;
		let mut keys = needed_keys(content, None, None, None, Some(REQUEST));
		// Whatever the chain has of boot and agent by now, the answer is about these.
		keys.push(storage_keys::registry_measurement(MEASUREMENT));
		keys.push(storage_keys::clusters_member(CLUSTER, WORKER));
		keys.extend((1..=4).map(|version| storage_keys::agents_history(AGENT, version)));
		self.file.chain = Some(ChainEvidence {
			genesis_bundle: HexBytes(self.chain.genesis_bundle().encode()),
			finality: HexBytes(self.chain.steps(0, height).encode()),
			state_proof: HexBytes(self.chain.read_proof(height, keys).encode()),
		});
	}

	fn of_request(mut self) -> Self {
		let reply = ReplyEvidence {
			nonce: HexBytes(REPLY_NONCE.to_vec()),
			secret: HexBytes(self.reply_key.canonical_secret().expose().to_vec()),
		};
		self.file = self.file.of_request(REQUEST, Some(reply));
		self
	}

	/// What the chain says in the file.
	fn state(&self) -> ProvenState {
		let content = &self.answer.proof.content;
		check::finality(self.file.chain.as_ref(), content, self.chain.genesis()).unwrap().0
	}

	fn verify(&self) -> Verification {
		self.verify_for(Expected::default())
	}

	fn verify_for(&self, expected: Expected) -> Verification {
		verify(&self.file, self.chain.genesis(), &expected)
	}

	fn refused_by(&self) -> &'static str {
		refused_by(&self.verify())
	}

	/// The boot signs what it gave, and something else about it.
	fn sign(&mut self, change: impl FnOnce(&mut AnswerContent)) {
		let proof = &mut self.answer.proof;
		change(&mut proof.content);
		*proof = signed_among_others(proof.content.clone());
		self.file.proof = HexBytes(proof.encode());
		// That one was for another statement.
		self.file.report = None;
	}
}

/// Signed by the boot as the third of its tree.
fn signed_among_others(content: AnswerContent) -> SignedAnswer {
	let mut leaves = [H256([1; 32]); phala_protocol::limits::ANSWERS_SIGNED_MAX];
	leaves[2] = AnswerPath::leaf(content.id());
	let (root, paths) = answer_tree(leaves);
	let statement = AnswersStatement::new(root).encode();
	let signature = sr25519::sign_with_published_seed(BOOT_SEED, &statement);
	SignedAnswer { content, path: paths[2].clone(), signature }
}

fn refused_by(verification: &Verification) -> &'static str {
	assert!(!verification.verified);
	verification.refused().expect("some check refuses it").name
}

#[test]
fn an_honest_answer_is_verified_and_the_kind_of_its_evidence_is_shown_plainly() {
	let verification = Scene::new().verify();
	assert!(verification.verified, "{verification}");
	let text = verification.to_string();
	assert!(text.contains("proves nothing about the machine"), "{text}");
	assert!(text.contains("- request"), "a direct call has none: {text}");
	assert!(text.contains("12 checks hold, 1 absent: request"), "{text}");
	assert!(!text.contains("every check"), "{text}");
}

#[test]
fn an_honest_answer_through_the_chain_is_verified_to_its_settlement() {
	let verification = Scene::new().of_request().verify();
	assert!(verification.verified, "{verification}");
	assert!(verification.to_string().contains("settled in block 1"), "{verification}");
	assert!(verification.to_string().contains("verified: every check holds"), "{verification}");
}

#[test]
fn a_file_survives_json_and_one_with_something_more_is_refused() {
	let scene = Scene::new().of_request();
	let json = serde_json::to_string(&scene.file).unwrap();
	assert_eq!(AnswerFile::from_json(json.as_bytes()).unwrap(), scene.file);
	let more = json.replacen('{', "{\"note\":1,", 1);
	assert!(AnswerFile::from_json(more.as_bytes()).is_err());
	let digit = json.find('a').map(|at| format!("{}A{}", &json[..at], &json[at + 1..])).unwrap();
	assert!(AnswerFile::from_json(digit.as_bytes()).is_err(), "one way to write it");
}

/// Every field of a file that holds bytes.
const FIELDS: [&str; 12] = [
	"/genesis",
	"/input",
	"/output",
	"/salt",
	"/proof",
	"/request/id",
	"/request/reply/nonce",
	"/request/reply/secret",
	"/chain/genesisBundle",
	"/chain/finality",
	"/chain/stateProof",
	"/report/evidence",
];

#[test]
fn a_changed_bit_anywhere_in_the_file_is_refused() {
	/// Every bit of what is not longer than this, in bytes.
	const SHORT: usize = 40;
	let honest = Scene::new().of_request();
	let genesis = honest.chain.genesis();
	let json = serde_json::to_value(&honest.file).unwrap();
	for field in FIELDS {
		let text = json.pointer(field).unwrap().as_str().unwrap().to_owned();
		let bytes = hex::decode(&text[2..]).unwrap();
		// Of the long ones enough to meet every part, and every place in a byte.
		let step = if bytes.len() <= SHORT { 1 } else { 8 * bytes.len() / 300 + 1 };
		for bit in (0..8 * bytes.len()).step_by(step) {
			let mut changed = bytes.clone();
			changed[bit / 8] ^= 1 << (bit % 8);
			let mut json = json.clone();
			*json.pointer_mut(field).unwrap() = format!("0x{}", hex::encode(changed)).into();
			let file: AnswerFile = serde_json::from_value(json).unwrap();
			let verification = verify(&file, genesis, &Expected::default());
			assert!(!verification.verified, "{field}, bit {bit}: {verification}");
			assert!(verification.refused().is_some());
		}
	}
}

#[test]
fn the_test_of_changed_bits_knows_all_fields() {
	fn bytes(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
		match value {
			serde_json::Value::String(text) if text.starts_with("0x") => found.push(at.to_owned()),
			serde_json::Value::Object(fields) => {
				for (name, value) in fields {
					bytes(value, &format!("{at}/{name}"), found);
				}
			}
			_ => {}
		}
	}
	let mut found = Vec::new();
	bytes(&serde_json::to_value(Scene::new().of_request().file).unwrap(), "", &mut found);
	let mut expected = FIELDS.map(ToOwned::to_owned).to_vec();
	found.sort();
	expected.sort();
	assert_eq!(found, expected);
}

#[test]
fn a_secret_that_opens_the_answer_but_is_written_otherwise_is_refused_by_name() {
	let mut scene = Scene::new().of_request();
	let ignored = |secret: &mut Vec<u8>| secret[0] ^= 1;
	ignored(&mut scene.file.request.as_mut().unwrap().reply.as_mut().unwrap().secret.0);
	let verification = scene.verify();
	let refused = verification.refused().unwrap();
	assert_eq!(refused.name, "request");
	assert!(refused.detail.contains("not canonical"), "{}", refused.detail);
}

#[test]
fn what_was_changed_is_named() {
	let change = |change: &dyn Fn(&mut AnswerFile)| {
		let mut scene = Scene::new().of_request();
		change(&mut scene.file);
		scene.refused_by()
	};
	let last = |bytes: &mut HexBytes| *bytes.0.last_mut().unwrap() ^= 1;
	assert_eq!(change(&|file| last(&mut file.genesis)), "chain");
	assert_eq!(change(&|file| last(&mut file.output)), "answer");
	assert_eq!(change(&|file| last(&mut file.salt)), "question");
	assert_eq!(change(&|file| last(&mut file.proof)), "signature");
	assert_eq!(change(&|file| last(&mut file.report.as_mut().unwrap().evidence)), "evidence");
	assert_eq!(change(&|file| last(&mut file.chain.as_mut().unwrap().finality)), "finality");
	assert_eq!(change(&|file| last(&mut file.request.as_mut().unwrap().id)), "request");
	assert_eq!(change(&|file| file.chain = None), "finality");
	assert_eq!(change(&|file| file.format.push('x')), "form");
}

#[test]
fn another_chain_than_the_pinned_one_is_refused() {
	let scene = Scene::new();
	let other = TestChain::new(2, 4).genesis();
	let verification = verify(&scene.file, other, &Expected::default());
	assert_eq!(verification.refused().unwrap().name, "chain");
}

#[test]
fn a_boot_that_was_replaced_suspended_or_never_there_is_refused() {
	let mut scene = Scene::new();
	let key = storage_keys::registry_boot(WORKER);
	let boot = scene.state().read_as::<Boot>(&key).unwrap().unwrap();
	for other in [
		Some(Boot { number: 8, ..boot.clone() }),
		Some(Boot { expires_at: 1, ..boot.clone() }),
		None,
	] {
		match other {
			Some(other) => scene.chain.put(key.clone(), other.encode()),
			None => scene.chain.remove(key.clone()),
		}
		scene.chain.seal();
		scene.prove();
		assert_eq!(scene.refused_by(), "boot");
	}
	let other = Boot { keys: BootKeys { identity: [1; 32], encryption: [1; 32] }, ..boot };
	scene.chain.put(key, other.encode());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "signature");
}

/// Has another boot take the place of the one that answered.
fn restart(scene: &mut Scene) {
	let key = storage_keys::registry_boot(WORKER);
	let boot = scene.state().read_as::<Boot>(&key).unwrap().unwrap();
	let keys = BootKeys { identity: [1; 32], encryption: [1; 32] };
	scene.chain.put(key, Boot { number: boot.number + 1, keys, ..boot }.encode());
	scene.chain.seal();
	scene.prove();
}

#[test]
fn an_answer_that_the_chain_keeps_outlives_its_boot_and_says_which_checks_are_absent() {
	let mut scene = Scene::new().of_request();
	restart(&mut scene);
	let verification = scene.verify();
	assert!(verification.verified, "{verification}");
	let absent: Vec<_> = verification.absent().map(|check| check.name).collect();
	assert_eq!(absent, ["boot", "signature", "measurement", "evidence"]);
	assert!(verification.to_string().contains("boot 8 has taken its place"), "{verification}");
	// What the boot is said to have signed is the chain's own copy of it, bit by bit.
	let mut forged = scene.file.clone();
	*forged.proof.0.last_mut().unwrap() ^= 1;
	let refused = verify(&forged, scene.chain.genesis(), &Expected::default());
	assert_eq!(refused_by(&refused), "boot");
	// Of a direct call the chain knows nothing.
	let mut scene = Scene::new();
	restart(&mut scene);
	assert_eq!(scene.refused_by(), "boot");
	// Nor is a boot overtaken by one that was before it.
	let mut scene = Scene::new().of_request();
	let key = storage_keys::registry_boot(WORKER);
	let boot = scene.state().read_as::<Boot>(&key).unwrap().unwrap();
	scene.chain.put(key, Boot { number: boot.number - 1, ..boot }.encode());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "boot");
}

/// What becomes of a worker after it answered.
#[derive(Clone, Copy, Debug)]
enum After {
	/// Its operator took it out of the cluster, or the cluster's owner did.
	Left,
	/// Its operator closed it, or the chain evicted it: it is no member either.
	Closed,
	Expired,
	/// The chain allows its code no more.
	Delisted,
	/// The same, from a block on that has come.
	RanOut,
	/// The chain takes evidence of its kind no more.
	Rootless,
}

impl After {
	fn befall(self, scene: &mut Scene) {
		let key = storage_keys::registry_boot(WORKER);
		let boot = scene.state().read_as::<Boot>(&key).unwrap().unwrap();
		let member = storage_keys::clusters_member(CLUSTER, WORKER);
		match self {
			Self::Left => scene.chain.remove(member),
			Self::Closed => {
				scene.chain.remove(key);
				scene.chain.remove(member);
			}
			Self::Expired => scene.chain.put(key, Boot { expires_at: 2, ..boot }.encode()),
			Self::Delisted => {
				scene.chain.remove(storage_keys::registry_measurement(MEASUREMENT));
			}
			Self::RanOut => {
				let rule = MeasurementRule { until: Some(scene.chain.height() + 1) };
				scene.chain.put(storage_keys::registry_measurement(MEASUREMENT), rule.encode());
			}
			Self::Rootless => scene.chain.remove(storage_keys::registry_software_root()),
		}
		scene.chain.seal();
		scene.prove();
	}
}

#[test]
fn an_answer_that_the_chain_took_outlives_its_worker_s_place_and_a_direct_one_does_not() {
	for (after, absent) in [
		(After::Left, &["member"][..]),
		(After::Closed, &["boot", "signature", "measurement", "evidence", "member"]),
		(After::Expired, &["boot"]),
		(After::Delisted, &["measurement"]),
		(After::RanOut, &["measurement"]),
		(After::Rootless, &["evidence"]),
	] {
		let mut settled = Scene::new().of_request();
		after.befall(&mut settled);
		let verification = settled.verify();
		assert!(verification.verified, "{after:?}: {verification}");
		let named: Vec<_> = verification.absent().map(|check| check.name).collect();
		assert_eq!(named, absent, "{after:?}");
		let first = verification.absent().next().unwrap();
		assert!(first.detail.contains("the chain took the answer before"), "{}", first.detail);
		let mut direct = Scene::new();
		after.befall(&mut direct);
		assert_eq!(direct.refused_by(), absent[0], "{after:?}");
		// One that the chain keeps of another request is a direct one.
		let mut other = Scene::new().of_request();
		*other.file.request.as_mut().unwrap().id.0.last_mut().unwrap() ^= 1;
		after.befall(&mut other);
		assert_eq!(other.refused_by(), absent[0], "{after:?}");
	}
}

/// Has given the chain an answer, lost its place, and shows another one that it signed just as well.
struct Leaver;

impl Leaver {
	fn answer(scene: &mut Scene) {
		let output = CallOutput { status: 200, headers: vec![], body: b"1".to_vec() };
		let hash = salted_hash(scene.answer.salt, &output.encode());
		scene.file.output = HexBytes(output.encode());
		scene.sign(|content| content.response_hash = hash);
	}
}

#[test]
fn what_does_not_hold_any_more_excuses_nothing_else() {
	// Another answer than the chain took, by a boot whose time was over.
	for (after, refused_by) in [
		(After::Left, "member"),
		(After::Closed, "boot"),
		(After::Expired, "boot"),
		(After::Delisted, "measurement"),
		(After::RanOut, "measurement"),
		(After::Rootless, "evidence"),
	] {
		let mut scene = Scene::new().of_request();
		Leaver::answer(&mut scene);
		after.befall(&mut scene);
		assert_eq!(scene.refused_by(), refused_by, "{after:?}");
	}
	// A report about another boot, while that one is there.
	for after in [After::Left, After::Expired, After::Delisted] {
		let mut scene = Scene::new().of_request();
		after.befall(&mut scene);
		*scene.file.report.as_mut().unwrap().evidence.0.last_mut().unwrap() ^= 1;
		assert_eq!(scene.refused_by(), "evidence", "{after:?}");
	}
	// What is not shown is not shown to be gone.
	let mut scene = Scene::new().of_request();
	let height = scene.chain.height();
	let content = &scene.answer.proof.content;
	let keys = needed_keys(content, None, None, None, Some(REQUEST)).into_iter();
	let keys = keys.chain([storage_keys::registry_measurement(MEASUREMENT)]);
	let proof = scene.chain.read_proof(height, keys);
	scene.file.chain.as_mut().unwrap().state_proof = HexBytes(proof.encode());
	assert_eq!(scene.refused_by(), "member");
}

#[test]
fn code_that_the_chain_does_not_name_or_allow_is_refused() {
	let mut scene = Scene::new();
	let key = storage_keys::registry_measurement(MEASUREMENT);
	scene.chain.remove(key.clone());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "measurement");
	// Taken off the list from a block on: at that block it no longer counts.
	let height = scene.chain.height();
	scene.chain.put(key.clone(), MeasurementRule { until: Some(height + 1) }.encode());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "measurement");
	scene.chain.put(key.clone(), MeasurementRule { until: Some(height + 10) }.encode());
	scene.chain.seal();
	scene.prove();
	assert!(scene.verify().verified, "its block has not come");
	scene.chain.put(key, ALLOWED.encode());
	scene.chain.remove(storage_keys::agents_agent(AGENT));
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "code");
}

/// Deploys what it deployed before with another manifest: other places to go, other configuration.
struct Redeployer;

impl Redeployer {
	fn record(honest: AgentRecord) -> AgentRecord {
		let code = AgentCode { manifest: H256([14; 32]), ..honest.code };
		AgentRecord { code, code_version: 2, ..honest }
	}
}

#[test]
fn the_same_component_under_another_manifest_is_refused() {
	let mut scene = Scene::new();
	let key = storage_keys::agents_agent(AGENT);
	let record = scene.state().read_as::<AgentRecord>(&key).unwrap().unwrap();
	scene.chain.put(key, Redeployer::record(record).encode());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "code");
	let verification = scene.verify();
	assert!(verification.to_string().contains("manifest"), "{verification}");
}

/// The first code after [`CODE`] is 33, the next 34, ….
fn upgraded_code(version: u32) -> AgentCode {
	AgentCode { component: H256([31 + version as u8; 32]), ..CODE }
}

/// Upgrades in each of `blocks`: other components run from then on.
fn upgrade(scene: &mut Scene, blocks: &[u32]) {
	let key = storage_keys::agents_agent(AGENT);
	let record = scene.state().read_as::<AgentRecord>(&key).unwrap().unwrap();
	let mut history = vec![CodeEntry { code: CODE, block: 0 }];
	for (version, block) in (2..).zip(blocks) {
		history.push(CodeEntry { code: upgraded_code(version), block: *block });
	}
	let newest = history.last().unwrap().code;
	let record = AgentRecord { code: newest, code_version: history.len() as u32, ..record };
	scene.chain.put(key, record.encode());
	for (version, entry) in (1..).zip(history) {
		scene.chain.put(storage_keys::agents_history(AGENT, version), entry.encode());
	}
	let next = scene.chain.height() + 1;
	scene.chain.seal_to(blocks.iter().copied().fold(next, u32::max));
	scene.prove();
}

#[test]
fn an_answer_that_an_upgrade_overtook_is_good_and_says_until_when_its_code_ran() {
	let mut scene = Scene::new();
	upgrade(&mut scene, &[2]);
	let verification = scene.verify();
	assert!(verification.verified, "{verification}");
	let text = verification.to_string();
	assert!(text.contains("version 1 of agent") && text.contains("from block 2 on"), "{text}");
	// Whoever collects the proofs asks for the entries that show it.
	assert_eq!(asked_for(&scene, Some(1)), [1, 2]);
}

/// Which entries of the code's history whoever collects the proofs asks for.
fn asked_for(scene: &Scene, ran: Option<u32>) -> Vec<u32> {
	let record = scene.state().read_as::<AgentRecord>(&storage_keys::agents_agent(AGENT));
	let record = record.unwrap().unwrap();
	let keys = needed_keys(&scene.answer.proof.content, None, Some(&record), ran, None);
	let is_asked = |version: &u32| keys.contains(&storage_keys::agents_history(AGENT, *version));
	(0..=9).filter(is_asked).collect()
}

/// Upgrades again before anybody has fetched the proof of an answer, so that it would be lost.
struct HastyUpgrader;

impl HastyUpgrader {
	/// The second and the third in one block.
	const BLOCKS: [u32; 3] = [2, 3, 3];
}

#[test]
fn an_answer_that_several_upgrades_overtook_is_good_by_the_version_that_ran_then() {
	let mut scene = Scene::new();
	upgrade(&mut scene, &HastyUpgrader::BLOCKS);
	let verification = scene.verify();
	assert!(verification.verified, "{verification}");
	let text = verification.to_string();
	assert!(text.contains("version 1 of agent") && text.contains("from block 2 on"), "{text}");
	assert_eq!(asked_for(&scene, Some(1)), [1, 2, 3, 4]);
	// Given on a later block by the code of then, and by any other.
	for (block, ran) in [(1, 1), (2, 2)] {
		for version in 1..=3 {
			let code = if version == 1 { CODE } else { upgraded_code(version) };
			scene.sign(|content| (content.block, content.code) = (block, code));
			scene.prove();
			let verification = scene.verify();
			assert_eq!(verification.verified, version == ran, "{block} {version}: {verification}");
			if version != ran {
				assert_eq!(refused_by(&verification), "code");
			}
		}
	}
	// The newest alone has run since block 3: not what was replaced in that very block.
	for version in 1..=3 {
		let code = if version == 1 { CODE } else { upgraded_code(version) };
		scene.sign(|content| (content.block, content.code) = (3, code));
		scene.prove();
		assert_eq!(scene.refused_by(), "code", "version {version}");
	}
}

#[test]
fn a_file_that_leaves_out_a_version_in_between_is_refused() {
	let mut scene = Scene::new();
	upgrade(&mut scene, &HastyUpgrader::BLOCKS);
	let height = scene.chain.height();
	let mut keys = needed_keys(&scene.answer.proof.content, None, None, None, None);
	keys.push(storage_keys::registry_measurement(MEASUREMENT));
	keys.push(storage_keys::clusters_member(CLUSTER, WORKER));
	keys.extend([1, 2, 4].map(|version| storage_keys::agents_history(AGENT, version)));
	let proof = scene.chain.read_proof(height, keys);
	scene.file.chain.as_mut().unwrap().state_proof = HexBytes(proof.encode());
	assert_eq!(scene.refused_by(), "code");
}

/// Goes on with code that the chain has replaced.
struct Laggard;

impl Laggard {
	/// The upgrade is of the block that the answer names, so that the other code ran there already.
	fn answer(scene: &mut Scene) {
		let named = scene.answer.proof.content.block;
		upgrade(scene, &[named]);
	}
}

#[test]
fn an_answer_by_code_that_was_replaced_before_it_was_given_is_refused() {
	let mut scene = Scene::new();
	Laggard::answer(&mut scene);
	assert_eq!(scene.refused_by(), "code");
}

#[test]
fn software_evidence_is_refused_where_the_chain_names_no_root_for_it() {
	let mut scene = Scene::new();
	scene.chain.remove(storage_keys::registry_software_root());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "evidence");
}

/// Leaves out of a file what would be refused in it.
struct ReportDropper;

impl ReportDropper {
	fn bend(file: &mut AnswerFile) {
		file.report = None;
	}
}

#[test]
fn leaving_the_report_out_turns_no_refusal_into_a_verdict() {
	let mut scene = Scene::new();
	ReportDropper::bend(&mut scene.file);
	let verification = scene.verify();
	assert!(verification.verified, "{verification}");
	let text = verification.to_string();
	assert!(text.contains("11 checks hold, 2 absent: evidence, request"), "{text}");
	scene.chain.remove(storage_keys::registry_software_root());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "evidence");
}

/// Has a worker of its own that the chain let in, with one broken machine, and signs as any agent.
struct Outsider;

impl Outsider {
	/// Takes the worker out of the agent's cluster; it may be in another one.
	fn leave(scene: &mut Scene, other_cluster: Option<u32>) {
		scene.chain.remove(storage_keys::clusters_member(CLUSTER, WORKER));
		if let Some(cluster) = other_cluster {
			let member = MemberRecord { endpoint: b"http://w".to_vec(), set_aside: None };
			scene.chain.put(storage_keys::clusters_member(cluster, WORKER), member.encode());
		}
		scene.chain.seal();
		scene.prove();
	}
}

#[test]
fn a_worker_that_no_owner_let_into_the_agent_s_cluster_speaks_for_nobody() {
	for other_cluster in [None, Some(CLUSTER + 1)] {
		let mut scene = Scene::new();
		Outsider::leave(&mut scene, other_cluster);
		let verification = scene.verify();
		assert_eq!(refused_by(&verification), "member");
		let detail = &verification.refused().unwrap().detail;
		assert!(detail.contains("worker 1") && detail.contains("cluster 3"), "{detail}");
	}
	// Nor does it help to leave the proof of it out.
	let mut scene = Scene::new();
	let keys = needed_keys(&scene.answer.proof.content, None, None, None, None).into_iter();
	let keys = keys.chain([storage_keys::registry_measurement(MEASUREMENT)]);
	let proof = scene.chain.read_proof(1, keys);
	scene.file.chain.as_mut().unwrap().state_proof = HexBytes(proof.encode());
	assert_eq!(scene.refused_by(), "member");
}

/// Shows an answer of long ago as if it were of now.
struct Archivist;

impl Archivist {
	fn wait(scene: &mut Scene, blocks: u32) {
		let height = scene.chain.height();
		scene.chain.seal_to(height + blocks);
		scene.prove();
	}
}

#[test]
fn an_old_answer_shows_its_age_and_is_refused_by_who_says_how_old_it_may_be() {
	let mut scene = Scene::new();
	Archivist::wait(&mut scene, 40);
	let text = scene.verify().to_string();
	assert!(text.contains("on block 1, 40 before the proven one"), "{text}");
	let aged = |age_max| Expected { age_max: Some(age_max), ..Default::default() };
	assert!(scene.verify_for(aged(40)).verified);
	assert_eq!(refused_by(&scene.verify_for(aged(39))), "context");
	let from = |block_min| Expected { block_min: Some(block_min), ..Default::default() };
	assert!(scene.verify_for(from(1)).verified);
	assert_eq!(refused_by(&scene.verify_for(from(2))), "context");
}

/// Shows somebody else's answer, or another agent's.
struct Passer;

impl Passer {
	const CALLER: Caller = Caller::Account([0x66; 32]);
	const AGENT: H256 = H256([0x67; 32]);
}

#[test]
fn an_answer_of_another_agent_or_to_another_caller_is_refused_by_who_expects_one() {
	let scene = Scene::new();
	let agent = |agent| Expected { agent: Some(agent), ..Default::default() };
	assert!(scene.verify_for(agent(AGENT)).verified);
	assert_eq!(refused_by(&scene.verify_for(agent(Passer::AGENT))), "context");
	let caller = |caller| Expected { caller: Some(caller), ..Default::default() };
	assert!(scene.verify_for(caller(Caller::Account(CALLER))).verified);
	assert_eq!(refused_by(&scene.verify_for(caller(Passer::CALLER))), "context");
	let mut nobody = Scene::new();
	nobody.sign(|content| content.caller = None);
	assert!(nobody.verify().verified);
	assert_eq!(refused_by(&nobody.verify_for(caller(Caller::Account(CALLER)))), "context");
}

#[test]
fn what_the_boot_signed_about_its_answer_s_bounds_is_shown() {
	let mut scene = Scene::new();
	scene.sign(|content| content.unproven_inputs = 2);
	let verification = scene.verify();
	let context = verification.checks.iter().find(|check| check.name == "context").unwrap();
	let caller = phala_protocol::text::Address(CALLER).to_string();
	for shown in [&caller[..], "on block 1, 0 before", "version 5", "unproven inputs: 2"] {
		assert!(context.detail.contains(shown), "{}", context.detail);
	}
}

/// A boot that names a state that was never committed.
struct Overstater;

impl Overstater {
	fn sign(scene: &mut Scene, version: u64) {
		scene.sign(|content| content.state_version = version);
	}
}

#[test]
fn a_state_that_the_chain_has_not_committed_is_refused() {
	for (version, is_accepted) in [(VERSION - 1, true), (VERSION, true), (VERSION + 1, false)] {
		let mut scene = Scene::new();
		Overstater::sign(&mut scene, version);
		let verification = scene.verify();
		assert_eq!(verification.verified, is_accepted, "{verification}");
		if !is_accepted {
			assert_eq!(refused_by(&verification), "context");
		}
	}
}

#[test]
fn finality_over_more_bytes_than_a_light_client_takes_at_once_is_followed() {
	use phala_light_client::limits::{FINALITY_BYTES_PER_BUNDLE_MAX, HEADER_BYTES_MAX};
	let mut scene = Scene::new();
	let block = HEADER_BYTES_MAX - 1024;
	let count = (FINALITY_BYTES_PER_BUNDLE_MAX / block + 2) as u32;
	for _ in 0..count {
		// Of an engine that nobody knows: passed over.
		let item = (4u8, *b"LONG", vec![0u8; block]).encode();
		scene.chain.add_digest_item(item);
		scene.chain.seal();
	}
	scene.prove();
	// A node proves each block for itself.
	let steps: Vec<_> = (1..=scene.chain.height()).map(|number| scene.chain.step(number)).collect();
	scene.file.chain.as_mut().unwrap().finality = HexBytes(steps.encode());
	let verification = scene.verify();
	assert!(verification.verified, "{verification}");
}
