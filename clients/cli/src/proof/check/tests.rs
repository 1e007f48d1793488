use super::*;
use crate::{
	calls,
	proof::file::{ReplyEvidence, ReportEvidence},
	randomness,
};
use phala_keys::{
	hpke::EncryptionKey,
	reply::{seal_reply, ReplyContext},
};
use phala_light_client::test_chain::TestChain;
use phala_protocol::{
	agents::{Access, AgentCode, UpgradePolicy},
	boot::BootKeys,
	caller::Caller,
	evidence::{
		SoftwareEvidence, SoftwareReport, SoftwareReportContent, DEVELOPMENT_ROOT_PUBLIC,
		DEVELOPMENT_ROOT_SEED,
	},
};
use subxt_signer::sr25519::dev;

const AGENT: H256 = H256([2; 32]);
const CODE: H256 = H256([3; 32]);
const MEASUREMENT: H256 = H256([4; 32]);
const REQUEST: H256 = H256([5; 32]);
const CALLER: [u8; 32] = [6; 32];
const WORKER: u32 = 1;

/// An honest boot answers an honest request on a chain of tests.
struct Scene {
	chain: TestChain,
	file: AnswerFile,
	answer: ProvenAnswer,
	conversation: Conversation,
}

impl Scene {
	fn new() -> Self {
		let mut chain = TestChain::new(1, 4);
		let keys = BootKeys { identity: dev::eve().public_key().0, encryption: [9; 32] };
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
			cluster: 0,
			code: AgentCode { component: CODE, manifest: H256::zero() },
			code_version: 1,
			upgrades: UpgradePolicy::Free,
			access: Access::Public,
			unit_price: 1,
			timeout: 10,
			key: None,
			version: 1,
			state_hash: H256::zero(),
		};
		let input = calls::input("/price", None);
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
			state_version: 1,
			block: 1,
			unproven_inputs: 0,
		};
		let signature = dev::eve().sign(&content.statement().encode()).0;
		let proof = SignedAnswer { content, signature };
		let report_data =
			ReportStatement::new(chain.genesis(), WORKER, keys, proof.id().0).report_data();
		let answer = ProvenAnswer { output, salt, proof };

		let conversation = Conversation::new(chain.genesis(), AGENT, CALLER).unwrap();
		let context =
			ReplyContext::new(chain.genesis(), AGENT, Caller::Account(CALLER), conversation.nonce);
		let mut rng = randomness::generator().unwrap();
		let reply_key = EncryptionKey(conversation.reply_key());
		let sealed = seal_reply(&mut rng, &reply_key, &context, &answer.encode()).unwrap();
		let request = StoredRequest {
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
		chain.put(storage::registry_software_root(), DEVELOPMENT_ROOT_PUBLIC.encode());
		chain.put(storage::registry_measurement(MEASUREMENT), vec![0]);
		chain.put(storage::requests_request(REQUEST), request.encode());
		let outcome = RequestOutcome::Answered(sealed.encode()).encode();
		chain.put(storage::requests_response(REQUEST), outcome.encode());
		chain.seal();
		let mut file = AnswerFile::new(chain.genesis(), &input, &answer);
		file.report = Some(ReportEvidence { evidence: HexBytes(evidence.encode()) });
		let mut scene = Self { chain, file, answer, conversation };
		scene.prove();
		scene
	}

	/// With what the chain says at its newest block.
	fn prove(&mut self) {
		let height = self.chain.height();
		let keys = [
			storage_keys::registry_boot(WORKER),
			storage_keys::agents_agent(AGENT),
			storage::registry_software_root(),
			storage::registry_measurement(MEASUREMENT),
			storage::requests_request(REQUEST),
			storage::requests_response(REQUEST),
		];
		self.file.chain = Some(ChainEvidence {
			genesis_bundle: HexBytes(self.chain.genesis_bundle().encode()),
			finality: HexBytes(self.chain.steps(0, height).encode()),
			state_proof: HexBytes(self.chain.read_proof(height, keys).encode()),
		});
	}

	fn of_request(mut self) -> Self {
		let reply = ReplyEvidence {
			nonce: HexBytes(self.conversation.nonce.into()),
			secret: HexBytes(self.conversation.reply_secret().to_vec()),
		};
		self.file = self.file.of_request(REQUEST, Some(reply));
		self
	}

	fn verify(&self) -> Verification {
		verify(&self.file, self.chain.genesis())
	}

	fn refused_by(&self) -> &'static str {
		let verification = self.verify();
		assert!(!verification.verified);
		verification.refused().expect("some check refuses it").name
	}
}

#[test]
fn an_honest_answer_is_verified_and_the_kind_of_its_evidence_is_shown_plainly() {
	let verification = Scene::new().verify();
	assert!(verification.verified, "{verification}");
	let text = verification.to_string();
	assert!(text.contains("proves nothing about the machine"), "{text}");
	assert!(text.contains("- request"), "a direct call has none: {text}");
}

#[test]
fn an_honest_answer_through_the_chain_is_verified_to_its_settlement() {
	let verification = Scene::new().of_request().verify();
	assert!(verification.verified, "{verification}");
	assert!(verification.to_string().contains("settled in block 1"), "{verification}");
}

#[test]
fn a_file_survives_json_and_one_with_something_more_is_refused() {
	let scene = Scene::new().of_request();
	let json = serde_json::to_string(&scene.file).unwrap();
	assert_eq!(serde_json::from_str::<AnswerFile>(&json).unwrap(), scene.file);
	let more = json.replacen('{', "{\"note\":1,", 1);
	assert!(serde_json::from_str::<AnswerFile>(&more).is_err());
	let digit = json.find('a').map(|at| format!("{}A{}", &json[..at], &json[at + 1..])).unwrap();
	assert!(serde_json::from_str::<AnswerFile>(&digit).is_err(), "one way to write it");
}

#[test]
fn a_changed_bit_anywhere_in_the_file_is_refused() {
	let honest = Scene::new().of_request();
	let genesis = honest.chain.genesis();
	let json = serde_json::to_value(&honest.file).unwrap();
	for field in [
		"/genesis",
		"/input",
		"/output",
		"/salt",
		"/proof",
		"/request/id",
		"/request/reply/nonce",
		"/chain/genesisBundle",
		"/chain/finality",
		"/chain/stateProof",
		"/report/evidence",
	] {
		let text = json.pointer(field).unwrap().as_str().unwrap().to_owned();
		let bytes = hex::decode(&text[2..]).unwrap();
		// All of the short ones, and of the long ones enough to meet every part.
		for at in (0..bytes.len()).step_by(bytes.len() / 150 + 1) {
			let mut changed = bytes.clone();
			changed[at] ^= 1;
			let mut json = json.clone();
			*json.pointer_mut(field).unwrap() = format!("0x{}", hex::encode(changed)).into();
			let file: AnswerFile = serde_json::from_value(json).unwrap();
			let verification = verify(&file, genesis);
			assert!(!verification.verified, "{field}, byte {at}: {verification}");
			assert!(verification.refused().is_some());
		}
	}
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
	let verification = verify(&scene.file, TestChain::new(2, 4).genesis());
	assert_eq!(verification.refused().unwrap().name, "chain");
}

#[test]
fn a_boot_that_was_replaced_suspended_or_never_there_is_refused() {
	let mut scene = Scene::new();
	let state = |scene: &Scene| {
		finality(scene.file.chain.as_ref(), &scene.answer.proof.content, scene.chain.genesis())
			.unwrap()
			.0
	};
	let key = storage_keys::registry_boot(WORKER);
	let boot = state(&scene).read_as::<Boot>(&key).unwrap().unwrap();
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

#[test]
fn code_that_the_chain_does_not_name_or_allow_is_refused() {
	let mut scene = Scene::new();
	let key = storage::registry_measurement(MEASUREMENT);
	scene.chain.remove(key.clone());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "measurement");
	scene.chain.put(key, vec![0]);
	scene.chain.remove(storage_keys::agents_agent(AGENT));
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "code");
}

#[test]
fn software_evidence_is_refused_where_the_chain_names_no_root_for_it() {
	let mut scene = Scene::new();
	scene.chain.remove(storage::registry_software_root());
	scene.chain.seal();
	scene.prove();
	assert_eq!(scene.refused_by(), "evidence");
}
