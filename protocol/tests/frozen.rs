//! The wire, frozen: every message, payload, stored, signed or hashed struct and every variant of
//! the enums in them, with sample values, as the SCALE bytes that are written, signed and sent; every
//! refusal with its code.
//!
//! When this fails, something that others have stored, signed or sent reads differently now. To
//! change the wire on purpose:
//!
//! * a **message or payload**: leave the old variant as it is, add a new one with the next index,
//!   and its line below;
//! * a **signed or hashed struct**: raise the number at the end of its domain in `domains.rs`, keep
//!   the old domain as long as something under it is kept, and replace its line;
//! * a **refusal**: none is renamed, renumbered or removed. A new one is a new line;
//! * a **chain that nobody runs yet** may replace a line. Say so in the commit.
//!
//! The failure prints each line as it would be now.

use codec::{Decode, DecodeAll, Encode};
use phala_protocol::{
	agents::*, boot::*, caller::Caller, clusters::*, evidence::*, keys::*, mailbox::*, messages::*,
	refusals::Refusal, relay::*, requests::*, storage_keys, AccountBytes, Balance, BlockNumber,
	H256,
};
use scale_info::{MetaType, PortableRegistry, TypeDef, TypeInfo};
use std::{
	collections::{BTreeMap, BTreeSet},
	fmt::Debug,
};

const VECTORS: &str = include_str!("frozen.txt");

fn h(byte: u8) -> H256 {
	H256::repeat_byte(byte)
}

fn boot_keys() -> BootKeys {
	BootKeys { identity: [0x1d; 32], encryption: [0x2d; 32] }
}

fn master_key() -> MasterKey {
	MasterKey { epoch: 3, attempt: 1, outcome: vec![0xaa, 0xbb] }
}

fn key_request() -> KeyRequest {
	KeyRequest { worker: 7, boot: 2, cluster: 5, generation: 4, ephemeral_key: [0xe9; 32] }
}

fn head() -> ChannelHead {
	ChannelHead { next_seq: 9, hash: h(0x9e) }
}

fn member() -> Member {
	Member { worker: 7, boot: 2, identity: [0x1d; 32], endpoint: b"http://w".to_vec() }
}

fn wrapped_keys() -> WrappedKeys {
	WrappedKeys { epoch: 3, generation: 4, keys: vec![1, 2, 3] }
}

fn code(byte: u8) -> AgentCode {
	AgentCode { component: h(byte), manifest: h(byte + 1) }
}

fn record() -> AgentRecord {
	AgentRecord {
		owner: [0x0e; 32],
		cluster: 5,
		code: code(0xc0),
		code_version: 2,
		upgrades: UpgradePolicy::AfterNotice(300),
		access: Access::Listed,
		unit_price: 1_000_000 as Balance,
		timeout: 30 as BlockNumber,
		key: Some(AgentKey { version: 1, key: [0x5a; 32] }),
		version: 11,
		state_hash: h(0x57),
	}
}

fn agent_snapshot() -> AgentSnapshot {
	AgentSnapshot {
		agent: h(0xa9),
		record: record(),
		callers: callers(),
		lease: Some(Lease { worker: 7, boot: 2 }),
		planned: Some(code(0xc8)),
	}
}

fn callers() -> Vec<Caller> {
	vec![
		Caller::Account([1; 32]),
		Caller::Agent(h(2)),
		Caller::Token([3; 32]),
		Caller::Evm([4; 20]),
	]
}

fn order(input: RequestInput) -> RequestOrder {
	RequestOrder {
		request: h(0x4e),
		agent: h(0xa9),
		caller: Caller::Account([1; 32]),
		kind: RequestKind::Call,
		input,
		units_max: 100,
		min_block: 40,
		deadline: 90,
		worker: 7,
		boot: 2,
	}
}

fn effect_set() -> EffectSet {
	EffectSet {
		agent: h(0xa9),
		base_version: 11,
		base_hash: h(0x57),
		new_hash: h(0xb0),
		key: Some(AgentKey { version: 1, key: [0x5a; 32] }),
		results: vec![
			RequestResult {
				request: h(0x4e),
				outcome: RequestOutcome::Answered(vec![7, 8]),
				units: 3,
			},
			RequestResult {
				request: h(0x4f),
				outcome: RequestOutcome::Failed(Refusal::CpuTime.code()),
				units: 1,
			},
		],
		availability: vec![Availability { worker: 8, signature: [0x51; 64] }],
	}
}

fn messages() -> Vec<Message> {
	let identity = [0x1d; 32];
	vec![
		RegistryMessage::MeasurementAllowed { measurement: h(1) }.into(),
		RegistryMessage::MeasurementDelisted { measurement: h(1), until: 20 }.into(),
		RegistryMessage::Registered { boot: 2, keys: boot_keys(), expires_at: 900 }.into(),
		RegistryMessage::Renewed { boot: 2, expires_at: 901 }.into(),
		RegistryMessage::HeartbeatSeen { boot: 2, nonce: [3; 32] }.into(),
		RegistryMessage::Probe { nonce: [4; 32] }.into(),
		RegistryMessage::Evicted { boot: 2 }.into(),
		KeysMessage::MasterKey(master_key()).into(),
		KeysMessage::SeatedAsGatekeeper { identity, head: head() }.into(),
		KeysMessage::Seated {
			epoch: 3,
			attempt: 1,
			seats: vec![Seat { worker: 7, boot: 2, keys: boot_keys() }],
		}
		.into(),
		KeysMessage::KeyRequested(key_request()).into(),
		KeysMessage::KeyRelease { boot: 2, cluster: 5, generation: 4, release: vec![9] }.into(),
		ClustersMessage::JoinedCluster {
			identity,
			snapshot: ClusterSnapshot {
				cluster: 5,
				head: head(),
				generation: 4,
				members: vec![member()],
				keys: Some(wrapped_keys()),
			},
		}
		.into(),
		ClustersMessage::LeftCluster { identity, cluster: 5 }.into(),
		ClustersMessage::Member(member()).into(),
		ClustersMessage::MemberLeft { worker: 7 }.into(),
		ClustersMessage::NewGeneration { generation: 5 }.into(),
		ClustersMessage::KeysWrapped(wrapped_keys()).into(),
		ClustersMessage::LeaseMoved { agent: h(0xa9), lease: Some(Lease { worker: 8, boot: 1 }) }
			.into(),
		ClustersMessage::HolderChallenged { holder: 7, boot: 2, by: 8, block: 40 }.into(),
		AgentsMessage::Agent(agent_snapshot()).into(),
		AgentsMessage::Committed { agent: h(0xa9), version: 12, state_hash: h(0x58), worker: 7 }
			.into(),
		AgentsMessage::Retired { agent: h(0xa9) }.into(),
		RequestsMessage::Request(order(RequestInput::Sealed(vec![6]))).into(),
		RequestsMessage::DeadlineNear { block: 40 }.into(),
	]
}

fn payloads() -> Vec<Payload> {
	vec![
		RegistryPayload::Heartbeat { nonce: [3; 32] }.into(),
		RegistryPayload::ProbeAnswered { nonce: [4; 32] }.into(),
		KeysPayload::MasterKeyConfirmed { epoch: 3, attempt: 1, outcome: vec![5] }.into(),
		KeysPayload::KeyReleased { request: key_request(), release: vec![6] }.into(),
		ClustersPayload::KeyRequest { cluster: 5, generation: 4, ephemeral_key: [0xe9; 32] }.into(),
		ClustersPayload::KeysWrapped { cluster: 5, keys: wrapped_keys() }.into(),
		ClustersPayload::HolderSilent { holder: 7, boot: 2 }.into(),
		ClustersPayload::HolderStillSilent { holder: 7, boot: 2, challenged_at: 40 }.into(),
		ClustersPayload::HolderPresent.into(),
		ClustersPayload::BlockFinal { block: 40 }.into(),
		AgentsPayload::EffectSet(effect_set()).into(),
	]
}

/// `Registry::Probe` of `Registry(Probe { … })`: for the names of vectors alone.
fn variant(value: &impl core::fmt::Debug) -> String {
	let text = format!("{value:?}");
	let mut words =
		text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
	format!("{}::{}", words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

fn software_report() -> SoftwareReport {
	SoftwareReport { measurement: h(1), platform: h(2), report_data: [3; 64], debug: false }
}

fn evidence() -> Evidence {
	Evidence::Software(SoftwareEvidence { report: software_report(), signature: [0x51; 64] })
}

fn answer() -> AnswerContent {
	AnswerContent {
		genesis: h(0x6e),
		worker: 7,
		boot: 2,
		agent: h(0xa9),
		code: code(0xc0),
		caller: Some(Caller::Account([1; 32])),
		request_hash: h(0x71),
		response_hash: h(0x72),
		state_version: 12,
		block: 41,
		unproven_inputs: 1,
	}
}

fn status() -> EnclaveStatus {
	EnclaveStatus {
		genesis: h(0x6e),
		worker: 7,
		identity: [0x1d; 32],
		phase: EnclavePhase::AwaitsRenewal,
		boot: Some(2),
		height: 41,
		channels: vec![
			ChannelPosition { channel: Channel::System, next_seq: None },
			ChannelPosition { channel: Channel::Cluster(5), next_seq: Some(3) },
		],
		queued: 4,
	}
}

fn stored_request() -> Request {
	Request {
		agent: h(0xa9),
		caller: [1; 32],
		kind: RequestKind::Call,
		held: 5_000_000,
		unit_price: 1_000_000,
		units_max: 100,
		deadline: 90,
		worker: 7,
		boot: 2,
		state: RequestState::Settled { fee: 3_000_000, failed: true, block: 41 },
	}
}

/// Every variant of the enums within messages, payloads and what is stored or sent: a sample of the
/// whole has one of them alone.
fn variants() -> BTreeMap<String, Vec<u8>> {
	let mut all = BTreeMap::new();
	add(&mut all, [Access::Public, Access::Listed]);
	add(&mut all, callers());
	add(&mut all, [CallerSignature::Sr25519([0x51; 64])]);
	add(&mut all, [Channel::System, Channel::Gatekeepers, Channel::Cluster(5), Channel::Worker(7)]);
	add(
		&mut all,
		[
			EnclavePhase::AwaitsGenesis,
			EnclavePhase::AwaitsFirstSync,
			EnclavePhase::AwaitsRegistration,
			EnclavePhase::Serving,
			EnclavePhase::AwaitsRenewal,
			EnclavePhase::Retired,
			EnclavePhase::Evicted,
		],
	);
	add(&mut all, [evidence()]);
	add(&mut all, [EvidenceKind::Software]);
	add(&mut all, Lane::ALL);
	add(&mut all, [RequestInput::Public(vec![6]), RequestInput::Sealed(vec![6])]);
	add(&mut all, [RequestKind::Call, RequestKind::Secrets]);
	add(
		&mut all,
		[RequestOutcome::Answered(vec![7, 8]), RequestOutcome::Failed(Refusal::CpuTime.code())],
	);
	add(&mut all, [RequestState::Open, stored_request().state, RequestState::Expired]);
	add(&mut all, [UpgradePolicy::Immutable, UpgradePolicy::AfterNotice(300), UpgradePolicy::Free]);
	all
}

fn add<T>(all: &mut BTreeMap<String, Vec<u8>>, samples: impl IntoIterator<Item = T>)
where
	T: Debug + Decode + Encode + PartialEq,
{
	for sample in samples {
		let bytes = sample.encode();
		assert_eq!(T::decode_all(&mut &bytes[..]).as_ref(), Ok(&sample));
		assert_eq!(all.insert(variant_name(&sample), bytes), None, "{sample:?} stands here twice");
	}
}

/// `Access::Listed`.
fn variant_name<T: Debug>(sample: &T) -> String {
	let name = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
	let text = format!("{sample:?}");
	let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
	format!("{name}::{}", &text[..end])
}

/// What has a code instead of SCALE bytes of its own.
fn codes() -> Vec<(String, String)> {
	let refusals = Refusal::ALL.iter().map(|refusal| {
		let code = refusal.code();
		assert_eq!(code.encode(), code.0.to_le_bytes(), "a code is two bytes");
		(format!("refusal {}", refusal.name()), code.0.to_string())
	});
	let envelope_errors = (0..=u8::MAX).filter_map(|code| {
		let error = EnvelopeError::from_code(code)?;
		Some((format!("envelope error {error:?}"), code.to_string()))
	});
	refusals.chain(envelope_errors).collect()
}

fn others() -> Vec<(&'static str, Vec<u8>)> {
	let genesis = h(0x6e);
	let number = EnvelopeNumber { lane: Lane::Rest, seq: 9 };
	let content = EnvelopeContent::new(genesis, 7, 2, number, &[0xf0]);
	let envelope = Envelope {
		genesis,
		worker: 7,
		boot: 2,
		lane: Lane::Rest,
		seq: 9,
		payload: vec![0xf0],
		signature: [0x51; 64],
	};
	let call = CallInput {
		method: b"POST".to_vec(),
		path: b"/p".to_vec(),
		headers: vec![(b"a".to_vec(), b"b".to_vec())],
		body: vec![1],
	};
	let output = CallOutput { status: 201, headers: vec![], body: vec![2] };
	let signed = SignedAnswer {
		content: answer(),
		path: AnswerPath { index: 2, neighbours: [h(0x61), h(0x62), h(0x63), h(0x64)] },
		signature: [0x51; 64],
	};
	let direct = DirectCall {
		caller: Caller::Account([1; 32]),
		sealed: vec![5],
		signature: CallerSignature::Sr25519([0x51; 64]),
	};
	vec![
		("signed EnvelopeContent", content.encode()),
		(
			"signed AvailabilityContent",
			AvailabilityContent::new(genesis, 7, 2, h(0xa9), h(0x57), h(0xb0)).encode(),
		),
		("signed AnswersStatement", signed.statement().unwrap().encode()),
		(
			"signed DirectCallContent",
			DirectCallContent::new(genesis, h(0xa9), Caller::Account([1; 32]), &[5]).encode(),
		),
		("signed LogsContent", LogsContent::new(genesis, h(0xa9), [6; 32], [7; 32], 41).encode()),
		("signed SoftwareReportContent", SoftwareReportContent::new(&software_report()).encode()),
		(
			"hashed BootStatement",
			BootStatement::new(genesis, 7, [0x0e; 32], boot_keys(), h(0x40)).encode(),
		),
		("hashed ReportStatement", ReportStatement::new(genesis, 7, boot_keys(), [8; 32]).encode()),
		("hash agent_id", agent_id(genesis, 3).encode()),
		("hash request_id", request_id(genesis, 3).encode()),
		("hash salted_hash", salted_hash([9; 32], b"content").encode()),
		("hash answer id", answer().id().encode()),
		("hash channel link", head().after(41, 3, b"body").encode()),
		("sent Envelope", envelope.encode()),
		("sent SignedAnswer", signed.encode()),
		(
			"sent ProvenAnswer",
			ProvenAnswer { output: output.clone(), salt: [9; 32], proof: signed }.encode(),
		),
		("sent CallInput", call.encode()),
		("sent CallOutput", output.encode()),
		("sent DirectCall", direct.encode()),
		(
			"sent LogsQuery",
			LogsQuery { nonce: [6; 32], reply_key: [7; 32], block: 41, signature: [0x51; 64] }
				.encode(),
		),
		(
			"sent LogEntry",
			LogEntry {
				time_ms: 5,
				block: 41,
				request: h(0x4e),
				level: b"info".to_vec(),
				message: vec![b'!'],
			}
			.encode(),
		),
		("sent Evidence::Software", evidence().encode()),
		(
			"sent GenesisBundle",
			GenesisBundle { header: vec![1], state_proof: vec![vec![2]] }.encode(),
		),
		(
			"sent SyncBundle",
			SyncBundle {
				steps: vec![FinalityStep { header: vec![1], justification: vec![2] }],
				state_proof: vec![vec![3]],
				bodies: vec![ChannelBodies {
					channel: Channel::Worker(7),
					messages: vec![OutboundMessage { seq: 1, block: 2, index: 3, body: vec![4] }],
				}],
			}
			.encode(),
		),
		("sent EnclaveStatus", status().encode()),
		(
			"sent Registration",
			Registration {
				worker: 7,
				keys: boot_keys(),
				evidence: vec![1],
				recent_block: 40,
				renewal: true,
			}
			.encode(),
		),
		(
			"stored Boot",
			Boot {
				number: 2,
				keys: boot_keys(),
				evidence: EvidenceKind::Software,
				measurement: h(1),
				registered_at: 40,
				expires_at: 900,
			}
			.encode(),
		),
		(
			"stored InboundNext",
			InboundNext {
				boot: 2,
				seqs: ByLane { liveness: 1, keys: 2, paid_commits: 3, fuel_commits: 4, rest: 5 },
			}
			.encode(),
		),
		("stored MeasurementRule", MeasurementRule { until: Some(20) }.encode()),
		("stored MeasurementRule, for good", MeasurementRule { until: None }.encode()),
		(
			"stored MemberRecord",
			MemberRecord { endpoint: b"http://w".to_vec(), set_aside: Some(20) }.encode(),
		),
		("stored Request", stored_request().encode()),
		(
			"stored StoredMessage",
			StoredMessage { block: 2, index: 3, body: b"body".to_vec() }.encode(),
		),
		("key grandpa_authorities", storage_keys::grandpa_authorities()),
		("key grandpa_current_set_id", storage_keys::grandpa_current_set_id()),
		("key mailbox_head", storage_keys::mailbox_head(Channel::Gatekeepers)),
		("key mailbox_next_envelope", storage_keys::mailbox_next_envelope(7)),
		("key mailbox_body", storage_keys::mailbox_body(Channel::Cluster(5), 3)),
		("key registry_boot", storage_keys::registry_boot(7)),
		("key agents_agent", storage_keys::agents_agent(h(0xa9))),
	]
}

fn now() -> BTreeMap<String, String> {
	let messages = messages().into_iter().map(|m| (format!("message {}", variant(&m)), m.encode()));
	let payloads = payloads().into_iter().map(|p| (format!("payload {}", variant(&p)), p.encode()));
	let variants = variants().into_iter().map(|(name, bytes)| (format!("variant {name}"), bytes));
	let others = others().into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
	let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
	let encoded = messages.chain(payloads).chain(variants).chain(others);
	let encoded = encoded.map(|(name, bytes)| (name, hex(bytes)));
	let mut all = BTreeMap::new();
	for (name, value) in encoded.chain(codes()) {
		assert_eq!(all.insert(name.clone(), value), None, "two vectors are named {name}");
	}
	all
}

#[test]
fn nothing_on_the_wire_has_changed() {
	let frozen: BTreeMap<_, _> = VECTORS
		.lines()
		.map(|line| line.split_once(" = ").expect("each line is `name = hex or code`"))
		.collect();
	let now = now();
	let mut changed = String::new();
	for (name, value) in &now {
		if frozen.get(&name[..]) != Some(&&value[..]) {
			changed += &format!("{name} = {value}\n");
		}
	}
	let gone: Vec<_> = frozen.keys().filter(|name| !now.contains_key(**name)).collect();
	assert!(
		changed.is_empty() && gone.is_empty(),
		"the wire changed; the head of tests/frozen.rs says how to do that on purpose.\n\
		 Now:\n{changed}Gone: {gone:?}"
	);
}

/// Names of all variants of an enum's inner enums, as in the vectors.
fn variants_of<T: TypeInfo + 'static>() -> BTreeSet<String> {
	let mut registry = scale_info::Registry::new();
	let id = registry.register_type(&MetaType::new::<T>()).id;
	let registry: PortableRegistry = registry.into();
	let variants = |id: u32| match &registry.resolve(id).expect("it was registered").type_def {
		TypeDef::Variant(variants) => variants.variants.clone(),
		other => panic!("no enum: {other:?}"),
	};
	let mut names = BTreeSet::new();
	for domain in variants(id) {
		for inner in variants(domain.fields[0].ty.id) {
			names.insert(format!("{}::{}", domain.name, inner.name));
		}
	}
	names
}

#[test]
fn no_message_and_no_payload_is_without_a_vector() {
	let messages: BTreeSet<_> = messages().iter().map(variant).collect();
	assert_eq!(messages, variants_of::<Message>());
	let payloads: BTreeSet<_> = payloads().iter().map(variant).collect();
	assert_eq!(payloads, variants_of::<Payload>());
}

/// Names of the variants of an enum without `TypeInfo`: each index that is read, with zeros behind.
fn variants_that_decode<T: Debug + Decode>() -> BTreeSet<String> {
	let decoded = (0..=u8::MAX).filter_map(|index| {
		let mut bytes = [0; 1024];
		bytes[0] = index;
		T::decode(&mut &bytes[..]).ok()
	});
	decoded.map(|value| variant_name(&value)).collect()
}

#[test]
fn no_variant_of_what_travels_or_is_stored_is_without_a_vector() {
	let mut registry = scale_info::Registry::new();
	registry.register_types([
		MetaType::new::<Message>(),
		MetaType::new::<Payload>(),
		MetaType::new::<Envelope>(),
		MetaType::new::<OutboundMessage>(),
		MetaType::new::<Evidence>(),
		MetaType::new::<CallInput>(),
		MetaType::new::<CallOutput>(),
		MetaType::new::<Boot>(),
		MetaType::new::<Channel>(),
		MetaType::new::<InboundNext>(),
		MetaType::new::<MeasurementRule>(),
		MetaType::new::<MemberRecord>(),
		MetaType::new::<Request<AccountBytes>>(),
		MetaType::new::<StoredMessage>(),
	]);
	let registry: PortableRegistry = registry.into();
	let mut all = variants_that_decode::<EnclavePhase>();
	all.extend(variants_that_decode::<CallerSignature>());
	for ty in &registry.types {
		let segments: Vec<_> = ty.ty.path.segments.iter().map(|segment| &segment[..]).collect();
		// `Option` needs no vector; messages have theirs.
		let ["phala_protocol", module, .., name] = segments[..] else { continue };
		if let (TypeDef::Variant(variants), true) = (&ty.ty.type_def, module != "messages") {
			all.extend(variants.variants.iter().map(|one| format!("{name}::{}", one.name)));
		}
	}
	let sampled: BTreeSet<_> = variants().into_keys().collect();
	let odd: Vec<_> = sampled.symmetric_difference(&all).collect();
	assert!(odd.is_empty(), "without a vector, or in none of these types: {odd:?}");
}

#[test]
fn what_is_written_is_read_again_and_nothing_longer_is() {
	for message in messages() {
		let mut bytes = message.encode();
		assert_eq!(Message::decode_all(&mut &bytes[..]), Ok(message));
		bytes.push(0);
		assert!(Message::decode_all(&mut &bytes[..]).is_err());
	}
	for payload in payloads() {
		let mut bytes = payload.encode();
		assert_eq!(Payload::decode_all(&mut &bytes[..]), Ok(payload));
		bytes.push(0);
		assert!(Payload::decode_all(&mut &bytes[..]).is_err());
	}
}
