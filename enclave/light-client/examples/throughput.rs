//! How fast an enclave follows the chain. Run by hand, in release:
//!
//! ```text
//! cargo run --release -p phala-light-client --features test-support --example throughput
//! ```

use phala_light_client::{test_chain::TestChain, ProvenMessage};
use phala_protocol::mailbox::Channel;
use std::time::Instant;

fn main() {
	for validators in [4, 100, 300, 1000] {
		justifications(validators);
	}
	for (messages, body_bytes) in [(50_000, 100), (50_000, 1000), (2_000, 32 * 1024)] {
		mailbox(messages, body_bytes);
	}
	proofs();
}

fn per_second(count: usize, since: Instant) -> f64 {
	count as f64 / since.elapsed().as_secs_f64()
}

/// Headers with justifications by all of a set.
fn justifications(validators: usize) {
	let count = (4000 / validators).clamp(4, 400);
	let mut chain = TestChain::new(1, validators);
	chain.seal_to(count as u32);
	let client = chain.client();
	let steps: Vec<_> = (1..=count as u32).map(|number| chain.step(number)).collect();
	let since = Instant::now();
	let client = client.advance(&steps).expect("honest");
	assert_eq!(client.height(), count as u32);
	println!(
		"{validators:5} validators: {:8.1} justifications/s, {:9.0} votes/s",
		per_second(count, since),
		per_second(count * validators, since),
	);
}

/// Messages of four channels, interleaved, in one bundle.
fn mailbox(count: usize, body_bytes: usize) {
	let channels = [Channel::System, Channel::Gatekeepers, Channel::Cluster(1), Channel::Worker(1)];
	let mut chain = TestChain::new(1, 4);
	let reader = chain.reader(channels);
	for n in 0..count {
		chain.push(channels[n % channels.len()], vec![n as u8; body_bytes]);
		if n % 100 == 99 {
			chain.seal();
		}
	}
	let number = chain.seal();
	let bundle = chain.sync_bundle(&reader, number);
	let since = Instant::now();
	let synced = reader.sync(bundle, |_: &ProvenMessage| vec![]).expect("honest");
	assert_eq!(synced.messages.len(), count);
	println!(
		"{count:6} messages of {body_bytes:5} bytes: {:9.0} messages/s, {:6.1} MB/s",
		per_second(count, since),
		per_second(count * body_bytes, since) / 1e6,
	);
}

/// Reads of single keys, each with its proof.
fn proofs() {
	let chain = TestChain::new(1, 4);
	let client = chain.client();
	let proof = chain.heads_proof(0, [Channel::System]);
	let key = phala_protocol::storage_keys::mailbox_head(Channel::System);
	let count = 20_000;
	let since = Instant::now();
	for _ in 0..count {
		let state = client.prove(proof.clone()).expect("honest");
		state.read(&key).expect("proven");
	}
	println!("proofs of {} nodes: {:9.0} proven reads/s", proof.len(), per_second(count, since));
}
