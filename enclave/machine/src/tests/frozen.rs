//! What members sign and send to each other, frozen as `protocol/tests/frozen.rs` does for the rest
//! of the wire; how it is changed on purpose stands there.

use crate::{task::ReplicationContent, ReplicatedBody};
use codec::{DecodeAll, Encode};
use phala_keys::state::SealedBody;
use phala_protocol::{agents::AvailabilityContent, H256};

const GENESIS: H256 = H256([0x6e; 32]);
const AGENT: H256 = H256([0xa9; 32]);
const BASE_HASH: H256 = H256([0x57; 32]);
const NEW_HASH: H256 = H256([0xb0; 32]);

fn body() -> ReplicatedBody {
	ReplicatedBody {
		worker: 7,
		boot: 2,
		agent: AGENT,
		base_hash: BASE_HASH,
		new_hash: NEW_HASH,
		body: SealedBody { key_number: 3, nonce: [0x24; 24], ciphertext: vec![0xc1, 0xc2] },
		signature: [0x51; 64],
	}
}

/// A SCALE string.
fn domain(text: &str) -> Vec<u8> {
	[&[(text.len() as u8) << 2], text.as_bytes()].concat()
}

/// Of both contents, in this order.
fn signed_fields() -> Vec<u8> {
	[&GENESIS.0[..], &[7, 0, 0, 0], &[2, 0, 0, 0], &AGENT.0, &BASE_HASH.0, &NEW_HASH.0].concat()
}

#[test]
fn what_a_lease_holder_signs_keeps_its_bytes_and_is_no_word_of_availability() {
	let replication = ReplicationContent::of(GENESIS, &body()).encode();
	assert_eq!(replication, [domain("phala/agents/replication/v1"), signed_fields()].concat());
	// The same fields in the same order: the domain alone keeps the two apart.
	let availability = AvailabilityContent::new(GENESIS, 7, 2, AGENT, BASE_HASH, NEW_HASH);
	assert_eq!(
		availability.encode(),
		[domain("phala/agents/availability/v1"), signed_fields()].concat()
	);
	assert_ne!(replication, availability.encode());
}

#[test]
fn a_body_on_its_way_to_a_member_keeps_its_bytes_and_nothing_longer_is_read() {
	let mut bytes =
		[&[7, 0, 0, 0], &[2, 0, 0, 0], &AGENT.0[..], &BASE_HASH.0, &NEW_HASH.0].concat();
	// Key number, nonce, length of the ciphertext and itself.
	bytes.extend([3, 0, 0, 0]);
	bytes.extend([0x24; 24]);
	bytes.extend([2 << 2, 0xc1, 0xc2]);
	bytes.extend([0x51; 64]);
	assert_eq!(body().encode(), bytes);
	assert_eq!(ReplicatedBody::decode_all(&mut &bytes[..]), Ok(body()));
	bytes.push(0);
	assert!(ReplicatedBody::decode_all(&mut &bytes[..]).is_err());
}
