//! Who is not what it should be, each by its name.
//!
//! Relayers see every byte between their enclave and the chain. What they forge must be refused by
//! name and change nothing; what they hold back, repeat or reorder costs time and nothing else.

use crate::{chain::Chain, scheduler::Random};
use phala_light_client::test_chain::{Justification, Target};
use phala_protocol::{
	mailbox::Envelope,
	relay::{EnclaveStatus, SyncBundle},
	BlockNumber,
};

/// A relayer that is none.
pub trait Villain {
	fn name(&self) -> &'static str;

	/// Makes a lie of what is true; whether it is one now.
	fn twist(
		&self,
		_: &Chain,
		_: &EnclaveStatus,
		_: BlockNumber,
		_: &mut SyncBundle,
		_: &mut Random,
	) -> bool {
		false
	}

	/// What becomes of envelopes on their way to the chain.
	fn twist_envelopes(&self, _: &mut Vec<Envelope>, _: &mut Random) {}

	/// Whether this bundle never comes.
	fn drops(&self, _: &mut Random) -> bool {
		false
	}

	/// Whether all is brought twice.
	fn repeats(&self) -> bool {
		false
	}

	/// How long it waits, of who should wait for `honest` milliseconds.
	fn pause(&self, honest: u64, _: &mut Random) -> u64 {
		honest
	}

	/// The newest final block that it shows.
	fn sees(&self, finalized: BlockNumber) -> BlockNumber {
		finalized
	}
}

/// Changes one bit of a header.
pub struct HeaderForger;

impl Villain for HeaderForger {
	fn name(&self) -> &'static str {
		"a forger of headers"
	}

	fn twist(
		&self,
		_: &Chain,
		_: &EnclaveStatus,
		_: BlockNumber,
		bundle: &mut SyncBundle,
		random: &mut Random,
	) -> bool {
		let Some(step) = bundle.steps.last_mut() else { return false };
		flip(&mut step.header, random)
	}
}

/// Has one validator of four, or votes for another block.
pub struct JustificationForger;

impl Villain for JustificationForger {
	fn name(&self) -> &'static str {
		"a forger of justifications"
	}

	fn twist(
		&self,
		chain: &Chain,
		_: &EnclaveStatus,
		to: BlockNumber,
		bundle: &mut SyncBundle,
		random: &mut Random,
	) -> bool {
		let Some(step) = bundle.steps.last_mut() else { return false };
		let honest = chain.justify(to);
		let signers: Vec<_> = honest.votes.iter().map(|vote| vote.signer).collect();
		let forged = match random.below(3) {
			0 => Justification::by(&signers[..1], honest.set_id, honest.target),
			1 => {
				// One votes as often as it takes.
				let signers = vec![signers[0]; signers.len()];
				Justification::by(&signers, honest.set_id, honest.target)
			}
			_ => {
				let target = Target { hash: chain.genesis(), number: to };
				Justification::by(&signers[..1], honest.set_id, target)
			}
		};
		step.justification = forged.encode();
		true
	}
}

/// Shows another block's state, or none.
pub struct StateForger;

impl Villain for StateForger {
	fn name(&self) -> &'static str {
		"a forger of storage proofs"
	}

	fn twist(
		&self,
		chain: &Chain,
		status: &EnclaveStatus,
		to: BlockNumber,
		bundle: &mut SyncBundle,
		random: &mut Random,
	) -> bool {
		if random.permille(500) {
			bundle.state_proof.clear();
		} else {
			let keys = phala_pherry::bundle::proven_keys(
				status,
				status.channels.iter().map(|position| position.channel),
			);
			bundle.state_proof = chain.proof(to - 1, &keys);
		}
		true
	}
}

/// Alters, cuts, repeats or reorders what the chain said.
pub struct BodyForger;

impl Villain for BodyForger {
	fn name(&self) -> &'static str {
		"a forger of bodies"
	}

	fn twist(
		&self,
		_: &Chain,
		_: &EnclaveStatus,
		_: BlockNumber,
		bundle: &mut SyncBundle,
		random: &mut Random,
	) -> bool {
		let Some(bodies) = bundle.bodies.last_mut() else { return false };
		let messages = &mut bodies.messages;
		match random.below(4) {
			0 => drop(messages.pop()),
			1 => messages.push(messages[messages.len() - 1].clone()),
			2 if messages.len() > 1 => messages.reverse(),
			_ => {
				let last = messages.len() - 1;
				return flip(&mut messages[last].body, random);
			}
		}
		true
	}
}

/// Changes a bit of each envelope, or its number, or says that it is another boot's.
pub struct EnvelopeForger;

impl Villain for EnvelopeForger {
	fn name(&self) -> &'static str {
		"a forger of envelopes"
	}

	fn twist_envelopes(&self, envelopes: &mut Vec<Envelope>, random: &mut Random) {
		let mut forged = envelopes.clone();
		for envelope in &mut forged {
			match random.below(5) {
				0 => drop(flip(&mut envelope.payload, random)),
				1 => envelope.signature[7] ^= 1,
				2 => envelope.seq += 1,
				3 => envelope.worker = (envelope.worker + 1) % crate::limits::WORKERS,
				_ => envelope.boot += 1,
			}
		}
		// The honest ones come behind them, or all would stand still.
		forged.append(envelopes);
		*envelopes = forged;
	}
}

/// Loses two of three.
pub struct Dropper;

impl Villain for Dropper {
	fn name(&self) -> &'static str {
		"a dropper"
	}

	fn drops(&self, random: &mut Random) -> bool {
		random.permille(660)
	}

	fn twist_envelopes(&self, envelopes: &mut Vec<Envelope>, random: &mut Random) {
		envelopes.retain(|_| random.permille(340));
	}
}

/// Takes its time.
pub struct Delayer;

impl Villain for Delayer {
	fn name(&self) -> &'static str {
		"a delayer"
	}

	fn pause(&self, _: u64, random: &mut Random) -> u64 {
		random.within((4_000, 15_000))
	}
}

/// Brings all twice, however often it was brought before.
pub struct Repeater;

impl Villain for Repeater {
	fn name(&self) -> &'static str {
		"a repeater"
	}

	fn repeats(&self) -> bool {
		true
	}
}

/// Brings envelopes in another order.
pub struct Reorderer;

impl Villain for Reorderer {
	fn name(&self) -> &'static str {
		"a reorderer"
	}

	fn twist_envelopes(&self, envelopes: &mut Vec<Envelope>, random: &mut Random) {
		for last in (1..envelopes.len()).rev() {
			envelopes.swap(last, random.below(last as u64 + 1) as usize);
		}
	}
}

/// Asks a node that is behind.
pub struct OldNode {
	pub behind: BlockNumber,
}

impl Villain for OldNode {
	fn name(&self) -> &'static str {
		"an old node"
	}

	fn sees(&self, finalized: BlockNumber) -> BlockNumber {
		finalized.saturating_sub(self.behind)
	}
}

/// Changes one bit, if there is any.
fn flip(bytes: &mut [u8], random: &mut Random) -> bool {
	let at = random.below(bytes.len() as u64) as usize;
	let Some(byte) = bytes.get_mut(at) else { return false };
	*byte ^= 1 << random.below(8);
	true
}
